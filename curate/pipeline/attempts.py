"""Shards that kill their worker each time: set aside, and named, instead of killing for ever.

Ray gives the work of a dead worker to another one, which is right when a node was preempted and
endless when the shard itself is what kills. An actor counts who began which shard and did not end;
it knows of the shards in progress only, as many as there are workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import ray

from curate.errors import ShardError
from curate.shards import Shard

MOST_ATTEMPTS: Final = 3
"""Deaths over one shard before it is set aside. Three preempted nodes in a row are rare, and a
shard that was set aside is tried again by the next run."""


class Attempts:
    """Counts beginnings that were not ended."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, shard: str) -> int:
        """Note that a worker begins a shard; returns which attempt this is, from 1."""
        self._begun[shard] += 1
        return self._begun[shard]

    def end(self, shard: str) -> None:
        """Note that a worker came to an end with a shard, good or bad."""
        self._begun.pop(shard, None)


@contextmanager
def counted_attempts() -> Iterator[Any]:
    """Start the actor that counts, for as long as the block runs."""
    attempts = ray.remote(Attempts).options(num_cpus=0, max_restarts=-1).remote()
    try:
        yield attempts
    finally:
        ray.kill(attempts)


@contextmanager
def attempt(attempts: Any, shard: Shard) -> Iterator[None]:
    """Work on a shard in this block, unless too many workers died of it.

    Raises:
        ShardError: it was begun MOST_ATTEMPTS times, and none of the workers lived to its end.
    """
    number = int(ray.get(attempts.begin.remote(shard.id)))
    try:
        if number > MOST_ATTEMPTS:
            raise ShardError(
                f"{shard.url}: {MOST_ATTEMPTS} workers died over it, one after the other; it is set"
                " aside. It may need more memory than a worker has: lower limits.member_bytes or"
                " limits.image_pixels, or look at what is in it; the next run tries it again"
            )
        yield
    finally:
        attempts.end.remote(shard.id)
