"""Decide: scores and rules in, kept or a reason out.

The order of samples is in `keys`, what fractions mean in `ranks`; both are offered here too, as
the one place that callers import from.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.keys import (
    DROP_ALL,
    KEEP_ALL,
    UID,
    BoolArray,
    Cut,
    UidArray,
    as_comparable,
    as_uids,
    below,
    format_uids,
    ordered_bits,
    parse_uids,
    threshold_of,
)
from curate.numerics.ranks import Rule, datacomp_rank, quantile_cut, rank_of

__all__ = [
    "DROP_ALL",
    "KEEP_ALL",
    "KEPT",
    "UID",
    "AllOf",
    "AnyOf",
    "Cut",
    "Decision",
    "Keep",
    "Node",
    "Rule",
    "Test",
    "UidArray",
    "below",
    "datacomp_rank",
    "decide",
    "decide_by",
    "format_uids",
    "ordered_bits",
    "parse_uids",
    "quantile_cut",
    "rank_of",
    "reasons_of",
    "tests_of",
]

Keep = Literal["at_least", "at_most"]

KEPT: Final = "kept"
"""The reason of a sample that passes; code 0."""

_MAX_REASONS: Final = int(np.iinfo(np.int16).max)


@dataclass(frozen=True)
class Test:
    """One comparison of one column with a cut.

    Attributes:
        name: the reason given when it fails; not empty, not `kept`.
        column: the column compared.
        keep: `at_least` keeps what is not below the cut; `at_most` keeps values up to and
            including the cut's value, whatever the uid.
        cut: the threshold.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    name: str
    column: str
    keep: Keep
    cut: Cut

    def __post_init__(self) -> None:
        if not self.name or self.name == KEPT:
            raise NumericsError(f"test: name is {self.name!r}; expected a reason other than `kept`")
        if self.keep not in get_args(Keep):
            raise NumericsError(
                f"test {self.name}: keep is {self.keep!r}; expected {get_args(Keep)}"
            )


@dataclass(frozen=True)
class AllOf:
    """Keeps what every child keeps. Without children it keeps everything."""

    tests: tuple[Node, ...] = ()


@dataclass(frozen=True)
class AnyOf:
    """Keeps what at least one child keeps.

    Raises:
        NumericsError: there are no children: it would drop everything for no reason.
    """

    tests: tuple[Node, ...]

    def __post_init__(self) -> None:
        if not self.tests:
            raise NumericsError("any: has no tests; expected at least one")


Node = Test | AllOf | AnyOf


@dataclass(frozen=True, eq=False)
class Decision:
    """What became of each sample.

    Attributes:
        kept: bool [n].
        code: int16 [n], index into `reasons`; 0 iff kept.
        reasons: `reasons_of(node)`: a function of the rules alone, the same for every shard.
    """

    kept: BoolArray
    code: npt.NDArray[np.int16]
    reasons: tuple[str, ...]

    def labels(self) -> list[str]:
        """Spell out the reason of each sample."""
        return [self.reasons[code] for code in self.code.tolist()]

    def counts(self) -> dict[str, int]:
        """Count the samples by reason, zeros included; the values sum to n."""
        found = np.bincount(self.code, minlength=len(self.reasons))
        return dict(zip(self.reasons, found.tolist(), strict=True))


def reasons_of(node: Node) -> tuple[str, ...]:
    """Every reason that `decide` can give under these rules, `kept` first, without repetition.

    Raises:
        NumericsError: more reasons than int16 counts.
    """
    return tuple(dict.fromkeys((KEPT, *_failures(node))))


def decide(node: Node, columns: Mapping[str, npt.ArrayLike], uids: UidArray) -> Decision:
    """Apply rules to samples.

    The reason of a sample is the name of the test that dropped it: for `AllOf` that of the first
    child that fails, in the order written; for `AnyOf`, all of whose children fail, theirs joined
    by " and ". A missing value (NaN) ranks as -inf, and passes no `at_most`.

    Args:
        node: the rules.
        columns: name -> real [n].
        uids: UID [n].

    Raises:
        NumericsError: a column is missing or of another length; the message names it.
    """
    ids = as_uids(uids)
    return decide_by(node, len(ids), lambda test: _passes(test, columns, ids))


def decide_by(node: Node, n: int, passes: Callable[[Test], BoolArray]) -> Decision:
    """Apply rules to n samples, or groups of samples that no test tells apart.

    Args:
        node: the rules.
        n: how many there are.
        passes: which of them pass a test, bool [n].
    """
    reasons = reasons_of(node)
    position = {reason: code for code, reason in enumerate(reasons)}
    table = np.array([0, *(position[name] for name in _failures(node))], dtype=np.int16)
    code = table[_evaluate(node, n, passes)]
    return Decision(code == 0, code, reasons)


def tests_of(node: Node) -> tuple[Test, ...]:
    """Every test of a rule tree, in the order written, repetitions included."""
    if isinstance(node, Test):
        return (node,)
    return tuple(itertools.chain.from_iterable(tests_of(child) for child in node.tests))


def _failures(node: Node) -> tuple[str, ...]:
    """Reasons of failing, with repetition: what `_evaluate` numbers from 1."""
    if isinstance(node, Test):
        return (node.name,)
    children = [_failures(child) for child in node.tests]
    if isinstance(node, AllOf):
        names = tuple(itertools.chain.from_iterable(children))
    else:
        # A child that is an AllOf can fail in several ways: one joined reason for each mixture.
        if np.prod([len(child) for child in children], dtype=object) > _MAX_REASONS:
            raise NumericsError(
                f"rules: an `any` of {len(children)} branches gives more than {_MAX_REASONS} "
                "reasons; simplify the rules"
            )
        names = tuple(" and ".join(mixture) for mixture in itertools.product(*children))
    if len(names) > _MAX_REASONS:
        raise NumericsError(f"rules: {len(names)} reasons; expected at most {_MAX_REASONS}")
    return names


def _evaluate(node: Node, n: int, passes: Callable[[Test], BoolArray]) -> npt.NDArray[np.int32]:
    """int32 [n]: 0 for kept, else 1 + the index into `_failures(node)`."""
    code = np.zeros(n, dtype=np.int32)
    if isinstance(node, Test):
        return np.where(passes(node), code, np.int32(1))
    results = [(_evaluate(child, n, passes), len(_failures(child))) for child in node.tests]
    if isinstance(node, AllOf):
        offset = 0
        for child_code, ways in results:
            code = np.where((code == 0) & (child_code > 0), child_code + np.int32(offset), code)
            offset += ways
        return code
    failed = np.ones(n, dtype=np.bool_)
    for child_code, ways in results:
        # Mixed radix, in the order of itertools.product; a kept row's digit is masked below.
        code = code * np.int32(ways) + np.maximum(child_code - 1, 0)
        failed &= child_code > 0
    return np.where(failed, code + np.int32(1), np.int32(0))


def _passes(test: Test, columns: Mapping[str, npt.ArrayLike], uids: UidArray) -> BoolArray:
    if test.column not in columns:
        raise NumericsError(
            f"test {test.name}: no column {test.column!r}; there are {sorted(columns)}"
        )
    values = as_comparable(columns[test.column], f"column {test.column!r}")
    if len(values) != len(uids):
        raise NumericsError(
            f"column {test.column!r} has {len(values)} rows and there are {len(uids)} uids"
        )
    if test.keep == "at_least":
        return np.logical_not(below(test.cut, values, uids))
    return np.asarray(values <= threshold_of(test.cut, values.dtype))
