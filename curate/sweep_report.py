"""What `curate sweep` prints: a line per subset, beside its overlap with the baselines."""

from __future__ import annotations

from typing import Final

from rich.markup import escape
from rich.table import Table

from curate.sweep_tables import SweepTables

BASELINES_SHOWN: Final = 3
"""Columns that fit a terminal; the files have all pairs."""

SUBSETS_SHOWN: Final = 60
"""Lines of a screen or two; the files have all of them."""


def sweep_table(tables: SweepTables) -> Table:
    """The sizes of all subsets, what dropped most, and how alike they are to the baselines."""
    baselines = [row["subset"] for row in tables.subsets.to_pylist() if row["baseline"]]
    shown = baselines[:BASELINES_SHOWN]
    table = Table(title=f"{tables.subsets.num_rows} subsets", title_justify="left")
    table.add_column("subset", overflow="fold")
    table.add_column("kept", justify="right")
    table.add_column("share", justify="right")
    table.add_column("drops most", overflow="fold")
    for name in shown:
        table.add_column(f"Jaccard with {escape(name)}", justify="right")
    alike = _jaccard(tables)
    for row in tables.subsets.to_pylist()[:SUBSETS_SHOWN]:
        name = str(row["subset"])
        table.add_row(
            escape(name) + (" (baseline)" if row["baseline"] else ""),
            f"{row['kept']:,}",
            f"{100 * row['kept_share']:.2f} %",
            escape(_foremost(row["reasons"])),
            *("" if name == other else f"{alike[name, other]:.3f}" for other in shown),
        )
    return table


def sweep_notes(tables: SweepTables) -> list[str]:
    """What the table leaves out, and where it is."""
    notes = []
    if tables.subsets.num_rows > SUBSETS_SHOWN:
        notes.append(f"and {tables.subsets.num_rows - SUBSETS_SHOWN} more")
    notes.append("sweep/subsets.csv and .parquet: sizes, thresholds and reasons of every subset")
    notes.append("sweep/overlaps.csv and .parquet: what every two of them share")
    return notes


def _jaccard(tables: SweepTables) -> dict[tuple[str, str], float]:
    found = {}
    for row in tables.overlaps.to_pylist():
        found[row["a"], row["b"]] = found[row["b"], row["a"]] = float(row["jaccard"])
    return found


def _foremost(reasons: list[tuple[str, int]]) -> str:
    if not reasons:
        return ""
    reason, number = max(reasons, key=lambda one: (one[1], one[0]))
    return f"{reason} ({number:,})"
