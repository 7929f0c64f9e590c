"""What samples are ordered by: a value, then the 128-bit uid.

The uid breaks ties, so the order is total as long as uids are unique, and every cut through a
pool is exact and reproducible. A column is compared in its own precision: float64 in float64, any
other real column in float32, the precision of scores. A threshold is rounded to that first, so
that `min: 0.7` keeps a score that prints as 0.7. A missing value (NaN) ranks below all others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.errors import NumericsError

UID: Final = np.dtype([("f0", "<u8"), ("f1", "<u8")])
"""A uid: the high and low 64 bits of its 32 hexadecimal digits, as DataComp stores subsets."""

UidArray = npt.NDArray[np.void]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[Any]
"""float32 or float64."""

_HEX_DIGITS: Final = 32
_UID_PATTERN: Final = re.compile(r"[0-9a-fA-F]{32}")
_NOT_HEX: Final = 255


def _nibble_table() -> npt.NDArray[np.uint8]:
    table = np.full(256, _NOT_HEX, dtype=np.uint8)
    for value, digit in enumerate("0123456789abcdef"):
        table[ord(digit)] = table[ord(digit.upper())] = value
    return table


_NIBBLES: Final = _nibble_table()


def parse_uids(uids: Sequence[str] | npt.NDArray[Any]) -> UidArray:
    """Read uids of 32 hexadecimal digits, either case.

    Args:
        uids: [n] strings.

    Returns:
        UID [n].

    Raises:
        NumericsError: an entry is no string of 32 hexadecimal digits; names the first one.
    """
    items: list[Any] = uids.tolist() if isinstance(uids, np.ndarray) else list(uids)
    if any(not isinstance(item, str) or len(item) != _HEX_DIGITS for item in items):
        raise _bad_uid(items)
    # One byte per character whatever the character: positions stay aligned.
    digits = _NIBBLES[np.frombuffer("".join(items).encode("ascii", "replace"), dtype=np.uint8)]
    if (digits == _NOT_HEX).any():
        raise _bad_uid(items)
    digits = digits.reshape(len(items), _HEX_DIGITS)
    octets = np.ascontiguousarray((digits[:, ::2] << 4) | digits[:, 1::2])
    words = octets.view(">u8")
    out = np.empty(len(items), dtype=UID)
    out["f0"], out["f1"] = words[:, 0], words[:, 1]
    return out


def format_uids(uids: UidArray) -> list[str]:
    """Write uids as 32 lowercase hexadecimal digits each; the inverse of `parse_uids`."""
    checked = as_uids(uids)
    words = np.stack([checked["f0"], checked["f1"]], axis=1).astype(">u8")
    text = words.tobytes().hex()
    return [text[i : i + _HEX_DIGITS] for i in range(0, len(text), _HEX_DIGITS)]


def as_uids(uids: UidArray) -> UidArray:
    """Check that `uids` is a UID array [n].

    Raises:
        NumericsError: another dtype or shape.
    """
    array = np.asarray(uids)
    if array.dtype != UID or array.ndim != 1:
        raise NumericsError(
            f"uids are {array.dtype} {array.shape}; expected {UID} [n], see parse_uids"
        )
    return array


def as_comparable(values: npt.ArrayLike, name: str = "values") -> FloatArray:
    """`values` [n] in the precision that they are compared in; NaN stays.

    Returns:
        float64 [n] if that is their dtype, else float32 [n].

    Raises:
        NumericsError: not a real [n]; the message names `name`.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iufb":
        raise NumericsError(f"{name} is {array.dtype} {array.shape}; expected a real [n]")
    precision = np.float64 if array.dtype == np.float64 else np.float32
    with np.errstate(over="ignore"):  # beyond float32 is infinity, which keeps the order
        rounded: FloatArray = array.astype(precision, copy=False)
    return rounded


def as_present(values: npt.ArrayLike, name: str = "values") -> FloatArray:
    """As `as_comparable`, for columns without missing values.

    Raises:
        NumericsError: as there, or NaN.
    """
    array = as_comparable(values, name)
    if np.isnan(array).any():
        raise NumericsError(
            f"{name} holds NaN, first at row {int(np.isnan(array).argmax())}; "
            "only samples with scores can be ranked or tested"
        )
    return array


def bits_dtype(precision: npt.DTypeLike) -> np.dtype[Any]:
    """The dtype of `ordered_bits` of values of a precision: uint32 for float32, else uint64."""
    return np.dtype(np.uint32 if np.dtype(precision) == np.float32 else np.uint64)


def ordered_bits(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Map values to integers of the same order; -0.0 and 0.0 map to the same one, NaN to -inf's.

    Args:
        values: real [n].

    Returns:
        uint32 [n] for what is compared in float32, uint64 [n] for float64.
    """
    array = as_comparable(values)
    # Adding +0.0 turns -0.0 into 0.0 and copies, so that the view below is of our own memory.
    present: npt.NDArray[Any] = array + array.dtype.type(0)
    present[np.isnan(present)] = -np.inf
    bits = present.view(bits_dtype(array.dtype))
    width = 8 * bits.dtype.itemsize
    # A negative float orders by falling magnitude: flip all bits; else set the sign bit.
    flipped = (bits.view(f"i{bits.dtype.itemsize}") >> (width - 1)).view(bits.dtype)
    bits ^= flipped | bits.dtype.type(1 << (width - 1))
    return bits


def value_of_bits(bits: int, precision: npt.DTypeLike = np.float32) -> float:
    """Invert `ordered_bits`: the value of a precision that maps to `bits`, as a Python float."""
    dtype = bits_dtype(precision)
    width = 8 * dtype.itemsize
    sign = 1 << (width - 1)
    raw = bits ^ sign if bits & sign else bits ^ ((1 << width) - 1)
    return float(np.array([raw], dtype=dtype).view(precision)[0])


@dataclass(frozen=True)
class Cut:
    """A place in the order: a sample lies below it iff (value, uid) < (cut.value, cut.uid).

    Attributes:
        value: not NaN; -inf has nothing below it, +inf every finite value.
        uid: high and low 64 bits; (0, 0) leaves every sample that ties with `value` above.

    Raises:
        NumericsError: NaN, or a uid out of range.
    """

    value: float
    uid: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if math.isnan(self.value):
            raise NumericsError("cut: value is NaN; expected a number")
        if len(self.uid) != 2 or not all(0 <= part < 2**64 for part in self.uid):
            raise NumericsError(f"cut: uid is {self.uid}; expected two integers of 64 bits")

    def to_json(self) -> dict[str, float | str]:
        """Return a JSON-ready object; `from_json` gives the same cut back to the bit.

        The uid is hexadecimal because 64-bit integers do not survive every JSON reader, and an
        infinite value is `"inf"` or `"-inf"` because JSON has no infinity.
        """
        value = self.value if math.isfinite(self.value) else str(self.value)
        return {"value": value, "uid": f"{self.uid[0]:016x}{self.uid[1]:016x}"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cut:
        """Read what `to_json` wrote.

        Raises:
            NumericsError: a field is missing, unknown or of a wrong form.
        """
        if not isinstance(data, Mapping) or set(data) != {"value", "uid"}:
            raise NumericsError(f"cut: {data!r}; expected an object with `value` and `uid`")
        value, uid = data["value"], data["uid"]
        if value not in ("inf", "-inf") and (
            isinstance(value, bool) or not isinstance(value, int | float)
        ):
            raise NumericsError(f"cut: value is {value!r}; expected a number, inf or -inf")
        if not isinstance(uid, str) or not _UID_PATTERN.fullmatch(uid):
            raise NumericsError(f"cut: uid is {uid!r}; expected {_HEX_DIGITS} hexadecimal digits")
        return cls(float(value), (int(uid[:16], 16), int(uid[16:], 16)))


KEEP_ALL: Final = Cut(-math.inf)
"""Nothing lies below it."""

DROP_ALL: Final = Cut(math.inf)
"""Every finite value lies below it."""


def threshold_of(cut: Cut, precision: npt.DTypeLike = np.float32) -> np.floating[Any]:
    """Round the cut's value to the precision of comparison; beyond float32 it is infinite."""
    with np.errstate(over="ignore"):
        rounded: np.floating[Any] = np.float64(cut.value).astype(precision)
    return rounded


def below(cut: Cut, values: npt.ArrayLike, uids: UidArray) -> BoolArray:
    """Which samples lie below the cut; a missing value ranks as -inf.

    Args:
        cut: the place in the order.
        values: real [n].
        uids: UID [n].

    Returns:
        bool [n].

    Raises:
        NumericsError: the lengths differ.
    """
    scores, ids = as_comparable(values), as_uids(uids)
    if len(scores) != len(ids):
        raise NumericsError(f"{len(scores)} values and {len(ids)} uids; expected as many")
    threshold = threshold_of(cut, scores.dtype)
    if cut.uid == (0, 0):  # no uid is smaller: ties stay
        return (scores < threshold) | (np.isnan(scores) & (threshold > -np.inf))
    scores = np.where(np.isnan(scores), scores.dtype.type(-np.inf), scores)
    return np.asarray((scores < threshold) | ((scores == threshold) & uid_below(cut.uid, ids)))


def uid_below(uid: tuple[int, int], uids: UidArray) -> BoolArray:
    """Which of `uids` [n] are smaller than one uid, given as its high and low 64 bits."""
    high, low = np.uint64(uid[0]), np.uint64(uid[1])
    return np.asarray((uids["f0"] < high) | ((uids["f0"] == high) & (uids["f1"] < low)))


def _bad_uid(items: list[Any]) -> NumericsError:
    row, item = next(
        (i, item)
        for i, item in enumerate(items)
        if not (isinstance(item, str) and _UID_PATTERN.fullmatch(item))
    )
    return NumericsError(f"uid {item!r} at row {row}: expected {_HEX_DIGITS} hexadecimal digits")
