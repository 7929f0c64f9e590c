"""What `curate sweep` prints: a line per subset, beside its overlap with the baselines."""

from __future__ import annotations

from typing import Final

from rich.markup import escape
from rich.table import Table

from curate.sweep.tables import SweepTables

BASELINES_SHOWN: Final = 3
"""Columns that fit a terminal; the files have all pairs."""

SUBSETS_SHOWN: Final = 60
"""Lines of a screen or two; the files have all of them."""


def sweep_table(tables: SweepTables) -> Table:
    """The sizes of all subsets, and how alike they are to the baselines."""
    baselines = [row["subset"] for row in tables.subsets.to_pylist() if row["baseline"]]
    shown = baselines[:BASELINES_SHOWN]
    title = f"{tables.subsets.num_rows} subsets"
    title += ", with the Jaccard index of each and a baseline" if shown else ""
    table = Table(title=title, title_justify="left", show_edge=False)
    table.add_column("subset", overflow="ellipsis", no_wrap=True)
    table.add_column("kept", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for name in shown:
        table.add_column(escape(name), justify="right", overflow="fold")
    alike = _jaccard(tables)
    for row in tables.subsets.to_pylist()[:SUBSETS_SHOWN]:
        name = str(row["subset"])
        table.add_row(
            escape(f"{name} *" if row["baseline"] else name),
            f"{row['kept']:,}",
            f"{100 * row['kept_share']:.2f} %",
            *("" if name == other else f"{alike[name, other]:.3f}" for other in shown),
        )
    return table


def sweep_notes(tables: SweepTables) -> list[str]:
    """What the table leaves out, and where it is."""
    notes = ["* a baseline"] if True in tables.subsets["baseline"].to_pylist() else []
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
