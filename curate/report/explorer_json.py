"""The threshold explorer as its page reads it: edges, tests, rules, and packed cells."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curate.numerics.selection import AnyOf, Node, Test
from curate.report.explorer import Explorer
from curate.report.explorer_payload import Cells, Edge, ExplorerColumn, ExplorerTest, RuleTree
from curate.report.payload import finite


def columns_json(
    explorer: Explorer,
    codes: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> list[ExplorerColumn]:
    """The columns with what lies below each edge.

    Args:
        explorer: whose.
        codes, counts: int64 [m], cells that are not empty and the samples in each.
    """
    digits, n = explorer.grid.digits(codes), int(counts.sum())
    found: list[ExplorerColumn] = []
    for column in explorer.columns:
        digit = digits[column.name]
        per_interval = np.zeros(column.intervals, dtype=np.int64)
        np.add.at(per_interval, digit % column.intervals, counts)
        below = np.cumsum(per_interval).tolist()
        edges = [
            Edge(
                value=finite(edge.value),
                below=below[at],
                share=below[at] / n if n else 0.0,
                splits=edge.uid != (0, 0),
            )
            for at, edge in enumerate(column.edges)
        ]
        found.append(
            ExplorerColumn(
                name=column.name,
                precision="float64" if column.precision == np.float64 else "float32",
                intervals=column.intervals,
                edges=edges,
                missing=int(counts[digit >= column.intervals].sum()),
            )
        )
    return found


def tests_json(explorer: Explorer) -> list[ExplorerTest]:
    """The sliders; those that no rule asked for are not active."""
    found: list[ExplorerTest] = []
    for number, slider in enumerate(explorer.sliders):
        name = explorer.columns[slider.column].name
        label = name if slider.test is None else slider.test.name
        criterion = next((key for key in slider.criteria if key not in ("of", "method")), "min")
        found.append(
            ExplorerTest(
                id=number,
                column=slider.column,
                keep="at_least" if slider.keep == "at_least" else "at_most",
                edge=slider.edge,
                label=label,
                reason=label,
                criterion=criterion,
                of=str(slider.criteria.get("of", "pool")),
                active=slider.test is not None,
                criteria=dict(slider.criteria),
            )
        )
    return found


def tree_json(explorer: Explorer) -> RuleTree:
    """The rules as a tree of the sliders' numbers; inactive ones stand at its top."""
    numbers = iter(range(len(explorer.sliders)))
    tree = _tree(explorer.node, numbers)
    idle: list[RuleTree] = [{"test": number} for number in numbers]
    if "all" in tree:
        return {"all": [*tree["all"], *idle]}
    return {"all": [tree, *idle]}


def _tree(node: Node, numbers: Iterator[int]) -> RuleTree:
    if isinstance(node, Test):
        return {"test": next(numbers)}
    children = [_tree(child, numbers) for child in node.tests]
    return {"any": children} if isinstance(node, AnyOf) else {"all": children}


def cells_json(codes: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Cells:
    """Cells, int64 [m] ascending, and the samples in each, as the page reads them."""
    return Cells(
        n=len(codes),
        encoding="leb128",
        codes=_packed(np.diff(codes, prepend=0)),
        counts=_packed(counts),
    )


def _packed(numbers: npt.NDArray[np.int64]) -> str:
    return base64.b64encode(leb128(numbers)).decode("ascii")


def leb128(numbers: npt.NDArray[np.int64]) -> bytes:
    """Unsigned LEB128 of numbers that are not negative, int64 [n], one behind the other."""
    left = numbers.astype(np.uint64)
    sizes = np.ones(len(left), dtype=np.int64)
    for bits in range(7, 64, 7):
        sizes += left >= np.uint64(1 << bits)
    ends = np.cumsum(sizes)
    packed = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    at = ends - sizes
    rows = np.arange(len(left))
    while len(rows):
        more = left[rows] >= 128
        packed[at[rows]] = (left[rows] & np.uint64(127)).astype(np.uint8) | (more << 7)
        left[rows] >>= np.uint64(7)
        at[rows] += 1
        rows = rows[more]
    return packed.tobytes()
