"""Exact order statistics: of a stream in bounded memory, and of a sample in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError
from curate.numerics.keys import (
    DROP_ALL,
    KEEP_ALL,
    Cut,
    UidArray,
    as_float32,
    as_uids,
    ordered_bits,
    value_of_bits,
)

Rule = Literal["drop_lowest", "keep_highest"]

_DIGIT_BITS: Final = 16
_DIGITS: Final = 10  # 160-bit key: 2 digits of value, 4 of uid high, 4 of uid low
_VALUE_DIGITS: Final = 2
_HIGH_DIGITS: Final = 6  # digits of value and uid high together

_Keys = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]


class RankSearch:
    """The k-th smallest (value, uid) of a stream, exactly, in bounded memory.

    A radix search over the 160-bit key: every pass over the same stream either holds all the
    elements that are still in question, or counts them by their next 16 bits and narrows the
    question to one bin. Memory is 512 KiB of counts and 20 bytes for each of at most `limit`
    elements (twice that for a moment, while selecting among them). A stream of up to `limit`
    elements takes one pass; a longer one at most three while no more than `limit` elements share
    one value; any stream at most ten. Partition and order of the stream do not matter.

    Use::

        while not search.done:
            for values, uids in chunks():
                search.update(values, uids)
            search.finish_pass()
        search.cut
    """

    def __init__(self, rank: int, limit: int = 4_000_000) -> None:
        """Search the element with exactly `rank` elements before it (uids being unique).

        Raises:
            NumericsError: rank < 0 or limit < 1.
        """
        if rank < 0 or limit < 1:
            raise NumericsError(
                f"rank search: rank {rank}, limit {limit}; expected rank >= 0 and limit >= 1"
            )
        self._rank = rank
        self._within = rank  # rank among the elements still in question
        self._limit = limit
        self._prefix: list[int] = []
        self._expected: int | None = None  # elements in question, once a pass has counted them
        self._passes = 0
        self._cut: Cut | None = None
        self._count = 0  # elements in question that this pass has seen
        self._held: list[_Keys] | None = None
        self._histogram: npt.NDArray[np.int64] | None = None
        self._start_pass()

    @property
    def passes(self) -> int:
        """Passes finished so far."""
        return self._passes

    @property
    def done(self) -> bool:
        """Whether the cut is known."""
        return self._cut is not None

    @property
    def cut(self) -> Cut:
        """The cut at the k-th element.

        Raises:
            NumericsError: the search is not done.
        """
        if self._cut is None:
            raise NumericsError("rank search: the cut is not known yet; finish the passes first")
        return self._cut

    def update(self, values: npt.ArrayLike, uids: UidArray) -> None:
        """Take a chunk of the stream: real values [n], compared as float32, and UID [n].

        Raises:
            NumericsError: NaN, lengths that differ, or the search is done already.
        """
        if self.done:
            raise NumericsError("rank search: already done; start a new one for another stream")
        bits, ids = ordered_bits(values), as_uids(uids)
        if len(bits) != len(ids):
            raise NumericsError(f"{len(bits)} values and {len(ids)} uids; expected as many")
        keys = self._in_question((bits, ids["f0"], ids["f1"]))
        self._count += len(keys[0])
        if self._histogram is not None:
            digits = _digit(keys, len(self._prefix))
            self._histogram += np.bincount(digits, minlength=len(self._histogram))
        if self._count > self._limit:
            self._held = None
        elif self._held is not None:
            # The value bits are ours; the uids may be views of a buffer that the caller reuses.
            self._held.append((keys[0], keys[1].copy(), keys[2].copy()))

    def finish_pass(self) -> None:
        """End a pass: the whole stream was given once since the last one.

        Raises:
            NumericsError: the rank lies beyond the stream, or the stream is not the one of the
                earlier passes.
        """
        if self.done:
            raise NumericsError("rank search: already done")
        if self._expected is None and self._rank >= self._count:
            raise NumericsError(
                f"rank search: rank {self._rank} (0-based) is beyond the {self._count} elements"
            )
        if self._expected is not None and self._count != self._expected:
            raise NumericsError(
                f"rank search: {self._count} elements in pass {self._passes + 1} where "
                f"{self._expected} were counted before; every pass must scan the same stream"
            )
        self._passes += 1
        if self._held is not None:
            self._cut = _select(self._held, self._within)
        else:
            self._narrow()
        self._start_pass()

    def _start_pass(self) -> None:
        # In the first pass the count is not known yet: count and hold until it overflows.
        fits = self._expected is None or self._expected <= self._limit
        self._count = 0
        self._held = [] if fits and not self.done else None
        counts = not self.done and (self._expected is None or not fits)
        self._histogram = np.zeros(1 << _DIGIT_BITS, dtype=np.int64) if counts else None

    def _narrow(self) -> None:
        assert self._histogram is not None  # a pass that holds no elements counts them
        upto = np.cumsum(self._histogram)
        digit = int(np.searchsorted(upto, self._within, side="right"))
        self._expected = int(self._histogram[digit])
        self._within -= int(upto[digit]) - self._expected
        self._prefix.append(digit)
        if len(self._prefix) == _DIGITS:  # every element left has the very same key
            self._cut = _cut_of_digits(self._prefix)

    def _in_question(self, keys: _Keys) -> _Keys:
        for position, digit in enumerate(self._prefix):
            match = _digit(keys, position) == digit
            keys = (keys[0][match], keys[1][match], keys[2][match])
        return keys


def run_searches(
    searches: Sequence[tuple[str, RankSearch]],
    scan: Callable[[], Iterable[tuple[Mapping[str, npt.ArrayLike], UidArray]]],
) -> tuple[Cut, ...]:
    """Run several searches over the same scans: as many passes as the longest one needs.

    Args:
        searches: (column, search) pairs.
        scan: starts a scan of the pool, yielding (columns by name, UID [n]); called once a pass.

    Returns:
        The cuts, in the order of `searches`.

    Raises:
        NumericsError: as `RankSearch`, or a column is missing.
    """
    while open_searches := [(name, search) for name, search in searches if not search.done]:
        for columns, uids in scan():
            for name, search in open_searches:
                if name not in columns:
                    raise NumericsError(f"no column {name!r}; there are {sorted(columns)}")
                search.update(columns[name], uids)
        for _, search in open_searches:
            search.finish_pass()
    return tuple(search.cut for _, search in searches)


def rank_of(n: int, fraction: float, rule: Rule) -> int:
    """How many of `n` samples a fraction drops; the rank (0-based) of the first one kept.

    `drop_lowest` f drops floor(n f); `keep_highest` f keeps floor(n f). The fraction is taken as
    the decimal that it prints as: 0.29 of 100 is 29, although the float times 100 is below.

    Raises:
        NumericsError: n < 0, a fraction outside of [0, 1], or an unknown rule.
    """
    if rule not in get_args(Rule):
        raise NumericsError(f"rule is {rule!r}; expected one of {get_args(Rule)}")
    if n < 0 or not (math.isfinite(fraction) and 0 <= fraction <= 1):
        raise NumericsError(f"fraction {fraction} of {n}: expected a fraction in [0, 1] and n >= 0")
    share = math.floor(Fraction(str(fraction)) * n)
    return share if rule == "drop_lowest" else n - share


def quantile_cut(sample_values: npt.ArrayLike, fraction: float, rule: Rule) -> Cut:
    """Find the cut that a fraction means on a sample in memory, such as the Reference.

    Its value is the k-th smallest (0-based), k = `rank_of`, and it has no uid: values that tie
    with it stay. k = 0 gives -inf (nothing is dropped, out of the sample or in it), k = n +inf.

    Args:
        sample_values: real [n], in any order, n >= 1; compared as float32.
        fraction: in [0, 1].
        rule: `drop_lowest` or `keep_highest`.

    Raises:
        NumericsError: no values, NaN, or as `rank_of`.
    """
    values = as_float32(sample_values, "sample values")
    if len(values) == 0:
        raise NumericsError("sample values are empty; a fraction needs a sample to refer to")
    rank = rank_of(len(values), fraction, rule)
    if rank == 0:
        return KEEP_ALL
    if rank == len(values):
        return DROP_ALL
    # + 0.0: which of -0.0 and 0.0 a partition puts first is not defined.
    return Cut(float(np.partition(values, rank)[rank]) + 0.0)


def _digit(keys: _Keys, position: int) -> npt.NDArray[Any]:
    """16 bits of every key, `position` counted from the most significant."""
    part: npt.NDArray[Any]
    if position < _VALUE_DIGITS:
        part, last = keys[0], _VALUE_DIGITS - 1
    elif position < _HIGH_DIGITS:
        part, last = keys[1], _HIGH_DIGITS - 1
    else:
        part, last = keys[2], _DIGITS - 1
    shift = part.dtype.type(_DIGIT_BITS * (last - position))
    return ((part >> shift) & part.dtype.type((1 << _DIGIT_BITS) - 1)).astype(np.int64)


def _cut_of_digits(digits: Sequence[int]) -> Cut:
    key = 0
    for digit in digits:
        key = (key << _DIGIT_BITS) | digit
    mask = (1 << 64) - 1
    return Cut(value_of_bits(key >> 128), ((key >> 64) & mask, key & mask))


def _select(held: Sequence[_Keys], rank: int) -> Cut:
    """Find the element of `rank` among the held ones: by value, then among equals by uid."""
    parts: list[npt.NDArray[Any]] = [np.concatenate(column) for column in zip(*held, strict=True)]
    found: list[int] = []
    for position in range(len(parts)):
        wanted = np.partition(parts[position], rank)[rank]
        rank -= int((parts[position] < wanted).sum())
        equal = parts[position] == wanted
        parts = [part[equal] for part in parts]
        found.append(int(wanted))
    return Cut(value_of_bits(found[0]), (found[1], found[2]))
