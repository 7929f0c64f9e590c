"""The stage: what is left to download, img2dataset on it, and what became of every URL."""

from __future__ import annotations

import logging
import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from curate.config import Config, DownloadConfig
from curate.downloading.accounts import (
    ACCOUNT_SCHEMA,
    Account,
    Downloaded,
    from_table,
    read_account,
    read_stats,
    to_table,
    total,
)
from curate.downloading.options import arguments, check_options, needed_columns, shard_digits
from curate.downloading.plan import (
    OWN_FOLDER,
    Plan,
    PlannedTable,
    check_settings,
    check_tables,
    settings_of,
    write_plan,
)
from curate.downloading.process import STALLED_SECONDS, StalledError, run_engine
from curate.downloading.readers import explained
from curate.downloading.staging import Staged, stage
from curate.downloading.tables import Table, list_tables
from curate.errors import AccountingError, ConfigError, DownloadError, OutputError
from curate.listing import REQUESTS_AT_ONCE
from curate.numerics.keys import UidArray
from curate.outputs import Store
from curate.places import anchored
from curate.prefetch import prefetched
from curate.progress import Task, progress
from curate.uids_file import read_uids

LOGGER: Final = logging.getLogger(__name__)

ACCOUNTS: Final = f"{OWN_FOLDER}/accounts.parquet"
STATS: Final = "_stats.json"
BESIDE: Final = (".tar", ".parquet", STATS)
"""Files of a shard, in the order in which img2dataset finishes them."""

ATTEMPTS: Final = 3
"""Starts of img2dataset: one that is stuck is ended, and goes on where it was."""


@dataclass
class _Work:
    """One download: its section, its folder, and where img2dataset's prints go."""

    config: DownloadConfig
    store: Store
    log: Path
    limits: Mapping[str, Any]
    accounts: dict[str, Account] = field(default_factory=dict)


def download(config: Config) -> Downloaded:
    """Download what `config.download` names and is not there yet.

    Raises:
        ConfigError: the section is missing, or a table, a column or an option is not as it says.
        RunDirError: the folder holds a download of other tables or settings.
        DownloadError: img2dataset failed, or left shards out.
        AccountingError: the URLs do not balance.
    """
    section = config.download
    if section is None:
        raise ConfigError("download: there is no such section; name the tables of URLs under it")
    check_options(section.options)
    tables = list_tables(_places(section), section.format)
    store = Store(config.download_folder)
    chosen, subset = (None, None) if section.uids is None else _uids_of(section.uids)
    settings = settings_of(section, subset)
    check_settings(store, settings)
    marks = [_fingerprint(table) for table in tables]
    before = check_tables(store, marks)
    digits = shard_digits(section)
    begun = Plan(settings, before, section.number_sample_per_shard, digits)
    known = _read_accounts(store)
    if len(before) == len(marks) and set(known) == set(begun.shards()):
        return Downloaded(store.url, len(known), total(known.values()))
    with _folders(config, store) as (staging, log):
        limits = {
            "max_bytes": config.limits.member_bytes,
            "seconds": section.deadline,
            "private": section.allow_private_addresses,
            "pixels": config.limits.image_pixels,
        }
        work = _Work(section, store, log, limits, known)
        begin = time.monotonic()
        staged = stage(tables, section, needed_columns(section), staging, chosen)
        planned = (
            PlannedTable(table.url, mark, rows)
            for table, mark, rows in zip(tables, marks, staged.rows, strict=True)
        )
        plan = Plan(settings, tuple(planned), section.number_sample_per_shard, digits)
        write_plan(store, plan)
        _fetch(work, plan, staged, staging)
        return Downloaded(
            store.url, plan.files(), total(work.accounts.values()), time.monotonic() - begin
        )


def _places(section: DownloadConfig) -> str | list[str]:
    return section.urls if isinstance(section.urls, str) else list(section.urls)


def _uids_of(place: str) -> tuple[UidArray, str]:
    """The uids of a subset, and what tells them from others. Raises ConfigError."""
    folder, name = posixpath.split(anchored(place, None))
    try:
        uids = read_uids(Store(folder), name, "give the uids.npy of a subset")
        return uids, Table(posixpath.join(folder, name), "npy").fingerprint()
    except (OutputError, OSError, ValueError, ImportError) as exc:
        raise ConfigError(f"download.uids: {exc}") from exc


def _fingerprint(table: Table) -> str:
    with explained(table):
        return table.fingerprint()


@contextmanager
def _folders(config: Config, store: Store) -> Iterator[tuple[Path, Path]]:
    """A folder for the staged tables, and the file for img2dataset's prints."""
    run = Store(config.output.run_dir)
    name = time.strftime("logs/img2dataset-%Y%m%dT%H%M%SZ.txt", time.gmtime())
    with tempfile.TemporaryDirectory(prefix="curate-") as temporary:
        log = Path(run.path(name)) if run.is_local else Path(temporary, "log.txt")
        staging = Path(store.path(OWN_FOLDER) if store.is_local else temporary, "tables")
        shutil.rmtree(staging, ignore_errors=True)  # of a download that was killed
        for folder in (log.parent, staging):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            yield staging, log
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            if not run.is_local and log.exists():
                run.write_bytes(name, log.read_bytes())


# --- fetching ---------------------------------------------------------------------------------


def _fetch(work: _Work, plan: Plan, staged: Staged, staging: Path) -> None:
    sizes = plan.shards()
    _remove_unfinished(work.store, [shard for shard in sizes if shard not in work.accounts])
    _read_new_accounts(work, sizes)
    todo = {shard: rows for shard, rows in sizes.items() if shard not in work.accounts}
    if todo:
        request = arguments(
            work.config,
            str(staging),
            work.store.url,
            staged.url_col,
            staged.caption_col,
            staged.kept,
        )
        watch = _Watch(work.store, todo)
        before = len(sizes) - len(todo)
        task = Task("download", len(todo), unit="URLs", before=before, lost="failed")
        with progress(task, watch.counts):
            _run_until_done(work, request, staging.parent / "request.json", watch)
        _read_new_accounts(work, sizes)
    done = {shard: work.accounts[shard] for shard in sizes if shard in work.accounts}
    missing = [shard for shard in sizes if shard not in done]
    _remove_unfinished(work.store, missing)
    work.store.write_table(ACCOUNTS, to_table(done))
    if missing:
        raise DownloadError(
            f"img2dataset left out {len(missing)} of {len(sizes)} shards, {missing[0]} first; see"
            f" {work.log}, and run again to go on"
        )


def _run_until_done(work: _Work, request: Mapping[str, Any], place: Path, watch: _Watch) -> None:
    stalled = STALLED_SECONDS if work.store.is_local else float("inf")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            run_engine(request, work.limits, place, work.log, watch.activity, stalled)
        except StalledError:
            if attempt == ATTEMPTS:
                raise DownloadError(
                    f"img2dataset did nothing for {stalled:g} s, {ATTEMPTS} times; see {work.log}."
                    " It may lack memory: give fewer processes_count or thread_count"
                ) from None
            LOGGER.warning("img2dataset is stuck, and is started again; see %s", work.log)
            _remove_unfinished(work.store, watch.left())
        else:
            return
        finally:
            place.unlink(missing_ok=True)
            work.store.remove("_tmp")  # of img2dataset, which leaves it when it is stopped


def _remove_unfinished(store: Store, shards: Sequence[str]) -> None:
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


class _Watch:
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


# --- accounts ---------------------------------------------------------------------------------


def _read_accounts(store: Store) -> dict[str, Account]:
    """The accounts that are kept of finished shards that are still there."""
    try:
        kept = from_table(store.read_table(ACCOUNTS, ACCOUNT_SCHEMA.names))
    except FileNotFoundError:
        return {}
    there = {name.removesuffix(".tar") for name in store.names("", ".tar")}
    return {shard: account for shard, account in kept.items() if shard in there}


def _read_new_accounts(work: _Work, sizes: Mapping[str, int]) -> None:
    """Count the URLs of finished shards that are not counted yet."""
    finished = {name.removesuffix(STATS) for name in work.store.names("", STATS)}
    new = [shard for shard in sizes if shard in finished and shard not in work.accounts]
    found = prefetched(
        lambda shard: read_account(work.store, shard, sizes[shard]), new, REQUESTS_AT_ONCE
    )
    for shard, account in zip(new, found, strict=True):
        work.accounts[shard] = account
    for shard, account in work.accounts.items():
        if sizes.get(shard) != account.listed:
            raise AccountingError(
                f"{work.store}: shard {shard} has {account.listed} URLs, but the tables give"
                f" {sizes.get(shard)}; delete {work.store.path(OWN_FOLDER)} and run again"
            )
