"""Checks of subsets: everything about them is decided again from the scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import pyarrow as pa

from curate import markers, rules, subsets
from curate.config import Rules
from curate.deciding import count_decisions, decide_all
from curate.duplicates import CACHE, cached_identity, find_duplicates
from curate.errors import OutputError
from curate.external_sort import ExternalSorter
from curate.manifest import Counts, RunDir
from curate.numerics.keys import UID, UidArray
from curate.outputs import Store
from curate.subsets import Subset
from curate.uids_file import read_uids
from curate.verification.findings import Findings, listed
from curate.workspace import SAMPLE_SCORES


class Choices:
    """What the subsets of a run were chosen from, looked at once for all of them."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._cache_holds = False

    @cached_property
    def shards(self) -> list[str]:
        """Ids of the shards that take part."""
        return subsets.scored_shards(self.run)

    @cached_property
    def scores(self) -> str:
        """The identity of their scores, from the markers themselves."""
        return subsets.scores_identity(self.run, self.shards, trust=False)

    @property
    def remembered(self) -> str | None:
        """Under which identity repeated uids may be taken from the cache: if it was checked."""
        return self.scores if self._cache_holds else None

    def verify_markers(self) -> Iterator[str]:
        """Read the markers again, if it was remembered what they say."""
        if wrong := markers.wrong_rows(self.run):
            yield (
                f"{markers.CACHE} is not what {len(wrong)} markers say (the first is that of"
                f" {wrong[0]}); delete it"
            )

    def verify_cache(self) -> Iterator[str]:
        """Look for repeated uids again, if it was remembered which they are."""
        store = self.run.store
        if not store.exists(CACHE):
            return
        identity = cached_identity(store)
        if identity is not None and identity != self.scores:
            return  # of earlier scores: the next selection makes it again
        fresh = find_duplicates(store, self.shards).to_bytes(self.scores)
        if identity is None or store.read_bytes(CACHE) != fresh:
            yield f"{CACHE} is not what the scores say; delete it and run `curate select` again"
            return
        self._cache_holds = True


def load_subset(store: Store, name: str) -> Subset | None:
    """A subset's summary, which must be of that name; None if it is incomplete."""
    subset = subsets.load(store, name)
    if subset is not None and subset.summary["name"] != name:
        raise ValueError(f"{subsets.SUMMARY} is of subset {subset.summary['name']!r}")
    return subset


def verify_subset(choices: Choices, name: str, findings: Findings) -> Iterator[str]:
    """Decide a subset again and compare what lies in its folder."""
    run = choices.run
    subset = load_subset(run.store, name)
    if subset is None:
        yield f"subset {name} is incomplete (no {subsets.SUMMARY}); run `curate select` again"
        return
    chosen = _read_rules(run.store, f"{subset.folder}/{subsets.RULES}")
    if subset.identity != subsets.subset_identity(choices.scores, chosen):
        yield f"subset {name} is of other scores or rules; run `curate select` again"
        return
    sample = run.store.read_table(SAMPLE_SCORES) if rules.needs_reference(chosen) else None
    node, decided = decide_all(run, choices.shards, chosen, sample, choices.remembered)
    if rules.describe(node) != subset.summary["tests"]:
        yield f"subset {name}: the cuts in {subsets.SUMMARY} are not those of the scores"
    # One made by a sweep has totals and perhaps uids, but no decision on every sample.
    detailed = bool(subset.summary["decisions"])
    total, kept = Counts(), []
    with ExternalSorter(UID) as sorter:
        for shard, expected, found in decided:
            if detailed:
                compared = _compare_decisions(run.store, subset, shard, expected)
                yield from listed(f"subset {name}", compared)
            counts = count_decisions(expected)
            counts.check(f"subset {name}, shard {shard}")
            total += counts
            kept.append((shard, counts.kept))
            sorter.add(found)
        findings.files += len(kept) * detailed + 2
        if total != subset.counts:
            yield f"subset {name}: the summary says {subset.counts}, the scores say {total}"
        if detailed and subsets.kept_per_shard(run.store, subset) != kept:
            yield f"{subset.folder}/{subsets.SHARD_COUNTS} is not what the scores say"
        if subset.summary["uids"]:
            yield from _verify_uids(run.store, subset, sorter.merged())


def _read_rules(store: Store, relative: str) -> Rules:
    try:
        return subsets.read_rules(store, relative)
    except OSError as exc:
        raise OutputError(f"{relative} cannot be read: {exc}") from exc


def _compare_decisions(
    store: Store, subset: Subset, shard: str, expected: pa.Table
) -> Iterator[str]:
    place = f"{subset.folder}/decisions/{shard}.parquet"
    yield from compare_tables(place, subsets.read_decisions(store, subset, shard), expected)


def compare_tables(place: str, table: pa.Table, expected: pa.Table) -> Iterator[str]:
    """Name the first row in which decisions differ from what they should be."""
    if table.equals(expected):
        return
    rows = zip(table.to_pylist(), expected.to_pylist(), strict=False)
    found, wanted = next((pair for pair in rows if pair[0] != pair[1]), (None, None))
    if found is None or wanted is None:
        yield f"{place} has {table.num_rows} rows of {expected.num_rows}, or other columns"
    else:
        yield f"{place} says {found}, the scores say {wanted}; run `curate select` again"


def _verify_uids(store: Store, subset: Subset, kept: Iterable[UidArray]) -> Iterator[str]:
    relative = f"{subset.folder}/{subsets.UIDS}"
    uids = read_uids(store, relative)
    at = 0
    for block in kept:
        if not np.array_equal(uids[at : at + len(block)], block):
            break
        at += len(block)
    else:
        if at == len(uids):
            return
    yield f"{relative} is not the sorted set of the kept uids; run `curate select` again"
