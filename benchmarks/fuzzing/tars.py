"""Hostile tars: members with mutated contents, headers that lie, blocks that move."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from curate.tar_headers import BLOCK, parse_header
from fuzzing.contents import BYTES, CAPTIONS, METADATA, PICTURES

Members = list[tuple[str, bytes]]

NAMES: Final = (
    "../../escaped.jpg",
    "/tmp/escaped.jpg",  # noqa: S108 - the name of a member: reading must not write there
    "..\\..\\escaped.jpg",
    "C:\\escaped.jpg",
    ".jpg",
    "a.b.c.jpg",
    "....//x.jpg",
    "\x1b[2J\u202e.txt",
    "=1+1.txt",
    "{0}.json",
    "~root/x.jpg",
    "file://x.jpg",
    "x" * 5000 + ".jpg",
    "x/" * 2500 + "y.txt",
    "y." + "e" * 200_000,
    "con.jpg",
    "",
    "/",
)
KINDS: Final = b"01234567LKxgSDNVX\0\xff"
FORMATS: Final = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


@dataclass(frozen=True)
class Mutated:
    """A case's bytes, and the names of what was done to them."""

    data: bytes
    mutations: tuple[str, ...]


def mutated_shard(
    rng: random.Random, samples: Sequence[Members], pictures: Sequence[bytes]
) -> Mutated:
    """A shard of one to four of the samples, with one to four mutations.

    Args:
        rng: decides everything.
        samples: whole ones: image, caption, metadata.
        pictures: further images, of every format.
    """
    chosen = [list(rng.choice(samples)) for _ in range(rng.randint(1, 4))]
    members = [(f"{i:04d}{name[name.rindex('.'):]}", data)
               for i, sample in enumerate(chosen) for name, data in sample]  # fmt: skip
    told: list[str] = []
    depths = rng.choices((_change_contents, _change_members), (4, 1), k=rng.randint(0, 2))
    for change in depths:
        change(rng, members, pictures, told)
    data = write_tar(rng, members)
    for _ in range(rng.randint(0 if told else 1, 2)):
        name, mutation = rng.choice(list(BLOCKS.items()))
        data = mutation(rng, data)
        told.append(f"tar:{name}")
    return Mutated(data, tuple(told))


# --- members ----------------------------------------------------------------------------------


def _change_contents(
    rng: random.Random, members: Members, pictures: Sequence[bytes], told: list[str]
) -> None:
    at = rng.randrange(len(members))
    name, data = members[at]
    kind, special = "caption", CAPTIONS
    if name.endswith(".json"):
        kind, special = "json", METADATA
    elif not name.endswith(".txt"):
        kind, special = "image", PICTURES
        if rng.random() < 0.4:
            data = rng.choice(pictures)
    what, mutation = rng.choice(list((BYTES if rng.random() < 0.5 else special).items()))
    members[at] = (name, mutation(rng, data))
    told.append(f"{kind}:{what}")


def _change_members(
    rng: random.Random, members: Members, pictures: Sequence[bytes], told: list[str]
) -> None:
    at, other = rng.randrange(len(members)), rng.randrange(len(members))
    what = rng.choice(("rename", "repeat", "swap", "drop", "empty"))
    if what == "rename":
        members[at] = (rng.choice(NAMES), members[at][1])
    elif what == "repeat":
        members.insert(other, members[at])
    elif what == "swap":
        members[at], members[other] = members[other], members[at]
    elif what == "drop":
        del members[at]
    else:
        members[at] = (members[at][0], b"")
    told.append(f"members:{what}")
    if not members:
        members.append(("0000.txt", b"alone"))


def write_tar(rng: random.Random, members: Members) -> bytes:
    """The members as a tar of any format that can hold their names."""
    wanted = rng.choice(FORMATS)
    longest = max(len(name) for name, _ in members)
    if longest > 99 and wanted == tarfile.USTAR_FORMAT:
        wanted = tarfile.GNU_FORMAT
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=wanted, errors="surrogateescape") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if wanted == tarfile.PAX_FORMAT and rng.random() < 0.1:
                info.pax_headers = {"comment": "x" * rng.choice((1, 3000, 1_100_000))}
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


# --- blocks and headers -----------------------------------------------------------------------


def headers(data: bytes) -> list[int]:
    """Where blocks lie that are sound headers."""
    starts = range(0, len(data) - BLOCK + 1, BLOCK)
    return [at for at in starts if data[at + 257 : at + 262] == b"ustar"
            and parse_header(data[at : at + BLOCK]) is not None]  # fmt: skip


def with_checksum(block: bytearray) -> bytes:
    """The block with a checksum that is right for it."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def spoil_header(rng: random.Random, data: bytes) -> bytes:
    """Change a field of a header, mostly with the checksum put right."""
    found = headers(data)
    if not found:
        return data
    at = rng.choice(found)
    block = bytearray(data[at : at + BLOCK])
    field = rng.choice((_spoil_name, _spoil_size, _spoil_kind, _spoil_rest))
    field(rng, block)
    changed = with_checksum(block) if rng.random() < 0.8 else bytes(block)
    return data[:at] + changed + data[at + BLOCK :]


def _spoil_name(rng: random.Random, block: bytearray) -> None:
    name = rng.choice(NAMES).encode()[:100]
    block[:100] = (name if rng.random() < 0.7 else rng.randbytes(100)).ljust(100, b"\0")


def _spoil_size(rng: random.Random, block: bytearray) -> None:
    sizes = (0, 1, 511, 513, 1 << 20, (1 << 33) - 1)
    texts = (b"%011o\0" % rng.choice(sizes), b"\x80" + rng.choice(sizes).to_bytes(11, "big"),
             b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-0000000001\0", b"            ",
             b"99999999999\0", b"0x10       \0", bytes(12))  # fmt: skip
    block[124:136] = rng.choice(texts)


def _spoil_kind(rng: random.Random, block: bytearray) -> None:
    block[156] = rng.choice(KINDS)


def _spoil_rest(rng: random.Random, block: bytearray) -> None:
    at = rng.choice((100, 108, 116, 136, 148, 157, 257, 263, 329, 345, 482, 504))
    block[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), b"00000000", rng.randbytes(8)))


def extension(rng: random.Random, data: bytes) -> bytes:
    """A PAX or GNU header before a member, sound or not."""
    found = headers(data) or [0]
    payload = rng.choice(
        (_record(b"path", rng.choice(NAMES).encode()),
         _record(b"size", b"%d" % rng.choice((0, 5, 1 << 40))),
         _record(b"size", b"9" * 5000), _record(b"path", b"a\0b.jpg"), b"9999999999 path=x\n",
         b"0 =\n", b"30 mtime=1\n", b"\xff" * 100, b"", rng.choice(NAMES).encode() + b"\0",
         _record(b"GNU.sparse.realsize", b"1") * 300, b"5 a=\n" * 20_000)
    )  # fmt: skip
    info = tarfile.TarInfo(rng.choice(("././@PaxHeader", "././@LongLink", "x")))
    info.type = bytes((rng.choice(b"xXgLKS"),))
    info.size = len(payload)
    block = info.tobuf(tarfile.GNU_FORMAT) + payload + bytes(-len(payload) % BLOCK)
    at = rng.choice(found)
    return data[:at] + block * rng.choice((1, 1, 2, 40)) + data[at:]


def _record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    length = size + len(str(size))
    length = size + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def move_blocks(rng: random.Random, data: bytes) -> bytes:
    """Repeat, swap, drop or blank whole blocks."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    if not blocks:
        return data
    first, second = rng.randrange(len(blocks)), rng.randrange(len(blocks))
    length = rng.choice((1, 2, 8))
    what = rng.randrange(5)
    if what == 0:
        blocks[second:second] = blocks[first : first + length]
    elif what == 1:
        blocks[first], blocks[second] = blocks[second], blocks[first]
    elif what == 2:
        del blocks[first : first + length]
    elif what == 3:
        blocks[first] = bytes(BLOCK)
    else:
        blocks *= 2
    return b"".join(blocks)


BLOCKS: Final[dict[str, Callable[[random.Random, bytes], bytes]]] = {
    "header": spoil_header,
    "extension": extension,
    "blocks": move_blocks,
    **BYTES,
}
