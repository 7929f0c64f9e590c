"""Shards as img2dataset leaves them: finished ones, their accounts, and what a stop cut short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from curate.downloading.accounts import (
    ACCOUNT_SCHEMA,
    Account,
    from_table,
    read_account,
    read_stats,
    to_table,
)
from curate.downloading.plan import OWN_FOLDER
from curate.errors import AccountingError, OutputError
from curate.listing import REQUESTS_AT_ONCE
from curate.outputs import Store
from curate.prefetch import prefetched

ACCOUNTS: Final = f"{OWN_FOLDER}/accounts.parquet"
STATS: Final = "_stats.json"
BESIDE: Final = (".tar", ".parquet", STATS)
"""Files of a shard, in the order in which img2dataset finishes them."""


def read_accounts(store: Store) -> dict[str, Account]:
    """The accounts that are kept of finished shards that are still there."""
    try:
        kept = from_table(store.read_table(ACCOUNTS, ACCOUNT_SCHEMA.names))
    except FileNotFoundError:
        return {}
    there = {name.removesuffix(".tar") for name in store.names("", ".tar")}
    return {shard: account for shard, account in kept.items() if shard in there}


def write_accounts(store: Store, accounts: Mapping[str, Account]) -> None:
    """Keep the accounts of finished shards."""
    store.write_table(ACCOUNTS, to_table(accounts))


def new_accounts(
    store: Store, known: Mapping[str, Account], sizes: Mapping[str, int]
) -> dict[str, Account]:
    """The known accounts, and those of finished shards that are not counted yet.

    Args:
        store: the folder.
        known: shard -> account.
        sizes: shard -> rows of the tables.

    Raises:
        AccountingError: a shard has other URLs than the tables give it.
    """
    finished = {name.removesuffix(STATS) for name in store.names("", STATS)}
    new = [shard for shard in sizes if shard in finished and shard not in known]
    found = prefetched(lambda s: read_account(store, s, sizes[s]), new, REQUESTS_AT_ONCE)
    accounts = dict(known) | dict(zip(new, found, strict=True))
    for shard, account in accounts.items():
        if sizes.get(shard) != account.listed:
            raise AccountingError(
                f"{store}: shard {shard} has {account.listed} URLs, but the tables give"
                f" {sizes.get(shard)}; delete {store.path(OWN_FOLDER)} and run again"
            )
    return accounts


def remove_unfinished(store: Store, shards: Sequence[str]) -> None:
    """Remove what a stopped img2dataset left: it takes any stats file for a finished shard."""
    found = set(store.names("", ".tar")) | set(store.names("", ".parquet"))
    found |= set(store.names("", STATS))
    for shard in shards:
        names = [f"{shard}{ending}" for ending in BESIDE]
        there = [name for name in names if name in found]
        if not there:
            continue
        try:
            whole = len(there) == len(names) and bool(read_stats(store, shard))
        except OutputError:
            whole = False
        if not whole:
            for name in reversed(there):
                store.remove_file(name)


class Watch:
    """How far img2dataset is, from the files it leaves."""

    def __init__(self, store: Store, todo: Mapping[str, int]) -> None:
        self._store, self._todo = store, dict(todo)
        self._done = {"shards": 0, "read": 0, "rejected": 0}

    def left(self) -> list[str]:
        """Shards that are not finished, as of the last look."""
        return list(self._todo)

    def counts(self) -> dict[str, int]:
        """Finished shards, their URLs, and those of them that failed."""
        for name in self._store.names("", STATS):
            shard = name.removesuffix(STATS)
            if shard not in self._todo:
                continue
            try:
                stats = read_stats(self._store, shard)
            except (OutputError, FileNotFoundError):
                continue  # it is being written
            self._todo.pop(shard)
            self._done["shards"] += 1
            self._done["read"] += stats["count"]
            self._done["rejected"] += stats["count"] - stats["successes"]
        return dict(self._done)

    def activity(self) -> Any:
        """What differs when something was written."""
        entries = self._store.entries("", "")
        return [entries[name].to_pylist() for name in ("name", "size")]
