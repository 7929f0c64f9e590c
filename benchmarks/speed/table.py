"""One row of the table that `make bench` prints: a measured ratio beside the bar it should meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What one contender cost, and how that compares.

    Attributes:
        name: what was done, the same in all rows that compare with each other.
        contender: who did it.
        cpu_ms, wall_ms: milliseconds of all cores, and of the clock, for one `unit`.
        unit: what the milliseconds are for, e.g. "pair" or "GB kept".
        ratio: of `cpu_ms` to that of the row it is compared with, which has 1; None for none.
        bar: what the ratio should not exceed (a gain: "at least" goes into the note); None if none.
        memory_bytes: peak of the whole process tree; None where it was not measured.
        note: what a reader must know to read the row.
    """

    name: str
    contender: str
    cpu_ms: float
    wall_ms: float
    unit: str
    ratio: float | None = None
    bar: float | None = None
    memory_bytes: int | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without one."""
        return None if self.bar is None or self.ratio is None else self.ratio <= self.bar


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| work | contender | core-ms | wall ms | per | ratio | bar | memory | |",
        "|---|---|---:|---:|---|---:|---:|---:|---|",
    ]
    lines += [
        f"| {r.name} | {r.contender} | {r.cpu_ms:.4g} | {r.wall_ms:.4g} | {r.unit} |"
        f" {_number(r.ratio)} | {_number(r.bar)}{_mark(r)} | {_memory(r)} | {r.note} |"
        for r in rows
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _mark(row: Row) -> str:
    return {None: "", True: " met", False: " MISSED"}[row.met]


def _memory(row: Row) -> str:
    return "" if row.memory_bytes is None else f"{row.memory_bytes / 1e6:,.0f} MB"
