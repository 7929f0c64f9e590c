"""The rules on one sample, test by test, and which of them the verdict hangs on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.explaining.findings import GroupTrace, TestTrace, Trace
from curate.numerics.selection import KEPT, AllOf, AnyOf, Node, Test, UidArray, decide

Values = Mapping[str, npt.NDArray[Any]]
"""Column -> [1], as rules compare it."""


def trace(node: Node, values: Values, uid: UidArray, *, decisive: bool = True) -> Trace:
    """Apply every test of the rules to a sample.

    A group's verdict hangs on: its first part that fails, of an `all`; its first part that passes,
    of an `any`; otherwise on all its parts.

    Args:
        node: the rules with their cuts.
        values: of the columns that they use.
        uid: [1].
        decisive: whether the verdict hangs on this node.
    """
    if isinstance(node, Test):
        return _test(node, values, uid, decisive)
    passed = [bool(decide(child, values, uid).kept[0]) for child in node.tests]
    wanted = isinstance(node, AnyOf)
    first = passed.index(wanted) if wanted in passed else None
    parts = tuple(
        trace(child, values, uid, decisive=decisive and first in (None, at))
        for at, child in enumerate(node.tests)
    )
    kind = "all" if isinstance(node, AllOf) else "any"
    return GroupTrace(kind, any(passed) if wanted else all(passed), decisive, parts)


def _test(test: Test, values: Values, uid: UidArray, decisive: bool) -> TestTrace:
    (found,) = values[test.column]
    value = None if np.isnan(found) else float(found)
    margin = None
    if value is not None and math.isfinite(test.cut.value):
        # As it is compared: a threshold of 0.2 is that of the column's precision.
        cut = float(found.dtype.type(test.cut.value))
        margin = value - cut if test.keep == "at_least" else cut - value
    passed = bool(decide(test, values, uid).kept[0])
    return TestTrace(test.name, test.column, test.keep, test.cut, value, margin, passed, decisive)


def reason_of(found: Trace) -> str:
    """The reason that a trace amounts to, as `decide` gives it."""
    if found.passed:
        return KEPT
    if isinstance(found, TestTrace):
        return found.name
    return " and ".join(reason_of(part) for part in found.parts if part.decisive)
