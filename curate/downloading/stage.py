"""The stage: what is left to download, img2dataset on it, and what became of every URL."""

from __future__ import annotations

import logging
import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from curate.config import Config, DownloadConfig
from curate.downloading.accounts import Account, Downloaded, total
from curate.downloading.left import (
    Watch,
    new_accounts,
    read_accounts,
    remove_unfinished,
    write_accounts,
)
from curate.downloading.options import arguments, check_options, needed_columns, shard_digits
from curate.downloading.plan import (
    OWN_FOLDER,
    Plan,
    PlannedTable,
    check_settings,
    check_tables,
    read_plan,
    settings_of,
    write_plan,
)
from curate.downloading.process import STALLED_SECONDS, StalledError, run_engine
from curate.downloading.readers import explained
from curate.downloading.staging import Staged, find_all, stage
from curate.downloading.tables import Table, list_tables
from curate.errors import ConfigError, DownloadError, OutputError, RunDirError
from curate.numerics.keys import UidArray
from curate.outputs import Store
from curate.places import anchored
from curate.progress import Task, progress
from curate.uids_file import read_uids

LOGGER: Final = logging.getLogger(__name__)

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
    columns = find_all(tables, section, needed_columns(section))
    marks = [_fingerprint(table) for table in tables]
    before = check_tables(store, marks)
    begun = _plan_of(section, settings, before)
    known = read_accounts(store)
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
        staged = stage(tables, columns, section, staging, chosen)
        planned = (
            PlannedTable(table.url, mark, rows)
            for table, mark, rows in zip(tables, marks, staged.rows, strict=True)
        )
        plan = _plan_of(section, settings, planned)
        write_plan(store, plan)
        _fetch(work, plan, staged, staging)
        accounts = work.accounts
        seconds = time.monotonic() - begin
        return Downloaded(store.url, len(accounts), total(accounts.values()), seconds)


def require_finished(config: Config) -> None:
    """Refuse to read shards that are still being downloaded, the last of which may be cut short.

    Raises:
        RunDirError: shards are missing.
    """
    if config.download is None or not config.reads_download:
        return
    store = Store(config.download_folder)
    begun = read_plan(store)
    done = set(read_accounts(store))
    if begun is None or not done >= set(_plan_of(config.download, *begun).shards()):
        raise RunDirError(
            f"{store} is not downloaded yet, or not all of it; run `curate download` first, or"
            " `curate run`, which begins with it"
        )


def _plan_of(
    section: DownloadConfig, settings: Mapping[str, Any], tables: Iterable[PlannedTable]
) -> Plan:
    return Plan(settings, tuple(tables), section.number_sample_per_shard, shard_digits(section))


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
    remove_unfinished(work.store, [shard for shard in sizes if shard not in work.accounts])
    work.accounts = new_accounts(work.store, work.accounts, sizes)
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
        watch = Watch(work.store, todo)
        before = len(sizes) - len(todo)
        task = Task("download", len(todo), unit="URLs", before=before, lost="failed")
        with progress(task, watch.counts):
            _run_until_done(work, request, staging.parent / "request.json", watch)
        work.accounts = new_accounts(work.store, work.accounts, sizes)
    done = {shard: work.accounts[shard] for shard in sizes if shard in work.accounts}
    missing = [shard for shard in sizes if shard not in done]
    remove_unfinished(work.store, missing)
    write_accounts(work.store, done)
    if missing:
        raise DownloadError(
            f"img2dataset left out {len(missing)} of {len(sizes)} shards, {missing[0]} first; see"
            f" {work.log}, and run again to go on"
        )


def _run_until_done(work: _Work, request: Mapping[str, Any], place: Path, watch: Watch) -> None:
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
            remove_unfinished(work.store, watch.left())
        else:
            return
        finally:
            place.unlink(missing_ok=True)
            work.store.remove("_tmp")  # of img2dataset, which leaves it when it is stopped
