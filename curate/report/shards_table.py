"""The table of shards: what became of the samples of each, and which shards are unlike the rest.

A shard is an outlier if its share of dropped or of rejected samples is more than `alarms.FAR` times
the pool's, or less than that part of it, and chance alone would bring so many with a probability
below `alarms.CHANCE`: about six standard deviations of a binomial distribution. Both, since large
shards differ a little for real, and small ones a lot by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from curate.alarms import CHANCE, FAR, tail_bound
from curate.report.payload import ShardRow, Shards

SHOWN: Final = 2000
"""Shards that are listed: outliers first, then the first ones of the run."""

Counts = npt.NDArray[np.int64]


def shards_table(
    ids: Sequence[str], read: Counts, rejected: Counts, kept: Counts | None, shown: int = SHOWN
) -> Shards:
    """List shards.

    Args:
        ids: in the order of the run.
        read, rejected, kept: int64 [shards], of each; `kept` None where nothing was decided.
        shown: how many are listed at most.
    """
    scored = read - rejected
    dropped = None if kept is None else scored - kept
    found = _outliers("rejected", rejected, read)
    if dropped is not None:
        for number, text in _outliers("dropped", dropped, scored).items():
            found[number] = f"{found[number]}; {text}" if number in found else text
    listed = sorted(found)[:shown]
    listed += [n for n in range(min(len(ids), shown)) if n not in found][: shown - len(listed)]
    rows = [
        ShardRow(
            id=ids[n],
            read=int(read[n]),
            kept=None if kept is None else int(kept[n]),
            dropped=None if dropped is None else int(dropped[n]),
            rejected=int(rejected[n]),
            outlier=found.get(n),
        )
        for n in sorted(listed)
    ]
    return Shards(rows=rows, total=len(ids), shown=len(rows))


def _outliers(what: str, hits: Counts, of: Counts) -> dict[int, str]:
    """Number of a shard -> what is unlike the pool, in words."""
    total, n = int(hits.sum()), int(of.sum())
    if not 0 < total < n:
        return {}
    share = total / n
    found = {}
    far = (hits > FAR * share * of) | (hits * FAR < share * of)
    for number in np.flatnonzero(far).tolist():
        k, m = int(hits[number]), int(of[number])
        if tail_bound(k, m, share) < CHANCE:
            found[number] = (
                f"{100 * k / m:.3g} % {what} ({k:,} of {m:,}), but {100 * share:.3g} % of the pool"
            )
    return found
