"""What is scored: which shards take part in selection, and what their scores are.

Looked at once per command: on an object store, each look lists the markers of a million shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curate.errors import RunDirError
from curate.manifest import IDENTITY, STATE, Counts, RunDir
from curate.markers import Markers, identity_of_outputs, read_markers


@dataclass(frozen=True)
class ScoredPool:
    """The shards of a run that are scored.

    Attributes:
        shards: ids, in the order of the run, without those that could not be read.
        identity: of their scores.
        counts: totals over them, from their markers.
    """

    shards: Sequence[str]
    identity: str
    counts: Counts


def scored_pool(run: RunDir, *, trust: bool = True, keep: bool = True) -> ScoredPool:
    """Look at what is scored.

    Args:
        run: the run directory.
        trust: use the cache of markers; without, every marker is read.
        keep: write the cache again if it lacked some.

    Raises:
        RunDirError: a shard was neither scored nor found unreadable.
        OutputError: a marker is damaged.
    """
    manifest = run.shard_ids()
    found = run.store.entries(STATE, ".json", run.marker_names(manifest))
    names = (name.removesuffix(".json") for name in found["name"].to_pylist())
    shards = _scored(run, manifest, frozenset(names))
    markers = read_markers(run, shards, trust=trust, keep=keep, found=found)
    return ScoredPool(shards, _identity(run, shards, markers), markers.counts)


def scored_shards(run: RunDir) -> list[str]:
    """Ids of the shards that take part in selection: scored ones, without the unreadable.

    Raises:
        RunDirError: a shard was neither scored nor found unreadable.
    """
    manifest = run.shard_ids()
    return _scored(run, manifest, run.committed(manifest))


def _scored(run: RunDir, manifest: Sequence[str], done: frozenset[str]) -> list[str]:
    failed = run.failed()
    missing = [shard for shard in manifest if shard not in done and shard not in failed]
    if missing:
        raise RunDirError(
            f"{run.store}: {len(missing)} of {len(manifest)} shards are not scored yet (the first"
            f" is {missing[0]!r}); run `curate score` until it ends, then select"
        )
    return [shard for shard in manifest if shard in done]


def scores_identity(run: RunDir, shards: Sequence[str], *, trust: bool = True) -> str:
    """What the scores of some shards are. Raises RunDirError.

    Args:
        run: the run directory.
        shards: ids of committed shards.
        trust: use the cache of markers; without, every marker is read.
    """
    return _identity(run, shards, read_markers(run, shards, trust=trust))


def _identity(run: RunDir, shards: Sequence[str], markers: Markers) -> str:
    scored_as = run.read_identity()
    if scored_as is None:
        raise RunDirError(f"{run.store}: {IDENTITY} is missing; run `curate score` again")
    # With the checksums, since a shard may have been scored again, from another file.
    return identity_of_outputs(scored_as[0], shards, markers.outputs())
