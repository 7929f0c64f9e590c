"""What is done to a run, and when: a pure function of a seed and a number.

A trigger is a place in the work, not a moment: `half scores/00003.parquet` is when that file is
half-written. The process that gets there waits until the fault has been injected (`hooks`), so that
equal plans meet equal states.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

Start = Literal["nothing", "fitted", "scored", "selected"]
"""What an undisturbed run has left in the run directory before: each stage resumes from there."""

Place = Literal["open", "before", "half"]
"""Where a process waits: a shard is about to be opened, a file to be written, or half of it is."""

DONE: Final = frozenset({0})
STOPPED: Final = frozenset({1})
SET_ASIDE: Final = frozenset({3})


@dataclass(frozen=True, slots=True)
class Trigger:
    """A place in the work.

    Attributes:
        place: what is happening there.
        name: of the input shard, or of the file relative to the run directory.
        nth: which time since the start, from 1; a shard is hashed, sampled, scored and filtered.
    """

    place: Place
    name: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.place} {self.name}" + (f" #{self.nth}" if self.place == "open" else "")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: short, as tables have it.
        stages: one is drawn, with its trigger; none for a fault that lasts through a whole run.
        exits: exit codes of the driver that the fault may lead to; negative ones are signals.
        told: what the driver's output must hold.
        remote: the pool and the run directory are on a store that may misbehave.
        store: how it does throughout the run: `hiccups`, `stalls`, `short` or not at all.
    """

    name: str
    stages: tuple[str, ...] = ()
    exits: frozenset[int] = DONE
    told: tuple[str, ...] = ()
    remote: bool = False
    store: str = ""


ANY_STAGE: Final = ("hash", "sample", "fit", "score", "commit", "select", "filter", "output")

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("embedder killed", ("sample", "score")),
        Kind("reader killed", ("hash", "sample", "score", "scores", "commit")),
        Kind("writer killed", ("filter", "output")),
        Kind("node killed", ("sample", "score", "scores", "commit", "filter")),
        Kind("node added", ("score", "scores", "commit")),
        Kind("driver killed", ANY_STAGE, frozenset({-9})),
        # Ray's core ends a driver that loses its node by itself, now with a signal, now without.
        Kind("head killed", ("sample", "score", "commit", "filter"), frozenset({-15, -9, -6, 1})),
        Kind("SIGTERM", ANY_STAGE, frozenset({143}), ("terminated", "run again")),
        Kind("SIGINT", ANY_STAGE, frozenset({130}), ("interrupted", "run again")),
        Kind("disk full", (), STOPPED, ("No space left on device", "make room", "run again")),
        Kind("store hiccups", remote=True, store="hiccups"),
        Kind("store stalls", remote=True, store="stalls"),
        Kind("store cuts reads short", remote=True, store="short"),
        Kind("store refuses to read", ("scoring", "writing"), SET_ASIDE, ("refuses",), remote=True),
        Kind("store refuses to write", (), STOPPED, ("refuses", "run again"), remote=True),
        Kind("shard kills workers", ("scoring", "writing"), SET_ASIDE, ("workers died over it",)),
    )
}


@dataclass(frozen=True, slots=True)
class Point:
    """One fault.

    Attributes:
        seed, number: what everything else follows from.
        kind: of fault.
        start: what is there already when the run begins.
        trigger: when; None where the fault lasts as long as the run.
        victim: which of several processes or nodes, any number.
        delay: seconds between the release of the waiting process and the fault; None injects it
            while the process waits.
        shard: what a lasting fault is about.
        share: of the disk's need that there is, or how often a store fails, in (0, 1).
    """

    seed: int
    number: int
    kind: Kind
    start: Start
    trigger: Trigger | None
    victim: int
    delay: float | None
    shard: str
    share: float

    @property
    def when(self) -> str:
        """What was there before, and the trigger or what stands in its place."""
        since = "" if self.start == "nothing" else f"{self.start}, "
        if self.trigger is None:
            return f"{since}throughout, {self.shard}, {self.share:.2f}"
        late = "" if self.delay is None else f" + {self.delay:.2f} s"
        return f"{since}{self.trigger}{late}"


def make_point(seed: int, number: int, shards: int) -> Point:
    """The fault of a number.

    Args:
        seed: of the plan.
        number: from 0; every `len(KINDS)` of them in a row have each kind once.
        shards: of the pool, called 00000 and on.
    """
    cycle, place = divmod(number, len(KINDS))
    kind = KINDS[random.Random(f"{seed}/{cycle}").sample(sorted(KINDS), len(KINDS))[place]]
    rng = random.Random(f"{seed}/{cycle}/{place}")
    shard = f"{rng.randrange(shards):05d}"
    start, draw = STAGES[rng.choice(kind.stages)] if kind.stages else ("nothing", _always)
    return Point(
        seed=seed,
        number=number,
        kind=kind,
        start=start,
        trigger=draw(rng, shard),
        victim=rng.randrange(1 << 16),
        delay=rng.uniform(0.0, 0.5) if rng.random() < 0.3 else None,
        shard=shard,
        share=rng.uniform(0.2, 0.8),
    )


def plan(seed: int, points: int, shards: int, only: str = "", first: int = 0) -> Iterator[Point]:
    """Points of a seed whose kind holds the text `only`, from number `first`.

    Raises:
        ValueError: no kind does.
    """
    if not any(only in name for name in KINDS):
        raise ValueError(f"no kind of fault holds {only!r}; there are {', '.join(KINDS)}")
    every = (make_point(seed, number, shards) for number in itertools.count(first))
    return itertools.islice((point for point in every if only in point.kind.name), points)


Draw = Callable[[random.Random, str], Trigger | None]
"""Draws a trigger of a stage, where it is one of a shard, of that shard."""


def _always(rng: random.Random, shard: str) -> None:
    return None


def _opening(nth: int) -> Draw:
    return lambda rng, shard: Trigger("open", f"{shard}.tar", nth)


def _writing(pattern: str, *places: Place) -> Draw:
    return lambda rng, shard: Trigger(rng.choice(places), pattern.format(shard))


def _fitting(rng: random.Random, shard: str) -> Trigger:
    files = ("reference.npz", "sample_scores.parquet", "reference.json")
    return Trigger(rng.choice(("before", "half")), f"reference/{rng.choice(files)}")


def _selecting(rng: random.Random, shard: str) -> Trigger:
    files = (f"decisions/{shard}.parquet", "uids.npy", "summary.json")
    return Trigger(rng.choice(("before", "half")), f"subsets/default/{rng.choice(files)}")


STAGES: Final[dict[str, tuple[Start, Draw]]] = {
    "hash": ("nothing", _opening(1)),
    "sample": ("nothing", _opening(2)),
    "fit": ("nothing", _fitting),
    # Once there is a Reference: what a shard keeps out of its sample changes every score.
    "scoring": ("fitted", _always),
    "writing": ("selected", _always),
    "score": ("fitted", _opening(1)),
    "scores": ("fitted", _writing("scores/{}.parquet", "before", "half")),
    "commit": ("fitted", _writing("state/{}.json", "before", "half")),
    "select": ("scored", _selecting),
    "filter": ("selected", _writing("shards/default/{}.tar", "half")),
    "output": ("selected", _writing("state/shards/default/{}.json", "before", "half")),
}
"""Stage -> what is there before it, and its triggers."""
