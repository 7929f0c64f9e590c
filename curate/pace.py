"""How fast a stage is, and how long it takes yet: over the last minutes, not since its begin.

Models are loaded before the first sample, others use the machine for a while, and the files of a
pool differ: an average since the begin is wrong for hours after each of these. Pure: counts in,
numbers out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 180.0
"""Speed is that of so many last seconds: many batches, and short beside an hour's ups and downs."""

STEP_SECONDS: Final = 1.0
"""Looks that are nearer to each other are not kept: 180 of them are, however often one looks."""

SHORTEST_SECONDS: Final = 1e-3
"""Over less than that no speed is told."""

Snapshot = Mapping[str, int]
"""Counts so far: shards (unreadable ones included), failed, read, rejected, dropped, alarms, and
`finished`, the samples of finished shards; missing ones are zero."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What is to be expected.

    Attributes:
        per_second: samples a second; None before there were two looks.
        seconds_left: None where nothing tells, as before the first shard or while nothing moves.
    """

    per_second: float | None = None
    seconds_left: float | None = None


class Pace:
    """The last minutes of a stage."""

    def __init__(self, window: float = WINDOW_SECONDS) -> None:
        """Begin a stage.

        Args:
            window: seconds that speed is taken over.
        """
        self._window = window
        self._looks: deque[tuple[float, int, int]] = deque()

    def look(self, seconds: float, counts: Snapshot, total: int) -> Speed:
        """Take in what was counted, and tell the speed.

        Time left is by samples, of which shards in work have some already: by shards, hundreds of
        workers that are all in the middle of one would pass for idle. What is left of the stage is
        taken to have shards like the finished ones.

        Args:
            seconds: since any fixed moment; never less than before.
            counts: so far.
            total: shards of the stage.
        """
        done, read = counts.get("shards", 0), counts.get("read", 0)
        if not read and not done:
            self._looks.clear()  # workers are starting yet
        if not self._looks or seconds - self._looks[-1][0] >= STEP_SECONDS:
            self._looks.append((seconds, read, done))
        # The oldest look is the last one from before the window.
        while len(self._looks) > 2 and seconds - self._looks[1][0] >= self._window:
            self._looks.popleft()
        begin, read_then, done_then = self._looks[0]
        passed = seconds - begin
        if passed < SHORTEST_SECONDS:
            return Speed(None, 0.0 if done >= total else None)
        per_second = max(read - read_then, 0) / passed
        if done >= total:
            return Speed(per_second, 0.0)
        if not done:
            return Speed(per_second, None)
        left = _samples_left(counts, total)
        if left > 0 and per_second > 0:
            return Speed(per_second, left / per_second)
        if done > done_then:
            return Speed(per_second, (total - done) * passed / (done - done_then))
        return Speed(per_second, None)


def _samples_left(counts: Snapshot, total: int) -> float:
    """Samples that are still to be read, if all shards are like the finished ones."""
    done, read = counts["shards"], counts.get("read", 0)
    mean = counts.get("finished", read) / done
    return max(total * mean - read, 0.0)
