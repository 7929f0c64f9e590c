"""A report's data as the page reads them: cells unpacked, sliders moved, rules decided."""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def numbers(packed: str) -> Iterator[int]:
    """Unsigned LEB128 in base64."""
    value = shift = 0
    for byte in base64.b64decode(packed):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0


def cells_of(explorer: Mapping[str, Any], cells: Mapping[str, Any]) -> list[tuple[list[int], int]]:
    """The digits of each cell, and the samples in it."""
    codes = list(itertools.accumulate(numbers(cells["codes"])))
    counts = list(numbers(cells["counts"]))
    assert len(codes) == len(counts) == cells["n"]
    assert codes == sorted(set(codes))
    found = []
    for code, count in zip(codes, counts, strict=True):
        digits = []
        for column in reversed(explorer["columns"]):
            code, digit = divmod(code, 2 * column["intervals"])
            digits.append(digit)
        assert code == 0
        found.append((digits[::-1], count))
    return found


def passes(explorer: Mapping[str, Any], test: Mapping[str, Any], digits: Sequence[int]) -> bool:
    """Whether a cell passes a test at its edge."""
    intervals = explorer["columns"][test["column"]]["intervals"]
    missing, interval = divmod(digits[test["column"]], intervals)
    if test["keep"] == "at_least":
        return interval > int(test["edge"])
    return interval <= int(test["edge"]) and not missing


def reason_of(explorer: Mapping[str, Any], node: Mapping[str, Any], digits: Sequence[int]) -> str:
    """Why a cell is dropped; empty if it is kept."""
    if "test" in node:
        test = explorer["tests"][node["test"]]
        return "" if passes(explorer, test, digits) else test["reason"]
    reasons = [reason_of(explorer, child, digits) for child in node.get("all", node.get("any"))]
    if "all" in node:
        return next((reason for reason in reasons if reason), "")
    return " and ".join(reasons) if all(reasons) else ""


def tally(
    explorer: Mapping[str, Any],
    cells: Sequence[tuple[list[int], int]],
    moved: Mapping[int, int] | None = None,
) -> Counter[str]:
    """Samples by reason, "" for kept, with some tests at other edges: test -> edge."""
    tests = [test | {"edge": (moved or {}).get(test["id"], test["edge"])} for test in
             explorer["tests"]]  # fmt: skip
    now = {**explorer, "tests": tests}
    found: Counter[str] = Counter()
    for digits, count in cells:
        found[reason_of(now, explorer["rules"], digits)] += count
    return found
