"""Whether a run directory is that of an undisturbed run, and whether its accounts balance."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from curate.manifest import RunDir
from curate.outputs import TEMPORARY_SUFFIX, Store
from curate.schema import KEPT, OK, SUMMARY_OF_REJECTED
from curate.verification import verify

MOMENTS: Final = ("run.json", "log.jsonl", "logs/", "state/markers.cache")
"""What tells when, where and how often a run ran; a name with a slash is a folder. The cache of
markers has the times of their files; whatever is made from it is compared."""

SET_ASIDE: Final = "state/failed/"

SIGNS: Final = frozenset({"heartbeat.json"})
"""Of a command at work; one that is killed leaves them to the next."""


def snapshot(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 of every file, but for `MOMENTS`."""
    paths = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in paths.items()
        if not is_moment(name)
    }


def is_moment(name: str) -> bool:
    """Whether a file is one of `MOMENTS`."""
    return any(name == one or (one.endswith("/") and name.startswith(one)) for one in MOMENTS)


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """What a finished run differs in, one line each."""
    return [
        *(f"{name} is missing" for name in sorted(expected.keys() - found.keys())),
        *(f"{name} should not be there" for name in sorted(found.keys() - expected.keys())),
        *wrong(found, expected),
    ]


def wrong(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Files that both have, with other bytes."""
    both = sorted(found.keys() & expected.keys())
    return [f"{name} has other bytes" for name in both if found[name] != expected[name]]


def wrong_so_far(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """What is wrong with a run that was stopped: whatever has its final name must be final."""
    strange = sorted(
        name
        for name in found.keys() - expected.keys() - SIGNS
        if not name.endswith(TEMPORARY_SUFFIX) and not name.startswith(SET_ASIDE)
    )
    return [*(f"{name} should not be there" for name in strange), *wrong(found, expected)]


# --- accounts -----------------------------------------------------------------------------------


def unbalanced(run: Path, pool: Path, deep_url: str) -> list[str]:
    """What does not add up in a finished run, counted again from its files and from the pool.

    Args:
        run: its directory.
        pool: the shards it read.
        deep_url: the run directory as its configuration has it, or as `verify` can open it.
    """
    problems = [*verify(RunDir(Store(deep_url)), deep=True).problems]
    for shard in sorted(pool.glob("*.tar")):
        problems += _unbalanced_shard(run, shard)
    return problems


def _unbalanced_shard(run: Path, shard: Path) -> Iterator[str]:
    name = shard.stem
    with tarfile.open(shard) as archive:
        pairs = {member.partition(".")[0] for member in archive.getnames()}
    scored = pq.read_table(run / "scores" / f"{name}.parquet")["status"].to_pylist()
    decided = pq.read_table(run / "subsets" / "default" / "decisions" / f"{name}.parquet")
    reasons = decided["reason"].to_pylist()
    kept = reasons.count(KEPT)
    rejected = sum(reason.startswith(SUMMARY_OF_REJECTED) for reason in reasons)
    counts = RunDir(Store(str(run))).require_marker(name).counts
    if not len(pairs) == len(scored) == len(reasons) == counts.read:
        yield (
            f"{name}: {len(pairs)} pairs, {len(scored)} scored, {len(reasons)} decided,"
            f" {counts.read} in the marker"
        )
    if not rejected == len(scored) - scored.count(OK) == sum(counts.rejected.values()):
        yield f"{name}: {rejected} decided as rejected, the marker says {counts.rejected}"
    if kept != sum(decided["kept"].to_pylist()):
        yield f"{name}: {kept} kept by their reason, not by their decision"
    written = 0
    tar = run / "shards" / "default" / f"{name}.tar"
    if tar.exists():
        with tarfile.open(tar) as archive:
            written = len({member.partition(".")[0] for member in archive.getnames()})
    if written != kept:
        yield f"{name}: {kept} kept, {written} written"
