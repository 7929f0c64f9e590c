"""What the marker of a shard of images says: the input as it was read, and what is odd about it."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from curate.errors import ShardError
from curate.manifest import Counts, Marker
from curate.outputs import Written
from curate.samples import ShardReader
from curate.shards import Shard, read_beside


def marker_of(
    shard: Shard,
    identity: str,
    reader: ShardReader,
    counts: Counts,
    outputs: tuple[Written, ...],
) -> Marker:
    """The marker of a shard of images.

    Args:
        shard: as it was listed.
        identity: of how it was read.
        reader: at its end.
        counts: read and rejected.
        outputs: files that the commit consists of.
    """
    tar = reader.report.tar
    found = {name: number for name, number in reader.report.notes.items() if number}
    notes = found | _stats_note(shard, counts.read)
    return Marker(
        shard=shard.id,
        url=shard.url,
        size=tar.size,
        sha256=tar.sha256,
        identity=identity,
        counts=counts,
        damage=tuple({"kind": d.kind, "offset": d.offset, "detail": d.detail} for d in tar.damage),
        notes=notes,
        outputs=outputs,
    )


def _stats_note(shard: Shard, read: int) -> dict[str, Any]:
    # The tar is what counts; a difference tells of a cut copy or of a table that was edited.
    name = PurePosixPath(shard.url.removesuffix(".tar") + "_stats.json").name
    try:
        data = read_beside(shard, "_stats.json")
        if data is None:
            return {}
        successes = json.loads(data)["successes"]
    except (ShardError, ValueError, KeyError, TypeError, RecursionError) as exc:
        return {"stats": f"{name} cannot be read: {exc!r}"}
    if successes == read:
        return {}
    return {"stats": f"{name} says {successes} successes, the tar has {read}"}
