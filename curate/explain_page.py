"""What `curate explain` prints: a page per sample that fits 80 columns, or a line of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from curate.explaining import (
    Explanation,
    GroupTrace,
    Meaning,
    Neighbour,
    Standing,
    TestTrace,
    Verdict,
    to_json,
)
from curate.reporting import shown
from curate.schema import DUPLICATE_UID, METADATA_COLUMNS, OK
from curate.thresholds import unit_of

SHOWN_CHARS: Final = 400
"""Characters of a caption or an error on the page: five lines of a narrow terminal."""


NAMED_COLUMNS: Final = 37
"""Columns of a caption in a list: what 80 leave beside its numbers."""


def show(out: Console, found: Sequence[Explanation], *, as_json: bool) -> None:
    """Print explanations."""
    for at, one in enumerate(found):
        if as_json:
            text = json.dumps(to_json(one), ensure_ascii=True, allow_nan=False)
            out.file.write(f"{text}\n")
            out.file.flush()
            continue
        if at:
            out.print()
        _print(out, one)


def _print(out: Console, one: Explanation) -> None:
    out.print(f"[bold]{shown(one.shard)}/{shown(one.key)}[/]", soft_wrap=True)
    out.print(f"  {_headline(one)}", soft_wrap=True)
    _print_sample(out, one)
    if one.status == OK:
        _print_scores(out, one)
    if one.verdict is not None and one.verdict.rules is not None:
        _print_rules(out, one.verdict, one.verdict.rules)
    _print_meaning(out, one.image, "the image, in texts of the Reference")
    _print_meaning(out, one.text, "the caption, in images of the Reference")
    for note in one.notes:
        out.print(f"  [dim]not told: {shown(note)}[/]")


def _headline(one: Explanation) -> str:
    if one.verdict is None:
        if one.status != OK:
            return f"[yellow]rejected[/] ({shown(one.status)})"
        return "scored; nothing was selected yet: run `curate select`"
    subset = shown(one.verdict.subset)
    if one.verdict.kept:
        return f"[green]kept[/] in subset {subset}"
    colour = "red" if one.status == OK else "yellow"
    return f"[{colour}]not in[/] subset {subset}: {shown(one.verdict.reason)}"


def _print_sample(out: Console, one: Explanation) -> None:
    caption = "not known" if one.caption is None else f'"{_cut(one.caption)}"'
    out.print(f"  caption  {caption}", style="italic" if one.caption is None else None)
    derived = " (derived from shard and key)" if one.uid_derived else ""
    out.print(f"  uid      {shown(one.uid)}{derived}")
    if facts := ", ".join(_facts(one)):
        out.print(f"  size     {facts}")
    if one.status == OK:
        return
    out.print(f"  status   {shown(one.status)}: {shown(one.meaning_of_status or 'not known')}")
    if one.error is not None:
        out.print(f"  found    {_cut(one.error)}")


def _cut(text: str) -> str:
    return shown(text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…")


def _facts(one: Explanation) -> Iterator[str]:
    width, height = one.values.get("width"), one.values.get("height")
    if width is not None and height is not None:
        yield f"{width:.0f} x {height:.0f} pixels"
    for name in ("caption_chars", "caption_words"):
        if (value := one.values.get(name)) is not None:
            unit = unit_of(name)
            yield f"{value:.0f}{unit.removesuffix('s') if value == 1 else unit}"


# --- scores -----------------------------------------------------------------------------------


def _print_scores(out: Console, one: Explanation) -> None:
    table = Table(show_edge=False, padding=(0, 1), header_style="")
    table.add_column("  score", overflow="fold")
    for name in ("value", "percentile", "in Reference"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, value in one.values.items():
        placed = name in one.pool or name in one.reference
        if value is None or (name in METADATA_COLUMNS and not placed):
            continue
        pool, reference = (_percent(places.get(name)) for places in (one.pool, one.reference))
        table.add_row(f"  {shown(name)}", f"{_number(value)}{unit_of(name)}", pool, reference)
    out.print(table)


def _percent(standing: Standing | None) -> str:
    if standing is None or math.isnan(standing.percentile):
        return "-"
    return f"{standing.percentile:.2f} %"


def _number(value: float) -> str:
    return f"{value:.5g}"


# --- rules ------------------------------------------------------------------------------------


def _print_rules(out: Console, verdict: Verdict, rules: GroupTrace) -> None:
    if verdict.reason == DUPLICATE_UID:
        place = shown(verdict.same_uid or "an earlier sample")
        out.print(f"  its uid is that of {place}, which is decided in its stead")
        out.print("  rules, if they were asked:")
    elif not rules.parts:
        out.print("  rules: none, everything is kept")
        return
    else:
        out.print("  rules (> marks what the verdict hangs on):")
    _print_group(out, rules, 4)


def _print_group(out: Console, group: GroupTrace, indent: int) -> None:
    told = "passes" if group.passed else "fails"
    out.print(f"{_margin(group, indent)}{group.kind} of these: {_coloured(told, group.passed)}")
    for part in group.parts:
        if isinstance(part, GroupTrace):
            _print_group(out, part, indent + 2)
        else:
            _print_test(out, part, indent + 2)


def _print_test(out: Console, test: TestTrace, indent: int) -> None:
    told = _coloured("passes" if test.passed else "fails ", test.passed)
    out.print(f"{_margin(test, indent)}{told}  {shown(test.name)}", soft_wrap=True)
    out.print(f"{' ' * (indent + 8)}{_compared(test)}", soft_wrap=True)


def _margin(part: GroupTrace | TestTrace, indent: int) -> str:
    return " " * (indent - 2) + ("> " if part.decisive else "  ")


def _coloured(text: str, passed: bool) -> str:
    return f"[{'green' if passed else 'red'}]{text}[/]"


def _compared(test: TestTrace) -> str:
    unit = unit_of(test.column)
    if test.value is None:
        return "it has no value, which ranks below all others"
    value = _number(test.value)
    if test.margin is None:
        return f"{value}{unit}; the threshold keeps {'all' if test.passed else 'nothing'}"
    cut = _number(test.cut.value)
    if test.tied:
        side = "above" if test.passed else "below"
        return f"{value}{unit} is the threshold itself; its uid ranks {side} that of the cut"
    if test.margin == 0:
        return f"{value}{unit} is the threshold itself"
    above = (test.keep == "at_least") == test.passed
    side = "above" if above else "below"
    return f"{value}{unit} lies {side} {cut}, by {abs(test.margin):.3g}{unit}"


# --- what the model makes of it ---------------------------------------------------------------


def _print_meaning(out: Console, found: Meaning | None, title: str) -> None:
    if found is None:
        return
    out.print(f"  {title} (Information Gain {found.information_gain:.3g} nats):")
    same = [one.row for one in found.nearest] == [one.row for one in found.gaining]
    table = Table(show_edge=False, padding=(0, 1), header_style="")
    title = "  nearest" + (", and gaining most" if same else "")
    table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=NAMED_COLUMNS)
    for name in ("cosine", "p", "p/prior", "nats"):
        table.add_column(name, justify="right", no_wrap=True, min_width=6)
    for one in found.nearest:
        _add_neighbour(table, one)
    if not same:
        table.add_section()
        table.add_row("  gaining most in probability")
        for one in found.gaining:
            _add_neighbour(table, one)
    out.print(table)


def _add_neighbour(table: Table, one: Neighbour) -> None:
    named = f"row {one.row}" if one.key is None else f"{one.shard}/{one.key}"
    caption = named if one.caption is None else one.caption
    table.add_row(
        f"  {shown(caption)}",
        f"{one.cosine:.3f}",
        f"{one.posterior:.1e}",
        f"{one.posterior / one.prior:.3f}",
        f"{one.term:+.1e}",
    )
