"""Alarms: recent shards drop or reject far more, or far less, than the Reference's sample would.

Such rates come from a wrong model, wrong data or changed preprocessing, and a run over billions of
pairs should not have to end before anyone looks. Pure: counts in, alarms out.

Shares of a pool differ from shard to shard for no other reason than where its samples come from.
So an alarm takes three things: a share beyond `FAR` times the expected one, in either direction;
more than chance could explain even if that were the true share; and more than one shard that says
so.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from curate.manifest import Counts
from curate.numerics.selection import Node
from curate.previews import count_dropped

FAR: Final = 1.5
"""Ratio of two shares up to which they pass for the same pool."""

CHANCE: Final = 1e-8
"""Probability of a false alarm at one look, at most. A pool of 1.3 million shards is looked at
some 20 million times; at its expected share, rather than at `FAR` times it, chance is far smaller
yet."""

LOOK_BACK: Final = (4, 8, 16, 32)
"""Numbers of latest shards that are looked at together: few see a jump at once, many a small
one."""

DEVIATIONS: Final = 5.0
"""Standard errors by which an expected share may be wrong itself (one in four million)."""

Kind = Literal["dropped", "rejected"]

Portion = tuple[int, int]
"""Hits, and samples they are among, of one shard."""

CAUSES: Final = {
    ("dropped", True): (
        "another model or checkpoint than the Reference was fitted with, a Reference of other data,"
        " or preprocessing that has changed (resized pictures, rewritten captions)"
    ),
    ("dropped", False): (
        "a Reference of noisier data than this, another model than it was fitted with, or a part of"
        " the pool that was filtered before"
    ),
    ("rejected", True): (
        "a download that broke off, another layout of the shards, or limits that do not fit this"
        " part of the pool"
    ),
    ("rejected", False): "a part of the pool that was cleaned before, or another source",
}
"""Kind, and whether the share is too high -> what is likely behind it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a share.

    Attributes:
        hits: samples that were dropped or rejected.
        of: samples looked at, at least one.
        source: whose, as a message names it.
    """

    hits: int
    of: int
    source: str

    @property
    def share(self) -> float:
        """The share itself."""
        return self.hits / self.of


@dataclass(frozen=True, slots=True)
class Alarm:
    """A share that is far from what is expected.

    Attributes:
        kind: which share.
        hits, of, shards: what was counted in the latest shards.
        expected: what it is compared with.
        chance: bound on the probability of such counts if the share were `FAR` times the expected
            one (or that part of it), and the expected one known no better than it is.
    """

    kind: Kind
    hits: int
    of: int
    shards: int
    expected: Expected
    chance: float

    @property
    def high(self) -> bool:
        """Whether the share is too high rather than too low."""
        return self.hits * self.expected.of > self.expected.hits * self.of

    def __str__(self) -> str:
        return (
            f"{100 * self.hits / self.of:.3g} % {self.kind} of the last {self.of:,} samples"
            f" ({self.shards} shards), but {100 * self.expected.share:.3g} % of"
            f" {self.expected.source}: {CAUSES[self.kind, self.high]}"
        )


def expected_drops(sample: pa.Table, rules: Node) -> Expected | None:
    """What the rules drop of the Reference's own sample; None if it has no rows.

    Args:
        sample: its scores, with `status` and `uid`.
        rules: those of the run, as they are decided while scoring.
    """
    if not sample.num_rows:
        return None
    return Expected(count_dropped(sample, rules), sample.num_rows, "the Reference's sample")


def tail_bound(hits: int, of: int, share: float) -> float:
    """Bound on the chance of a count as far out as this or farther, at any size (Chernoff).

    P(X >= k) <= exp(-n KL(k/n || p)) for k/n > p, and P(X <= k) likewise for k/n < p, with X of a
    binomial distribution: never too small, where a normal approximation of few hits is.

    Args:
        hits, of: k and n, 0 <= k <= n.
        share: p, between 0 and 1.
    """
    if not of or hits == of * share:
        return 1.0
    divergence = 0.0
    for count, chance in ((hits, share), (of - hits, 1.0 - share)):
        if count:
            if chance <= 0.0:
                return 0.0
            divergence += count * math.log(count / (of * chance))
    return math.exp(-max(divergence, 0.0))


def range_of(expected: Expected) -> tuple[float, float]:
    """Shares that pass for the expected one: within `FAR`, and within its own error.

    The error is Wilson's score interval at `DEVIATIONS`, which holds for few hits and for none.
    """
    n, p, z2 = expected.of, expected.share, DEVIATIONS**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = DEVIATIONS / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, min(p / FAR, middle - half)), min(1.0, max(p * FAR, middle + half))


def compare(kind: Kind, recent: Sequence[Portion], expected: Expected) -> Alarm | None:
    """Compare some shards with an expected share; None unless they are far from it.

    The shard that departs most is left out of the test, so that it takes another to confirm it: one
    bad shard is a bad shard, which its own counts tell.

    Args:
        kind: which share.
        recent: of whole shards, or of other parts of the pool.
        expected: what to compare with.
    """
    hits, of = _sums(recent)
    edge, sign = _edge_passed(hits, of, expected)
    if edge is None:
        return None
    worst = max(recent, key=lambda portion: sign * (portion[0] - edge * portion[1]))
    others_hits, others = hits - worst[0], of - worst[1]
    if sign * (others_hits - edge * others) <= 0:
        return None
    chance = tail_bound(others_hits, others, edge)
    return Alarm(kind, hits, of, len(recent), expected, chance) if chance < CHANCE else None


def _sums(portions: Sequence[Portion]) -> Portion:
    return sum(hits for hits, _ in portions), sum(of for _, of in portions)


def _edge_passed(hits: int, of: int, expected: Expected) -> tuple[float | None, int]:
    """The end of the range that a share lies beyond, and +1 above it or -1 below it."""
    low, high = range_of(expected)
    if of and hits > high * of:
        return high, 1
    if of and hits < low * of:
        return low, -1
    return None, 0


class Watch:
    """Looks at the shards of a run as they are finished, in any order.

    Holds two numbers for each of the latest shards and two sums, whatever the number of shards.
    Without an expected share, a run has to have as many shards behind it again before it is a
    measure itself.
    """

    def __init__(self, drops: Expected | None = None, rejections: Expected | None = None) -> None:
        """Begin a run.

        Args:
            drops, rejections: what to compare with; None is the run so far, without its latest
                shards.
        """
        self._shares = {
            "dropped": _Share("dropped", drops),
            "rejected": _Share("rejected", rejections),
        }

    def add(self, counts: Counts) -> tuple[Alarm, ...]:
        """Take in a shard's counts; returns the alarms that are new.

        Counts without a decision (`kept` is None) say nothing of drops. An alarm is raised once,
        and again only after the share was back in between.
        """
        found = [self._shares["rejected"].add(sum(counts.rejected.values()), counts.read)]
        if counts.kept is not None:
            # Rules see what has scores.
            found.append(self._shares["dropped"].add(sum(counts.dropped.values()), counts.scored))
        return tuple(alarm for alarm in found if alarm is not None)


class _Share:
    """One share of a run, and whether it is far off at the moment."""

    def __init__(self, kind: Kind, given: Expected | None) -> None:
        self.kind = kind
        self.given = given
        self.recent: deque[Portion] = deque()
        self.before: Portion = 0, 0
        self.shards_before = 0
        self.raised: int = 0

    def add(self, hits: int, of: int) -> Alarm | None:
        if not of:
            return None
        self.recent.append((hits, of))
        if len(self.recent) > max(LOOK_BACK):
            oldest = self.recent.popleft()
            self.before = self.before[0] + oldest[0], self.before[1] + oldest[1]
            self.shards_before += 1
        expected = self.given or self._so_far()
        if expected is None:
            return None
        recent = list(self.recent)
        looks = [recent[-shards:] for shards in LOOK_BACK if shards <= len(recent)]
        alarms = (compare(self.kind, look, expected) for look in looks)
        alarm = next((found for found in alarms if found is not None), None)
        if alarm is None:
            passed = {_edge_passed(*_sums(look), expected)[1] for look in looks}
            self.raised = self.raised if self.raised in passed else 0
            return None
        direction = 1 if alarm.high else -1
        new, self.raised = self.raised != direction, direction
        return alarm if new else None

    def _so_far(self) -> Expected | None:
        # Shards differ: a few of them are no measure for others.
        enough = self.shards_before >= max(LOOK_BACK)
        return Expected(*self.before, "the run before") if enough else None


def alarms_of(shards: Iterable[Counts], watch: Watch) -> list[Alarm]:
    """All alarms of a finished run, in the order of its shards: for `curate status`."""
    return [alarm for counts in shards for alarm in watch.add(counts)]
