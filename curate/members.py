"""What a sample's members say: names, captions and metadata, from untrusted bytes."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from curate.errors import SampleError

JSON_DEPTH: Final = 64
"""Levels of nesting; img2dataset writes two. Python's own limit varies with version and stack."""

KEY_LIMIT: Final = 4096
"""Characters; a path is no longer on any file system, and rows hold keys until a shard is done."""

_UID: Final = re.compile(r"[0-9a-fA-F]{32}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BRACKETS: Final = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "Mn", "Me"})
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Hangul fillers and the empty Braille cell: letters and symbols to Unicode, blank to the eye."""


def split_name(name: str) -> tuple[str, str]:
    """Split a member name into key and lowercase extension, at the first dot of the base name."""
    while name.startswith("./"):
        name = name[2:]
    directory, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return directory + slash + stem, extension.lower()


def derive_uid(shard_id: str, key: str) -> str:
    """The uid of a sample that brings none: 32 hex digits of a hash over shard id and key."""
    name = f"{shard_id}\0{key}".encode("utf-8", "backslashreplace")
    return hashlib.blake2b(name, digest_size=16).hexdigest()


def own_uid(metadata: Mapping[str, Any]) -> str | None:
    """The uid that a sample's metadata brings, in lower case; None where it brings none."""
    uid = metadata.get("uid")
    return uid.lower() if isinstance(uid, str) and _UID.fullmatch(uid) else None


def parse_caption(data: bytes, limit: int) -> str:
    """Decode a caption; control characters become spaces, a byte order mark goes.

    Raises:
        SampleError: `caption_too_long`, `invalid_caption` (not UTF-8) or `empty_caption`.
    """
    if len(data) > limit:
        raise SampleError("caption_too_long", f"{len(data)} bytes; the limit is {limit}")
    try:
        caption = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        found = f"byte {data[exc.start]:#04x} at {exc.start}: {exc.reason}"
        raise SampleError("invalid_caption", f"not UTF-8: {found}") from exc
    caption = clean_caption(caption)
    if not any(_is_visible(character) for character in caption):
        raise SampleError("empty_caption", f"{len(data)} bytes without a visible character")
    return caption


def clean_caption(caption: str) -> str:
    """A caption with spaces in place of control characters."""
    return _CONTROL.sub(" ", caption)


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in _INVISIBLE and character not in _BLANK_LETTERS


def parse_metadata(data: bytes) -> dict[str, Any]:
    """Parse a .json member; NaN and Infinity are read, unpaired surrogates become `?`.

    Raises:
        SampleError: `invalid_json`.
    """
    try:
        text = data.decode("utf-8-sig")
        if _is_too_deep(text):
            raise SampleError("invalid_json", f"nested over {JSON_DEPTH} levels deep")
        metadata = json.loads(text)
        if _SURROGATE_ESCAPE.search(text):
            encoded = json.dumps(metadata, ensure_ascii=False).encode("utf-8", "replace")
            metadata = json.loads(encoded)
    except (ValueError, RecursionError) as exc:
        raise SampleError("invalid_json", f"{len(data)} bytes: {exc}"[:500]) from exc
    if not isinstance(metadata, dict):
        raise SampleError("invalid_json", f"a {type(metadata).__name__}, not an object")
    return metadata


def _is_too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= JSON_DEPTH:
        return False
    depth, in_string = 0, False
    for match in _BRACKETS.finditer(text):
        mark = match.group()
        if mark == '"':
            in_string = not in_string
        elif not in_string and mark in "[{":
            depth += 1
            if depth > JSON_DEPTH:
                return True
        elif not in_string and mark in "]}":
            depth -= 1
    return False
