"""What columns of metadata say of captions and pictures, over Arrow's buffers."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_INT32: Final = np.iinfo(np.int32).max


def texts_of(column: pa.Array) -> pa.Array:
    """A column as strings [n]; bytes that are not UTF-8 become U+FFFD, as Python replaces them.

    Args:
        column: of strings, integers (img2dataset's keys may be read back as such), dictionaries of
            these, or null.

    Raises:
        pa.ArrowException: it is of another type.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return texts_of(column.dictionary_decode())
    if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise pa.ArrowTypeError(f"{kind} cannot be read as text")
    try:
        text = column.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.cast(pa.large_binary()).to_pylist()
        return pa.array(
            [None if item is None else item.decode("utf-8", "replace") for item in raw], pa.string()
        )
    return text


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)) or bool(
        pa.types.is_string_view(kind)
    )


def caption_counts(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """len(text) and len(text.split()) of each caption: int32 [n] twice, null where it is null.

    Arrow's idea of white space is Python's, character for character (tests compare them all).
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    words = pc.list_value_length(pc.utf8_split_whitespace(trimmed))
    # Splitting nothing gives one empty string, where Python gives none.
    blank = pc.equal(pc.binary_length(trimmed), 0)
    words = pc.if_else(blank, pa.scalar(np.int32(0)), words)
    return pc.utf8_length(texts).cast(pa.int32()), words.cast(pa.int32())


def sizes(width: pa.Array, height: pa.Array) -> dict[str, pa.Array]:
    """Columns `width`, `height`, `shorter_side` (int32, pixels) and `aspect_ratio` (float32), [n].

    Null where unknown: null, NaN, negative or over 2^31; the ratio also where a side is zero.

    Raises:
        pa.ArrowException: a column is not numeric.
    """
    of_width, of_height = _lengths(width), _lengths(height)
    shorter, longer = np.minimum(of_width, of_height), np.maximum(of_width, of_height)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (longer / shorter).astype(np.float32)
    return {
        "width": _integers(of_width),
        "height": _integers(of_height),
        "shorter_side": _integers(shorter),
        "aspect_ratio": pa.array(ratio, mask=~np.isfinite(ratio)),
    }


def no_sizes(rows: int) -> dict[str, pa.Array]:
    """The same columns where the metadata tells no size."""
    nothing = pa.nulls(rows, pa.int32())
    return {
        "width": nothing,
        "height": nothing,
        "shorter_side": nothing,
        "aspect_ratio": pa.nulls(rows, pa.float32()),
    }


def _lengths(column: pa.Array) -> npt.NDArray[np.float64]:
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_null(column.type)
    ):
        raise pa.ArrowTypeError(f"width or height is {column.type}, expected a number of pixels")
    values = cast("npt.NDArray[Any]", column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    known = (values >= 0) & (values <= _INT32)
    return np.where(known, np.trunc(np.where(known, values, 0)), np.nan)


def _integers(values: npt.NDArray[np.float64]) -> pa.Array:
    unknown = np.isnan(values)
    return pa.array(np.where(unknown, 0, values).astype(np.int32), mask=unknown)


def without_nan(column: pa.Array) -> pa.Array:
    """A column of floats with null for NaN, so that what is missing is missing in one way."""
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
