"""The inputs of a run, whatever they are, as the markers of its parts state them."""

from __future__ import annotations

import hashlib
from typing import Final, cast

from curate.embedding_pools.layouts import Layout, part_of
from curate.embedding_pools.part_files import input_checksum
from curate.errors import ShardError
from curate.manifest import RunDir
from curate.shards import Shard, open_shard

READ_BYTES: Final = 8 << 20


def input_sha256(run: RunDir, shard: Shard) -> str:
    """The sha256 that the marker of a shard or part has if its input is what was scored.

    Of a shard it is that of the file; of a part see `embedding_pools.task.score_part`.

    Raises:
        ShardError: the input cannot be read.
    """
    _, parts = run.read_identity() or ("", {})
    if "layout" in parts:
        part = part_of(shard, cast("Layout", parts["layout"]))
        return input_checksum(part, tuple(parts["embedding_keys"]))[1]
    with open_shard(shard) as source:
        try:
            digest = hashlib.sha256()
            while data := source.read(READ_BYTES):
                digest.update(data)
            return digest.hexdigest()
        except Exception as exc:  # drivers raise their own, unrelated classes
            raise ShardError(f"{shard.url}: cannot be read: {exc!r}; run again") from exc
