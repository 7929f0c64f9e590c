"""What the commands print: counts, places and reasons, and nothing that the data smuggles in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_run import LocalRun
from rich.console import Console

from curate import reporting
from curate.config import Rules
from curate.manifest import Counts
from curate.reporting import MAX_LISTED
from curate.terminal import printable
from curate.thresholds import sample_thresholds
from curate.verification import Findings, verify
from curate.workspace import Outcome


def console(width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return reporting.console(file=out, width=width, force_terminal=False), out


def shown(draw: object, *arguments: object) -> str:
    screen, out = console()
    draw(screen, *arguments)  # type: ignore[operator]
    return out.getvalue()


def test_counts_are_shown_with_their_share() -> None:
    screen, out = console()
    counts = Counts(read=1000, kept=900, dropped={"clip_score.min=0.2": 60}, rejected={"x": 40})
    screen.print(reporting.counts_table(counts, "all"))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["kept", "│", "900", "│", "90.00", "%"] in lines
    assert ["dropped:", "clip_score.min=0.2", "│", "60", "│", "6.00", "%"] in lines
    assert ["rejected:", "x", "│", "40", "│", "4.00", "%"] in lines
    screen.print(reporting.counts_table(Counts(), "none"))


def test_long_lists_are_cut_and_counted(tmp_path: Path) -> None:
    failures = {f"{i:05d}": "gone" for i in range(MAX_LISTED + 5)}
    text = shown(reporting.print_outcome, Outcome("run", unreadable=failures))
    assert text.count(": gone") == MAX_LISTED
    assert "and 5 more" in text
    text = shown(reporting.print_findings, Findings(problems=["broken"] * (MAX_LISTED + 3)))
    assert text.count("broken") == MAX_LISTED
    assert "and 3 more" in text
    assert f"{MAX_LISTED + 3} problems" in text


def test_findings_of_a_good_run_say_so(pristine_run: LocalRun) -> None:
    text = shown(reporting.print_findings, verify(pristine_run.run))
    assert "3 shards, 16 samples" in text
    assert "no problems" in text


HOSTILE = [
    "[red]x[/]",
    "[/]",
    "[/red]",
    "[link=http://x]y[/link]",
    ":cat:",
    "a\\",
    "x\x1b[31mred",
    "\x07\r\b\u202e\u2066",
    "\udc80",
    "[bold",
    "日本語",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_from_the_data_are_shown_as_they_are(tmp_path: Path, text: str) -> None:
    safe = printable(text)
    outcome = Outcome(text, unreadable={text: text})
    found = Findings(problems=[text])
    pages = [shown(reporting.print_outcome, outcome), shown(reporting.print_findings, found)]
    screen, out = console()
    screen.print(reporting.counts_table(Counts(read=1, rejected={text: 1}), text))
    for page in (*pages, out.getvalue()):
        assert safe in page
        assert "\x1b" not in page
        assert "\x07" not in page
        assert "\r" not in page
        page.encode()


@given(st.text())
def test_printable_text_steers_no_terminal(text: str) -> None:
    safe = printable(text)
    assert len(safe) == len(text)
    assert safe.isprintable()
    assert printable(safe) == safe
    safe.encode()


def test_what_scores_are_worth_is_printed_with_a_warning() -> None:
    lines = {"image_informativeness": {"r2": 0.312, "slope": 0.4, "intercept": 0.0, "n": 9}}
    good = {"text_informativeness": {"r2": 0.99, "slope": 1.01, "intercept": 0.0, "n": 9}}
    text = shown(reporting.print_outcome, Outcome("run", fidelity=lines | good))
    assert "image_informativeness: R² 0.312, slope 0.400" in text
    assert "warning: image_informativeness: at reference.temperature" in text
    assert "temperature: 1" in text
    assert "warning" not in shown(reporting.print_outcome, Outcome("run", fidelity=good))
    constant = {"image_informativeness": {"n": 9}}
    assert "warning" in shown(reporting.print_outcome, Outcome("run", fidelity=constant))


def test_thresholds_are_printed_with_their_warnings() -> None:
    tree = {"clip_score": {"drop_lowest": 0.05, "of": "reference"}, "width": {"keep_highest": 0.5}}
    values = np.linspace(0, 1, 400, dtype=np.float32)
    sample = pa.table({"clip_score": values, "width": np.arange(400, dtype=np.int32)})
    found = sample_thresholds(Rules.model_validate({"all": [tree]}), sample)
    lines = shown(reporting.print_outcome, Outcome("run", thresholds=found)).splitlines()
    assert lines[0] == "thresholds on the Reference's sample, with 95 % intervals:"
    assert lines[1] == "  clip_score.drop_lowest=0.05 of reference"
    assert lines[2].startswith("    cut at 0.050, standard error 0.011 (0.0")
    assert "  width.keep_highest=0.5" in lines
    (text,) = [line for line in lines if line.startswith("warning: ")]
    assert "clip_score.drop_lowest=0.05 of reference: a Reference of 400 pairs" in text
    assert "reference.samples: at least 1900" in text
    assert "thresholds" not in shown(reporting.print_outcome, Outcome("run"))
