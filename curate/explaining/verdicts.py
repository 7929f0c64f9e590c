"""What a subset says of samples: the stored decision, and the rules that led to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from curate import subsets
from curate.config import Config
from curate.errors import AccountingError, OutputError, RunDirError
from curate.explaining.finding import Place, places_of_uid
from curate.explaining.findings import GroupTrace, Verdict
from curate.explaining.rows import Row
from curate.explaining.tracing import reason_of, trace
from curate.manifest import RunDir
from curate.outputs import Store
from curate.rules import columns_of, rebuild
from curate.schema import DUPLICATE_UID, KEPT, OK, SUMMARY_OF_REJECTED
from curate.subsets import Subset
from curate.uid_columns import uids_of

_REMEDY: Final = "run `curate verify`, and select again"


def chosen_subset(store: Store, name: str | None, config: Config | None) -> Subset | None:
    """The named subset, else the configured one, else the only one; None where there is none.

    Raises:
        RunDirError: there is no such subset, or several of which none was named.
    """
    names = [one for one in subsets.names(store) if subsets.load(store, one) is not None]
    if name is None:
        configured = None if config is None else config.output.subset
        name = configured if configured in names else None
        if name is None and len(names) == 1:
            name = names[0]
        if name is None and not names:
            return None
    found = None if name is None else subsets.load(store, name)
    if found is None:
        asked = "which subset?" if name is None else f"there is no subset {name!r};"
        there = f"it has {', '.join(names)}" if names else "run `curate select` first"
        raise RunDirError(f"{store}: {asked} {there}")
    return found


class Judge:
    """A subset, and how it decides.

    Args:
        run: the run directory.
        shards: ids of the scored ones.
        subset: selected, or of a sweep.

    Raises:
        OutputError: its rules are damaged.
    """

    def __init__(self, run: RunDir, shards: Sequence[str], subset: Subset) -> None:
        self._run, self._shards, self._subset = run, shards, subset
        rules = subsets.read_rules(run.store, f"{subset.folder}/{subsets.RULES}")
        try:
            self._node = rebuild(rules, subset.summary["tests"])
        except (OutputError, LookupError, ValueError) as exc:
            raise OutputError(f"{run.store.path(subset.folder)}: {exc}; {_REMEDY}") from exc
        self.columns = columns_of(rules)

    @property
    def name(self) -> str:
        """Of the subset."""
        return str(self._subset.summary["name"])

    def verdicts(self, places: Sequence[Place], rows: Sequence[Row]) -> list[Verdict]:
        """What the subset says of some samples.

        Raises:
            OutputError: the decisions are missing or damaged.
            AccountingError: they are not what the rules say.
        """
        stored = self._stored(places)
        # A subset of a sweep has no decisions yet: whether a uid occurred before is looked up.
        asked = [
            row.fields["uid"]
            for row, reason in zip(rows, stored, strict=True)
            if row.fields["status"] == OK and reason in (None, DUPLICATE_UID)
        ]
        first = places_of_uid(self._run.store, self._shards, asked)
        return [
            self._verdict(place, row, reason, first.get(row.fields["uid"]))
            for place, row, reason in zip(places, rows, stored, strict=True)
        ]

    def _verdict(self, place: Place, row: Row, stored: str | None, first: Place | None) -> Verdict:
        status = row.fields["status"]
        if status != OK:
            found, rules, same = f"{SUMMARY_OF_REJECTED}{status}", None, None
        else:
            rules = self._trace(place, row)
            repeats = first is not None and (first.shard, first.row) != (place.shard, place.row)
            found = DUPLICATE_UID if repeats else reason_of(rules)
            same = str(first) if repeats else None
        if stored is not None and stored != found:
            raise AccountingError(
                f"{self._run.store}: subset {self.name!r} says {stored!r} of {place}, but its rules"
                f" say {found!r}; {_REMEDY}"
            )
        return Verdict(self.name, found == KEPT, found, rules, same)

    def _trace(self, place: Place, row: Row) -> GroupTrace:
        lacking = sorted(set(self.columns) - set(row.values))
        if lacking:
            raise OutputError(
                f"{self._run.store}: the scores of {place.shard} lack {', '.join(lacking)}, which"
                f" subset {self.name!r} uses; {_REMEDY}"
            )
        uid = uids_of(pa.chunked_array([[row.fields["uid"]]], pa.string()))
        found = trace(self._node, row.values, uid)
        if not isinstance(found, GroupTrace):
            raise AccountingError(f"subset {self.name!r}: its rules are no group; {_REMEDY}")
        return found

    def _stored(self, places: Sequence[Place]) -> list[str | None]:
        """The stored reason of each sample; None of a subset without decisions."""
        if not self._subset.summary["decisions"]:
            return [None] * len(places)
        found: dict[Place, str] = {}
        for shard in dict.fromkeys(place.shard for place in places):
            store = self._run.store
            table = subsets.read_decisions(store, self._subset, shard, ["key", "reason"])
            for place in places:
                if place.shard != shard:
                    continue
                if place.row >= table.num_rows or table["key"][place.row].as_py() != place.key:
                    raise OutputError(
                        f"{store.path(self._subset.folder)}/decisions/{shard}.parquet is of other"
                        f" scores; {_REMEDY}"
                    )
                found[place] = table["reason"][place.row].as_py()
        return [found[place] for place in places]
