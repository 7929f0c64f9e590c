"""Samples by key, SHARD/KEY or uid, found in scans that hold nothing of the pool."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import RunDirError
from curate.outputs import Store
from curate.prefetch import prefetched
from curate.samples import IMAGE_EXTENSIONS
from curate.score_tables import read_columns

MOST_LISTED: Final = 10
"""Places of an ambiguous name that an error lists."""

SUGGESTIONS: Final = 3

MOST_COMPARED: Final = 20_000
"""Keys that are compared letter by letter with an unknown one, before the search for similar ones
ends: about two seconds."""

SIMILAR: Final = 0.75
"""Ratio of equal letters, as `difflib` counts them, from which a key is similar."""

_UID: Final = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample is: its shard, its row in the shard's scores, and its key."""

    shard: str
    row: int
    key: str

    def __str__(self) -> str:
        return f"{self.shard}/{self.key}"


def find(store: Store, shards: Sequence[str], names: Sequence[str]) -> dict[str, list[Place]]:
    """Find samples. Of names that begin with a shard, only that shard is read.

    Args:
        store: the run directory.
        shards: ids of the scored ones, in the order of the run.
        names: keys, SHARD/KEY or uids.

    Returns:
        For each name its rows, one unless a shard holds its key more than once.

    Raises:
        RunDirError: a name is unknown, or that of samples in several shards.
        OutputError: scores are missing or damaged.
    """
    known, found = frozenset(shards), dict[str, list[Place]]()
    for name in dict.fromkeys(names):
        shard, slash, key = name.partition("/")
        if slash and shard in known:
            found[name] = _rows(store, shard, {key: [name]}).get(name, [])
    anywhere = [name for name in dict.fromkeys(names) if not found.get(name)]
    if anywhere:
        wanted = _wanted(anywhere)
        for places in prefetched(lambda shard: _rows(store, shard, wanted), shards):
            for name, more in places.items():
                # Enough to say that it is ambiguous, whatever the pool.
                found[name] = (found.get(name, []) + more)[: MOST_LISTED + 1]
    for name in names:
        _check(store, shards, name, found.get(name, []))
    return found


def _wanted(names: Sequence[str]) -> dict[str, list[str]]:
    """What keys and uids may be -> the names that mean them."""
    wanted: dict[str, list[str]] = {}
    for name in names:
        for text in dict.fromkeys([name, name.lower() if _UID.fullmatch(name) else name]):
            wanted.setdefault(text, []).append(name)
    return wanted


def _rows(store: Store, shard: str, wanted: Mapping[str, list[str]]) -> dict[str, list[Place]]:
    """The rows of a shard whose key or uid is wanted, by the name that means them."""
    table = read_columns(store, shard, ["key", "uid"])
    texts = pa.array(wanted, pa.string())
    hit = pc.or_(pc.is_in(table["key"], texts), pc.is_in(table["uid"], texts))
    found: dict[str, list[Place]] = {}
    for row in np.flatnonzero(hit.to_numpy()).tolist():
        key, uid = table["key"][row].as_py(), table["uid"][row].as_py()
        for name in dict.fromkeys([*wanted.get(key, ()), *wanted.get(uid, ())]):
            found.setdefault(name, []).append(Place(shard, row, key))
    return found


def _check(store: Store, shards: Sequence[str], name: str, places: Sequence[Place]) -> None:
    if not places:
        close = close_keys(store, shards, name)
        advice = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise RunDirError(
            f"{store}: none of {len(shards)} scored shards holds a sample with the key or uid"
            f" {name!r}{advice}"
        )
    if len({place.shard for place in places}) > 1:
        listed = ", ".join(repr(str(place)) for place in places[:MOST_LISTED])
        more = " and more" if len(places) > MOST_LISTED else ""
        raise RunDirError(f"{store}: {name!r} is in several shards; name one of {listed}{more}")


def places_of_uid(store: Store, shards: Sequence[str], uids: Sequence[str]) -> dict[str, Place]:
    """The first sample of some uids that was scored, in the order of the shards' names.

    Raises:
        OutputError: scores are missing or damaged.
    """
    texts, found = pa.array(sorted(set(uids)), pa.string()), dict[str, Place]()

    def look(shard: str) -> Iterator[tuple[str, Place]]:
        table = read_columns(store, shard, ["key", "uid", "status"])
        hit = pc.and_(pc.is_in(table["uid"], texts), pc.equal(table["status"], "ok"))
        for row in np.flatnonzero(hit.to_numpy()).tolist():
            yield table["uid"][row].as_py(), Place(shard, row, table["key"][row].as_py())

    for one in prefetched(lambda shard: list(look(shard)), sorted(shards) if uids else ()):
        for uid, place in one:
            found.setdefault(uid, place)
    return found


# --- keys that are meant ----------------------------------------------------------------------


def close_keys(store: Store, shards: Sequence[str], name: str) -> list[str]:
    """Keys that may have been meant, best first: SUGGESTIONS of them at most.

    First those that differ in directories, an extension, letter case or leading zeros alone, then
    similar ones. Every shard is looked at for the former, MOST_COMPARED keys for the latter.
    """
    forms = pa.array(sorted({_plain(form) for form in _forms(name)}), pa.string())
    meant: list[str] = []
    similar: list[tuple[float, str]] = []
    left = MOST_COMPARED
    for keys in prefetched(lambda shard: read_columns(store, shard, ["key"])["key"], shards):
        same = pc.is_in(pc.utf8_ltrim(pc.utf8_lower(keys), characters="0"), forms)
        meant += keys.filter(same).unique().to_pylist()[:SUGGESTIONS]
        if len(meant) >= SUGGESTIONS:
            break
        compared = keys.filter(_alike_in_size(keys, name)).slice(0, left)
        left -= len(compared)
        similar = heapq.nlargest(SUGGESTIONS, [*similar, *_similar(name, compared)])
    ranked = [*meant, *(key for _, key in similar)]
    return list(dict.fromkeys(ranked))[:SUGGESTIONS]


def _forms(name: str) -> Iterator[str]:
    yield name
    base = name.rpartition("/")[2]
    yield base
    stem, _, extension = base.rpartition(".")
    if extension.lower() in {*IMAGE_EXTENSIONS, "txt", "json"}:
        yield stem


def _plain(key: str) -> str:
    return key.lower().lstrip("0")


def _alike_in_size(keys: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Which keys have nearly as many letters, and begin or end alike: a bound for the others."""
    off = pc.abs(pc.subtract(pc.utf8_length(keys), len(name)))
    half = max(1, len(name) // 2)
    begins = pc.starts_with(keys, pattern=name[:half])
    ends = pc.ends_with(keys, pattern=name[-half:])
    return pc.and_(pc.less_equal(off, 2), pc.or_(begins, ends))


def _similar(name: str, keys: pa.ChunkedArray) -> Iterator[tuple[float, str]]:
    matcher = difflib.SequenceMatcher(b=name, autojunk=False)
    for key in keys.to_pylist():
        matcher.set_seq1(key)
        if matcher.real_quick_ratio() < SIMILAR or matcher.quick_ratio() < SIMILAR:
            continue
        if (ratio := matcher.ratio()) >= SIMILAR:
            yield ratio, key
