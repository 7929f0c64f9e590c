"""The pool of embedders as a worker sees it: which one a batch goes to, and to which one next.

A batch is a pure function of its pixels and tokens, and so it can be sent again. When an embedder
dies its batches go to the others at once, instead of waiting for a node that may never return. One
that was lost with its embedder is watched from then on, since it may be what kills.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from curate.encoder import Pixels
from curate.errors import CurateError, WorkerError
from curate.loading import Tokens
from curate.pipeline.attempts import MOST_ATTEMPTS, given_up
from curate.scoring import ModelOutput
from curate.shards import Shard
from curate.work_times import WAITING, WorkTimes

LOST: Final = (RayActorError, ObjectLostError)
"""The embedder is gone, or the node that held its answer."""

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
"""Between attempts at embedders that are all gone; it doubles."""

PATIENCE_SECONDS: Final = 3600.0
"""How long a batch waits for an embedder to come back: preempted nodes take minutes to replace."""

AVOIDED_SECONDS: Final = 10.0
"""How long an embedder that was gone is the last choice: one that restarts refuses batches."""


@dataclass(frozen=True)
class Watched:
    """A batch that was lost with its embedder once, and the actor that counts its attempts."""

    attempts: Any
    name: str


@contextmanager
def noted(watched: Watched | None) -> Iterator[None]:
    """Compute a batch in this block; if the process dies of it, that is known afterwards."""
    if watched is None:
        yield
        return
    ray.get(watched.attempts.begin.remote(watched.name))
    try:
        yield
    finally:
        watched.attempts.end.remote(watched.name)


@dataclass
class Call:
    """A batch on its way.

    Attributes:
        name: of the batch, unique within the run.
        pixels: the object that holds them, kept until the answer is there.
        tokens: of its captions.
        at: which embedder it was sent to.
        answer: the object that will hold it.
        losses: embedders that were gone before they answered.
    """

    name: str
    pixels: Any
    tokens: Tokens
    at: int = -1
    answer: Any = None
    losses: int = 0


class LeastLoaded:
    """An EmbedClient of one shard: each batch goes to the embedder with the fewest of ours."""

    def __init__(
        self,
        shard: Shard,
        embedders: tuple[Any, ...],
        attempts: Any,
        call: str,
        *arguments: Any,
        times: WorkTimes | None = None,
    ) -> None:
        """Begin a shard.

        Args:
            shard: whose batches these are.
            embedders: the pool.
            attempts: the actor that counts them.
            call: the method of an embedder, which takes pixels, tokens, `arguments` and a
                `Watched` or None.
            arguments: of that method.
            times: measures waiting, and takes in what embedders say of themselves.
        """
        self._shard = shard
        self._embedders = embedders
        self._attempts = attempts
        self._call = call
        self._arguments = arguments
        self._times = times or WorkTimes()
        self._load = [0] * len(embedders)
        self._avoided_until = [0.0] * len(embedders)
        # Workers do not know of each other: each begins elsewhere, lest all begin at the first.
        self._turn = itertools.count(os.getpid())
        self._number = itertools.count()

    def submit(self, pixels: Pixels, tokens: Tokens) -> Call:
        """Send a batch."""
        name = f"{self._shard.id}, batch {next(self._number)}"
        return self._send(Call(name, ray.put(pixels), tokens))

    def collect(self, call: Call) -> ModelOutput:
        """Wait for a batch, at whichever embedder.

        Raises:
            ShardError: it killed MOST_ATTEMPTS embedders.
            WorkerError: no embedder came back in time, or every batch kills.
            CurateError: what an embedder raised.
        """
        with self._times.during(WAITING):
            output = self._collect(call)
        self._times.include(output.spent)
        return output

    def _collect(self, call: Call) -> ModelOutput:
        pause, deadline = FIRST_PAUSE_SECONDS, time.monotonic() + PATIENCE_SECONDS
        while (output := self._answer(call, deadline)) is None:
            if call.losses > len(self._embedders):  # all of them: they are starting again
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            self._send(call)
        return output

    def _answer(self, call: Call, deadline: float) -> ModelOutput | None:
        """Wait for an answer; None if the embedder is gone."""
        output: ModelOutput | None = None
        try:
            output = ray.get(call.answer)
        except RayTaskError as exc:
            if isinstance(exc.cause, CurateError):
                raise exc.cause from exc
            raise
        except LOST as exc:
            if time.monotonic() > deadline:
                raise WorkerError(
                    f"no embedder answered for {PATIENCE_SECONDS / 60:.0f} minutes ({exc}); nodes"
                    " were lost and none came in their place. Finished shards are kept: add nodes,"
                    " and run again"
                ) from exc
            self._note_loss(call)
        finally:
            self._load[call.at] -= 1
        return output

    def _send(self, call: Call) -> Call:
        now, first = time.monotonic(), next(self._turn)
        order = [(first + i) % len(self._load) for i in range(len(self._load))]
        call.at = min(order, key=lambda i: (self._avoided_until[i] > now, self._load[i]))
        self._load[call.at] += 1
        method = getattr(self._embedders[call.at], self._call)
        watched = Watched(self._attempts, call.name) if call.losses else None
        # Not repeated by Ray, which would wait for that very embedder to come back.
        call.answer = method.options(max_task_retries=0).remote(
            call.pixels, call.tokens, *self._arguments, watched
        )
        return call

    def _note_loss(self, call: Call) -> None:
        call.losses += 1
        self._avoided_until[call.at] = time.monotonic() + AVOIDED_SECONDS
        if int(ray.get(self._attempts.begun.remote(call.name))) >= MOST_ATTEMPTS:
            raise given_up(
                self._attempts,
                call.name,
                f"{self._shard.url}: {MOST_ATTEMPTS} embedders died over the same batch; the shard"
                " is set aside, and the next run tries it again. The batch may need more memory"
                " than a node has: lower compute.batch_size",
            )
