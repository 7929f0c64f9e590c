"""Visual Genome's `attributes.json`: how many attributes people noted of each image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

import fsspec
import numpy as np
import numpy.typing as npt

from curate.errors import ConfigError

BLOCK: Final = 1 << 22
"""Characters read at once. The file holds 460 MB in one line: parsed whole it takes gigabytes."""

MIN_ANNOTATED: Final = 2  # points that make a line

_ENDS: Final = frozenset(", \t\r\n]")
_BETWEEN: Final = re.compile(r"[\s,]*")
_DIGITS: Final = re.compile(r"\d+")


def read_attribute_counts(place: str) -> dict[int, int]:
    """Attributes annotated per image: image_id -> sum over its objects of their attributes.

    Args:
        place: a path or fsspec URL of a list of
            `{"image_id": 1, "attributes": [{"attributes": ["red", "wet"], ...}, ...]}`. Objects
            without an `attributes` key have none.

    Raises:
        ConfigError: it cannot be read, or is laid out in another way.
    """
    counts: dict[int, int] = {}
    try:
        with fsspec.open(place, "rt", encoding="utf-8") as file:
            for item in iterate_array(file):
                objects = item["attributes"]
                counts[int(item["image_id"])] = sum(len(o.get("attributes") or ()) for o in objects)
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as exc:
        raise ConfigError(
            f"paper.visual_genome.attributes={place!r} is not Visual Genome's attributes.json:"
            f" {exc!r}; it is a list of objects with image_id and attributes"
        ) from exc
    return counts


def iterate_array(file: TextIO, block: int = BLOCK) -> Iterator[Any]:
    """The items of a JSON array, one after the other, holding about one block of text.

    Raises:
        ValueError: the text is no JSON array, or ends within it.
    """
    decoder = json.JSONDecoder()
    text = file.read(block)
    start = len(text) - len(text.lstrip("\ufeff \t\r\n"))
    if text[start : start + 1] != "[":
        raise ValueError("it does not begin with [")
    at = start + 1
    while True:
        found = _BETWEEN.match(text, at)
        at = found.end() if found else at
        if text[at : at + 1] == "]":
            return
        try:
            item, end = decoder.raw_decode(text, at)
            # `0` may go on in the next block, as `0.5`.
            complete = text[end : end + 1] in _ENDS
        except ValueError:
            complete = False
        if complete:
            yield item
            at = end
            continue
        more = file.read(block)
        if not more:
            raise ValueError(f"it ends within an item: {text[at : at + 60]!r}")
        text, at = text[at:] + more, 0


def match_counts(
    counts: Mapping[int, int], image_ids: Sequence[Any], keys: Sequence[str]
) -> npt.NDArray[np.float64]:
    """The number of attributes of each sample: float64 [n], NaN for images without annotation.

    Args:
        counts: image_id -> attributes.
        image_ids: the json's `image_id` of each sample, None without one.
        keys: webdataset keys; the digits that their base names end in are the image_id of a
            sample whose json has none.

    Raises:
        ConfigError: fewer than two samples are annotated.
    """
    found = np.full(len(keys), np.nan)
    for at, (image_id, key) in enumerate(zip(image_ids, keys, strict=True)):
        number = _number(image_id)
        if number is None:
            digits = _DIGITS.findall(key.rpartition("/")[2])
            number = int(digits[-1]) if digits else None
        if number is not None and number in counts:
            found[at] = counts[number]
    if np.isfinite(found).sum() < MIN_ANNOTATED:
        raise ConfigError(
            f"paper.visual_genome: of {len(keys)} images, such as {list(keys[:3])}, fewer than"
            f" {MIN_ANNOTATED} are in the attributes' file; name shards of Visual Genome whose"
            " jsons carry image_id, or whose keys end in it"
        )
    return found


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else None
