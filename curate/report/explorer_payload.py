"""What a report says of its threshold explorer: the types of its data, see `payload`."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class Edge(TypedDict):
    """Where a cut may be. `value`: null for +infinity; `splits`: rows tie with it on both sides."""

    value: float | None
    below: int
    share: float
    splits: bool


class ExplorerColumn(TypedDict):
    """A column that cells are made of; interval k holds what is not below k of the edges."""

    name: str
    precision: Literal["float32", "float64"]
    intervals: int
    edges: list[Edge]
    missing: int


class ExplorerTest(TypedDict):
    """One criterion of the rules, or one that a slider may add (not `active`).

    `column`: position in the explorer's columns. `edge`: the current cut; -1 lies below all edges.
    `criteria`: as the rules have it, `criterion` and `of` its parts.
    """

    id: int
    column: int
    keep: Literal["at_least", "at_most"]
    edge: int
    label: str
    reason: str
    criterion: str
    of: str
    active: bool
    criteria: dict[str, Any]


RuleTree = dict[str, Any]
"""`{"test": id}`, `{"all": [...]}` or `{"any": [...]}`."""


class Undecided(TypedDict):
    """Rows that no rule decides."""

    duplicate_uid: int
    rejected: int


class Explorer(TypedDict):
    """What the sliders need; the cells themselves are in `Cells`."""

    columns: list[ExplorerColumn]
    tests: list[ExplorerTest]
    rules: RuleTree
    undecided: Undecided
    kept: int


class Cells(TypedDict):
    """The explorer's cells: unsigned LEB128 in base64, codes as differences of ascending ones."""

    n: int
    encoding: Literal["leb128"]
    codes: str
    counts: str
