"""Work that kills who does it, each time: set aside, and named, instead of killing for ever.

Ray gives the work of a dead process to another one, which is right when a node was preempted and
endless when the work itself is what kills. An actor counts who began what and did not end; it
knows of the work in progress only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import ray

from curate.errors import ShardError, WorkerError
from curate.pipeline.placing import near_driver

MOST_ATTEMPTS: Final = 3
"""Deaths over one piece of work before it is set aside. Three preempted nodes in a row are rare,
and a shard that was set aside is tried again by the next run."""

MOST_SET_ASIDE: Final = 5
"""Shards set aside with none finished in between before the run ends: then it is not the data."""


class Attempts:
    """Counts beginnings that were not ended."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()
        self._set_aside = 0

    def begin(self, work: str) -> int:
        """Note that a process begins some work; returns which attempt this is, from 1."""
        self._begun[work] += 1
        return self._begun[work]

    def begun(self, work: str) -> int:
        """How often work was begun that nobody came to the end of."""
        return self._begun[work]

    def end(self, work: str) -> None:
        """Note that a process came to an end with some work, good or bad."""
        self._begun.pop(work, None)

    def succeed(self) -> None:
        """Note that a shard was done."""
        self._set_aside = 0

    def set_aside(self, work: str) -> int:
        """Forget work; returns how many pieces were set aside since a shard was done."""
        self.end(work)
        self._set_aside += 1
        return self._set_aside


@contextmanager
def counted_attempts() -> Iterator[Any]:
    """Start the actor that counts, for as long as the block runs."""
    actor = ray.remote(Attempts).options(
        num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=near_driver()
    )
    attempts = actor.remote()
    try:
        yield attempts
    finally:
        ray.kill(attempts)


@contextmanager
def attempt(attempts: Any, work: str, place: str) -> Iterator[None]:
    """Work on a shard in this block, unless too many workers died of it.

    Args:
        attempts: the actor that counts; None where the worker is the driver itself.
        work: the shard's id, unique within the stage.
        place: what messages call it.

    Raises:
        ShardError: it was begun MOST_ATTEMPTS times, and none of the workers lived to its end.
        WorkerError: one shard after the other was set aside.
    """
    if attempts is None:
        yield
        return
    if int(ray.get(attempts.begin.remote(work))) > MOST_ATTEMPTS:
        raise given_up(
            attempts,
            work,
            f"{place}: {MOST_ATTEMPTS} workers died over it, one after the other; it is set"
            " aside. It may need more memory than a worker has: lower limits.member_bytes or"
            " limits.image_pixels, or look at what is in it; the next run tries it again",
        )
    try:
        yield
    finally:
        attempts.end.remote(work)
    attempts.succeed.remote()


def given_up(attempts: Any, work: str, why: str) -> ShardError | WorkerError:
    """The error of work that is set aside: its own, or the run's if nothing else succeeds."""
    in_a_row = int(ray.get(attempts.set_aside.remote(work)))
    if in_a_row < MOST_SET_ASIDE:
        return ShardError(why)
    return WorkerError(
        f"{in_a_row} shards killed those who worked on them, and none was finished in between: the"
        f" machines are too small, or something is broken. The last one: {why}"
    )
