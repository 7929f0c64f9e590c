"""Which shards the tables become, and whether a folder was begun in the same way.

img2dataset numbers the shards of all tables through, in the order of the tables: what is in the
folder can be gone on with as long as the tables it was made of come first, and in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from curate.config import DownloadConfig
from curate.errors import RunDirError
from curate.outputs import Store

OWN_FOLDER: Final = "_download"
"""Of curate's own files: img2dataset takes every json beside its shards for one of its own."""

PLAN: Final = f"{OWN_FOLDER}/plan.json"

FREE: Final = (
    "urls",
    "folder",
    "processes_count",
    "thread_count",
    "timeout",
    "deadline",
    "retries",
    "uids",
    "options",
)
"""Settings that may change between two runs; of `options` see FREE_OPTIONS, of `uids` it is the
content that counts."""

FREE_OPTIONS: Final = frozenset({"max_shard_retry", "user_agent_token"})


@dataclass(frozen=True, slots=True)
class PlannedTable:
    """A table of the plan: where it is, what tells it from others, and its rows."""

    url: str
    fingerprint: str
    rows: int


@dataclass(frozen=True)
class Plan:
    """How a folder of shards is made.

    Attributes:
        settings: that the shards depend on.
        tables: in their order.
        per_shard: rows that become one shard.
        shard_digits: digits of a shard's name.
    """

    settings: Mapping[str, Any]
    tables: tuple[PlannedTable, ...]
    per_shard: int
    shard_digits: int

    def shards(self) -> dict[str, int]:
        """Name -> rows of every shard, in their order."""
        sizes = [
            min(self.per_shard, table.rows - begin)
            for table in self.tables
            for begin in range(0, table.rows, self.per_shard)
        ]
        return {f"{i:0{self.shard_digits}d}": size for i, size in enumerate(sizes)}


def settings_of(config: DownloadConfig, chosen: str | None) -> dict[str, Any]:
    """What shards depend on, JSON-ready.

    Args:
        config: the section.
        chosen: fingerprint of the uids that are meant; None if all of them are.
    """
    settings = config.model_dump(mode="json", exclude=set(FREE))
    kept = {name: value for name, value in config.options.items() if name not in FREE_OPTIONS}
    settings |= {} if chosen is None else {"uids": chosen}
    return settings | {f"options.{name}": value for name, value in sorted(kept.items())}


def read_plan(store: Store) -> tuple[dict[str, Any], tuple[PlannedTable, ...]] | None:
    """Settings and tables that a folder was begun with; None if there are none."""
    try:
        found = store.read_json(PLAN)
    except FileNotFoundError:
        return None
    try:
        tables = tuple(PlannedTable(**table) for table in found["tables"])
        return dict(found["settings"]), tables
    except (TypeError, KeyError, ValueError) as exc:
        raise RunDirError(f"{store.path(PLAN)} is no plan of a download; delete {store}") from exc


def write_plan(store: Store, plan: Plan) -> None:
    """Leave the plan in the folder."""
    tables = [asdict(table) for table in plan.tables]
    store.write_json(PLAN, {"settings": dict(plan.settings), "tables": tables})


def check_settings(store: Store, settings: Mapping[str, Any]) -> None:
    """Refuse a folder of another kind, or begun with other settings. Raises RunDirError."""
    begun = read_plan(store)
    if begun is None and (others := store.names("", ".tar")):
        # What is half-written is removed: it must not be someone else's.
        raise RunDirError(
            f"{store} holds {others[0]}, which no `curate download` left; choose another"
            " download.folder, or give the shards as input.shards"
        )
    # Settings that there were not yet stood, as it were, at their defaults.
    defaults = settings_of(DownloadConfig(urls="-"), None)
    before = settings if begun is None else defaults | begun[0]
    changes = [
        f"download.{key} was {before.get(key)!r} and is {settings.get(key)!r} now"
        for key in sorted({*before, *settings})
        if before.get(key) != settings.get(key)
    ]
    if changes:
        raise RunDirError(
            f"{store} holds shards that were downloaded in another way: {'; '.join(changes)}."
            " Choose another download.folder, or delete this one"
        )


def check_tables(store: Store, fingerprints: Sequence[str]) -> tuple[PlannedTable, ...]:
    """The tables that a folder was begun with, which must be the first of those given.

    Raises:
        RunDirError: they are not.
    """
    begun = read_plan(store)
    before = () if begun is None else begun[1]
    for i, table in enumerate(before):
        if i >= len(fingerprints) or fingerprints[i] != table.fingerprint:
            raise RunDirError(
                f"{store} was begun with {table.url} as table {i + 1} of download.urls, which is"
                " another one now: new tables go to the end. Choose another download.folder, or"
                " delete this one"
            )
    return before
