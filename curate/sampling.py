"""Which pairs the Reference is fitted on: a seeded sample that does not depend on any order.

Every pair has a hash of its own; the sample is the pairs with the smallest ones. Order of shards,
batches and workers cannot change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curate.samples import Sample, SamplePolicy, ShardReader
from curate.shards import Shard, open_shard


def sample_hash(seed: int, shard: str, key: str) -> int:
    """A uniform 63-bit number that depends on the pair alone, not on where or when it is read."""
    text = f"{seed}\0{shard}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def hash_samples(shard: Shard, policy: SamplePolicy, seed: int) -> npt.NDArray[np.int64]:
    """The hashes of a shard's whole samples, in shard order. Raises ShardError."""
    with open_shard(shard) as stream:
        items = ShardReader(stream, shard, policy)
        hashes = [sample_hash(seed, shard.id, i.key) for i in items if isinstance(i, Sample)]
    return np.array(hashes, dtype=np.int64)


def choose_threshold(hashes: npt.NDArray[np.int64], samples: int) -> int:
    """The largest hash among the `samples` smallest; all hashes pass if there are not more."""
    if len(hashes) <= samples:
        return int(np.iinfo(np.int64).max)
    return int(np.partition(hashes, samples - 1)[samples - 1])


def sampling_order(shards: Sequence[Shard], seed: int) -> list[Shard]:
    """Shards in a seeded random order that does not depend on how they were listed."""
    return sorted(shards, key=lambda shard: sample_hash(seed, shard.id, ""))
