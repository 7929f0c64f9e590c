"""Tables and figure of the outcome, for the work directory and for docs/minicomp.md."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from curate.errors import ConfigError
from curate.paper.tables import Table
from minicomping.config import EMBEDDED, OWN
from minicomping.figure import draw
from minicomping.metrics import DIRECTIONS, PRIMARY, RANKS
from minicomping.noise import KINDS
from minicomping.results import Results, figures, gain, noise_left, spread

SCORED_BY: Final = {"": "–", OWN: "own", EMBEDDED: "embedded"}
BEGIN: Final = "<!-- written by make minicomp -->"
END: Final = "<!-- end of what make minicomp writes -->"
RESULTS: Final = "results.json"
FIGURE: Final = "arms.png"


def tables(found: Results) -> str:
    """All tables in Markdown."""
    seeds, evaluated = len(found["protocol"]["seeds"]), found["evaluated"]
    seen = found["protocol"]["budget"]["samples_seen"]
    parts = [
        f"{len(found['arms'])} arms, {seeds} seeds each, {seen:,} samples seen by every training;"
        f" retrieval among {evaluated:,} clean pairs. Mean ± standard deviation over the seeds, in"
        " percent; the gain is that over no filter under the same seed, ± its standard error.",
        _table([_outcome(found, arm) for arm in found["arms"]]),
        "Other figures: mean reciprocal rank in percent, the contrastive loss in nats, and"
        " recall@10 by direction; minutes of one core for a training.",
        _table([_more(arm) for arm in found["arms"]]),
        "What each arm trains on, in pairs:",
        _table([_contents(arm) for arm in found["arms"]]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    return Table.of("", "", "", rows).to_markdown().rstrip()


def _label(arm: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "filter": arm["name"],
        "scores of": SCORED_BY[arm["scorer"]],
        "pairs": int(arm["pairs"]),
    }


def _outcome(found: Results, arm: Mapping[str, Any]) -> dict[str, Any]:
    ranks = {f"recall@{rank}": _percent(figures(arm, f"recall@{rank}")) for rank in RANKS}
    more = gain(found, arm, PRIMARY)
    nothing = more.mean == 0 and more.error == 0
    return {
        **_label(arm),
        "noise left": f"{100 * noise_left(arm):.1f} %",
        "passes": f"{arm['passes']:.1f}",
        **ranks,
        f"gain in {PRIMARY}": "–"
        if nothing
        else f"{100 * more.mean:+.2f} ± {100 * more.error:.2f}",
    }


def _more(arm: Mapping[str, Any]) -> dict[str, Any]:
    loss = spread(figures(arm, "loss"))
    directions = {
        f"{name.replace('_', ' ')} recall@10": _percent(figures(arm, f"{name}_recall@10"))
        for name in DIRECTIONS
    }
    seconds = [one["cpu_seconds"] for one in arm["trainings"]]
    return {
        **_label(arm),
        "mean reciprocal rank": _percent(figures(arm, "mrr")),
        "loss": f"{loss.mean:.3f} ± {loss.deviation:.3f}",
        **directions,
        "minutes": f"{spread(seconds).mean / 60:.1f}",
    }


def _contents(arm: Mapping[str, Any]) -> dict[str, Any]:
    return {**_label(arm), **{kind: round(arm["kinds"][kind]) for kind in KINDS}}


def _percent(values: list[float]) -> str:
    found = spread(values)
    return f"{100 * found.mean:.2f} ± {100 * found.deviation:.2f}"


def write(found: Results, folder: Path) -> None:
    """Write results.json, tables.md and the figure."""
    (folder / RESULTS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (folder / "tables.md").write_text(tables(found), encoding="utf-8")
    draw(found, folder / FIGURE)


def write_docs(folder: Path, docs: Path) -> None:
    """Put what `write` left in a folder into docs/minicomp/ and into docs/minicomp.md.

    Raises:
        ConfigError: the page lacks the marks between which the tables go.
    """
    (docs / "minicomp").mkdir(exist_ok=True)
    for name in (RESULTS, FIGURE):
        shutil.copyfile(folder / name, docs / "minicomp" / name)
    page = docs / "minicomp.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(with_tables(text, (folder / "tables.md").read_text()), encoding="utf-8")


def with_tables(page: str, found: str) -> str:
    """A page with the tables between its marks renewed. Raises ConfigError without the marks."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"docs/minicomp.md: put the lines {BEGIN} and {END} where tables go")
    return f"{head}{BEGIN}\n\n{found}\n{END}{tail}"
