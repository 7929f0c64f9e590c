"""Hostile contents of members: pictures, metadata and captions. Pure functions of a generator."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Final

Mutation = Callable[[random.Random, bytes], bytes]

INTERESTING: Final = (0, 1, 0x7F, 0x80, 0xFF)
SIZES: Final = (0, 1, 7071, 16383, 30_000, 65_500, 65_535, (1 << 24) - 1, (1 << 31) - 1)
"""Sides of pictures: nothing, below and above 50 Mpixel, and the limits of the formats."""


# --- bytes ------------------------------------------------------------------------------------


def flip(rng: random.Random, data: bytes) -> bytes:
    """Change up to 16 bytes, half of the time near the beginning, where headers are."""
    spoiled = bytearray(data)
    span = len(data) if rng.random() < 0.5 else min(len(data), 64)
    for _ in range(rng.randint(1, 16) if span else 0):
        spoiled[rng.randrange(span)] = rng.choice((*INTERESTING, rng.randrange(256)))
    return bytes(spoiled)


def cut(rng: random.Random, data: bytes) -> bytes:
    """Cut the end off, or a piece out."""
    first = rng.randint(0, len(data))
    last = len(data) if rng.random() < 0.5 else rng.randint(first, len(data))
    return data[:first] + data[last:]


def insert(rng: random.Random, data: bytes) -> bytes:
    """Insert random bytes, or bytes of the data itself."""
    at, length = rng.randint(0, len(data)), rng.randint(1, 600)
    begin = rng.randint(0, len(data))
    piece = rng.randbytes(length) if rng.random() < 0.5 else data[begin : begin + length]
    return data[:at] + piece + data[at:]


def nothing(rng: random.Random, data: bytes) -> bytes:
    """No bytes at all."""
    return b""


def noise(rng: random.Random, data: bytes) -> bytes:
    """Random bytes, half of the time behind a true beginning."""
    head = data[: rng.choice((0, 2, 12, 30))]
    return head + rng.randbytes(rng.randint(0, 3000))


BYTES: Final[dict[str, Mutation]] = {
    "flip": flip,
    "cut": cut,
    "insert": insert,
    "nothing": nothing,
    "noise": noise,
}


# --- pictures ---------------------------------------------------------------------------------


def huge_png(rng: random.Random, data: bytes) -> bytes:
    """A PNG that declares any size, with an honest checksum and little data."""
    depth, colour = rng.choice(((8, 2), (8, 6), (16, 0), (1, 0), (8, 3), (16, 6)))
    header = struct.pack(
        ">IIBBBBB", rng.choice(SIZES), rng.choice(SIZES), depth, colour, 0, 0, rng.choice((0, 1))
    )
    texts = [(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 22)))] * rng.choice((0, 0, 1, 20))
    chunks = [(b"IHDR", header), *texts, (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def huge_jpeg(rng: random.Random, data: bytes) -> bytes:
    """The size in a JPEG's frame header replaced, whatever marker begins the frame."""
    spoiled = bytearray(data)
    for marker in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2"):
        at = data.find(marker)
        if 0 <= at < len(data) - 9:
            sides = (min(rng.choice(SIZES), 65_535) for _ in range(2))
            spoiled[at + 5 : at + 9] = struct.pack(">HH", *sides)
            if rng.random() < 0.3:
                spoiled[at + 1] = rng.choice((0xC0, 0xC1, 0xC2, 0xC9, 0xCA))
    return bytes(spoiled)


def many_scans(rng: random.Random, data: bytes) -> bytes:
    """A JPEG whose scans are repeated: each costs a pass over all pixels."""
    at, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    if not 0 < at < end:
        return data
    return data[:at] + data[at:end][:2000] * rng.choice((2, 50, 600)) + data[end:]


def jpeg_segments(rng: random.Random, data: bytes) -> bytes:
    """Application segments and comments of any content behind the start of a JPEG."""
    marker = rng.choice((0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE))
    starts = (b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0II*\0\x08\0\0\0", b"ICC_PROFILE\0\1\1",
              b"MPF\0MM\0*\0\0\0\x08", b"Photoshop 3.0\0008BIM", b"Adobe\0d\0\0\0\0\2",
              b"JFIF\0")  # fmt: skip
    body = rng.choice(starts) + rng.randbytes(rng.choice((0, 20, 3000)))
    segment = bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body
    return data[:2] + segment * rng.choice((1, 3)) + data[2:]


def huge_webp(rng: random.Random, data: bytes) -> bytes:
    """A WebP whose canvas or frame claims any size."""
    width, height = (min(rng.choice(SIZES), 1 << 24) for _ in range(2))
    if rng.random() < 0.5 or data[12:16] not in (b"VP8 ", b"VP8X", b"VP8L"):
        flags = rng.choice((b"\x02", b"\x10", b"\0", b"\x2e"))
        canvas = _u24(max(width - 1, 0)) + _u24(max(height - 1, 0))
        body = b"VP8X" + struct.pack("<I", 10) + flags + bytes(3) + canvas + data[12:]
        return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    spoiled = bytearray(data)
    at = {b"VP8 ": 26, b"VP8L": 21, b"VP8X": 24}[data[12:16]]
    spoiled[at : at + 4] = rng.randbytes(4)
    return bytes(spoiled)


def _u24(value: int) -> bytes:
    return (value & 0xFFFFFF).to_bytes(3, "little")


def odd_tiff(rng: random.Random, data: bytes) -> bytes:
    """A TIFF of random tags: sizes, strips, tiles and offsets that nothing stands behind."""
    tags = rng.sample((256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325,
                       330, 338, 339, 700, 34665), rng.randint(4, 20))  # fmt: skip
    entries = b""
    for tag in sorted({256, 257, *tags}):
        value = rng.choice((0, 1, 2, 3, 5, 7, 8, 8, *SIZES, 0xFFFFFFFF))
        kind = rng.choice((1, 3, 4, 4, 4, 5, 12, 16))
        entries += struct.pack("<HHII", tag, kind, rng.choice((1, 1, 1, 3, 1 << 20)), value)
    count = len(entries) // 12
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(4) + data[:2000]


def gif_of_blocks(rng: random.Random, data: bytes) -> bytes:
    """A GIF with many comments, or frames larger than its screen."""
    screen = struct.pack("<HHBBB", rng.choice((1, 40, 65_535)), rng.choice((1, 40)), 0x80, 0, 0)
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * rng.choice((1, 400)) + b"\0"
    size = (min(rng.choice(SIZES), 65_535) for _ in range(2))
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x02\x4c\x01\0"
    return b"GIF89a" + screen + bytes(6) + comment * rng.choice((0, 1, 5)) + frame + b";"


PICTURES: Final[dict[str, Mutation]] = {
    "huge_png": huge_png,
    "huge_jpeg": huge_jpeg,
    "many_scans": many_scans,
    "jpeg_segments": jpeg_segments,
    "huge_webp": huge_webp,
    "odd_tiff": odd_tiff,
    "gif_of_blocks": gif_of_blocks,
}


# --- metadata ---------------------------------------------------------------------------------


def deep_json(rng: random.Random, data: bytes) -> bytes:
    """Nested once to a hundred thousand times; closed or not."""
    depth = rng.choice((1, 63, 64, 65, 900, 100_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return b'{"a":' + opening * depth + b"1" + closing * rng.choice((0, depth)) + b"}"


def odd_json(rng: random.Random, data: bytes) -> bytes:
    """Numbers, texts and keys that parsers disagree on."""
    uid = rng.choice(
        (b"null", b"NaN", b"1e999999", b"-Infinity", b"9" * rng.choice((20, 4301, 100_000)),
         b'"\\ud800"', b'"\\ud83d\\ude00"', b'"' + b"f" * 32 + b'"', b'"' + b"F" * 33 + b'"',
         b'"\\u0000' + b"a" * 31 + b'"', b"[]", b"{}", b"true", b'"\xff"', b'"\xed\xa0\x80"')
    )  # fmt: skip
    key = rng.choice((b"uid", b"sha256", b"\\ud800", b"__class__", b"key", b"\\u0075id"))
    pairs = [b'"%b": %b' % (key, uid)] * rng.choice((1, 2, 500))
    return rng.choice((b"", b"\xef\xbb\xbf", b" " * 100)) + b"{" + b", ".join(pairs) + b"}"


def other_json(rng: random.Random, data: bytes) -> bytes:
    """Valid, but no object; or more than its limit; or not UTF-8."""
    texts = (b"[]", b"3", b'"text"', b"null", b"{", b"{}{}", b"{'a': 1}", b"\xff\xfe{\0}\0",
             json.dumps({"a": "x" * 1_100_000}).encode(),
             b"!!python/object:os.system {}")  # fmt: skip
    return rng.choice(texts)


METADATA: Final[dict[str, Mutation]] = {
    "deep_json": deep_json,
    "odd_json": odd_json,
    "other_json": other_json,
}


# --- captions ---------------------------------------------------------------------------------


def odd_caption(rng: random.Random, data: bytes) -> bytes:
    """Invalid UTF-8, control characters, bidirectional marks, surrogates, formulas, markup."""
    pieces = (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0", b"\x1b[2J",
              b"\x1b]0;title\x07", "\u202e\u2066".encode(), "\ufeff".encode(),
              "\u0301".encode() * 40, "\U0001f9d1\u200d\U0001f680".encode(), b"=cmd|' /C calc'!A0",
              b"<script>alert(1)</script>",
              b"[red]x[/red]", b"&amp;" * 50, b"<end_of_text>", b"\r\n\x85\xc2\x85", "ﷺ".encode(),
              "\u3164".encode(), b"%s%n{0.__class__}", data)  # fmt: skip
    return b" ".join(rng.choice(pieces) for _ in range(rng.randint(1, 8)))


def long_caption(rng: random.Random, data: bytes) -> bytes:
    """As long as a caption may be, or longer: one word, many, or marks that pile up."""
    unit = rng.choice(
        (b"a", b"a ", b"'s", b"\xcc\x81", b"&", b"\xf0\x9f\x98\x80", b"1", b"<", b"(")
    )
    return unit * (rng.choice((2000, 65_535, 65_536, 65_537, 300_000)) // len(unit))


CAPTIONS: Final[dict[str, Mutation]] = {"odd_caption": odd_caption, "long_caption": long_caption}
