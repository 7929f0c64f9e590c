"""`curate report`: from a scored run directory to a folder with a page in it.

Two scans find exact quantiles of every column (`survey`), and with them the edges that everything
is counted between. One more counts, and chooses the rows to show (`scan`). Of these, captions and
pictures are read from their byte ranges of the shards (`rows`); a last scan ranks them (`samples`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from curate.errors import ConfigError
from curate.listing import REQUESTS_AT_ONCE
from curate.manifest import RunDir
from curate.outputs import Store
from curate.prefetch import THREADS, prefetched
from curate.report import overview
from curate.report.columns import Tables, column_facts, make_tables
from curate.report.distributions import correlations_json
from curate.report.explorer import Explorer, plan_explorer, slider_columns
from curate.report.explorer_json import cells_json, columns_json, tests_json, tree_json
from curate.report.explorer_payload import Cells, Undecided
from curate.report.explorer_payload import Explorer as ExplorerFacts
from curate.report.galleries import Plan
from curate.report.gallery_plans import plan_galleries
from curate.report.opened import Opened, open_run
from curate.report.page import write_page
from curate.report.payload import FORMAT, Payload, Shards, SubsetFacts
from curate.report.rows import ShownRows
from curate.report.samples import Samples
from curate.report.scan import ReportScan, Wanted
from curate.report.shards_table import shards_table
from curate.report.survey import survey
from curate.report.undecided import rejected_rows, rejections_of, repeated_rows
from curate.schema import ALL_SCORES, CAPTION_ENGLISH, DUPLICATE_UID, IMAGE_NORM, TEXT_NORM
from curate.subsets import rules_yaml

FOLDER: Final = "report"
DATA: Final = "data/report.js"
THUMBS: Final = "thumbs"

SAMPLES: Final = 24
"""Samples of a gallery, unless told."""

NEAR_PARTS: Final = 12
"""A gallery of so many samples goes with one at either end of every interval of the explorer."""

NEAR_SAMPLES: Final = 1100
"""Samples at the ends of intervals in all, unless that is fewer than one at each: of 5 kB each."""

MOST_EXTREMES: Final = 6
"""Columns that have galleries of their lowest and highest values."""

IMAGE_PIXELS: Final = 50_000_000
"""Of a picture that is decoded, where the run's configuration does not tell."""


@dataclass(frozen=True)
class Built:
    """A report, before it is written.

    Attributes:
        payload, cells: what the page reads.
        thumbnails: name -> WebP.
    """

    payload: Payload
    cells: Cells
    thumbnails: dict[str, bytes]


def build_report(
    run: RunDir,
    subset: str | None = None,
    *,
    samples: int = SAMPLES,
    pictures: bool = True,
    uids_base: str | None = "..",
    observe: Callable[[str], None] = lambda phase: None,
) -> Built:
    """Make a report of a scored run; nothing is written.

    Args:
        run: its directory.
        subset: name; None takes the configured one, or the only one.
        samples: of a gallery.
        pictures: whether thumbnails are made.
        uids_base: the run directory as seen from the page; None where there is no way there.
        observe: called as each phase begins, with what it does.

    Raises:
        ConfigError: there is no subset of that name.
        RunDirError: there is no run, or it is not scored to its end.
        OutputError: something is missing or damaged.
        AccountingError: the counts do not balance.
    """
    observe("finding quantiles")
    opened = open_run(run, subset)
    sliders = slider_columns(opened.node, opened.columns)
    surveys = survey(opened.columns, sliders, opened.scan)
    precisions = opened.scan.precisions
    explorer = plan_explorer(opened.rules, opened.node, surveys, precisions)
    wanted = Wanted(opened.columns, _extremes(opened, explorer), samples, _near(explorer, samples))
    tables = make_tables(surveys, precisions, opened.integers)
    observe("counting")
    scan = _scanned(opened, explorer, wanted, tables)
    observe("reading samples")
    shown = Samples(opened, explorer, _rows(opened, pictures))
    found = shown.galleries(_plans(opened, scan))
    near = shown.near(scan)
    observe("ranking them")
    facts = shown.to_json()
    observe("putting it together")
    payload, cells = _payload(opened, explorer, scan, tables, uids_base)
    payload["galleries"], payload["near"], payload["samples"] = found, near, facts
    payload["warnings"] += shown.warnings()
    return Built(payload, cells, shown.thumbnails())


def _extremes(opened: Opened, explorer: Explorer) -> tuple[str, ...]:
    """Columns whose lowest and highest values are shown: those with sliders, then other scores."""
    plain = {IMAGE_NORM, TEXT_NORM, CAPTION_ENGLISH}
    scores = [name for name in opened.columns if name in ALL_SCORES and name not in plain]
    names = dict.fromkeys([*(column.name for column in explorer.columns), *scores])
    return tuple(name for name in names if name != CAPTION_ENGLISH)[:MOST_EXTREMES]


def _near(explorer: Explorer, samples: int) -> int:
    """Samples at either end of every interval."""
    ends = 2 * sum(column.intervals for column in explorer.columns)
    return max(1, min(samples // NEAR_PARTS, NEAR_SAMPLES // max(ends, 1)))


def _scanned(opened: Opened, explorer: Explorer, wanted: Wanted, tables: Tables) -> ReportScan:
    scan = ReportScan(
        explorer,
        wanted,
        tables.histograms,
        tables.joint_counts(explorer),
        tables.centres(opened.columns),
        len(opened.pool.shards),
    )
    for block in opened.scan.blocks():
        scan.add(block)
    return scan


def _rows(opened: Opened, pictures: bool) -> ShownRows:
    limits = opened.config.get("limits") or {}
    return ShownRows(
        run=opened.run,
        shards=opened.pool.shards,
        columns=opened.columns,
        kind=overview.pool_kind(opened),
        image_pixels=int(limits.get("image_pixels", IMAGE_PIXELS)),
        pictures=pictures,
    )


def _plans(opened: Opened, scan: ReportScan) -> list[Plan]:
    shards, candidates = opened.pool.shards, scan.wanted.candidates
    rejected = rejected_rows(opened.store, shards, opened.markers, candidates)
    repeated = repeated_rows(opened.duplicates, shards, candidates)
    totals = {**opened.pool.counts.rejected, DUPLICATE_UID: opened.duplicates.total}
    return plan_galleries(scan, rejected, repeated, totals, decided=opened.decided)


def _payload(
    opened: Opened, explorer: Explorer, scan: ReportScan, tables: Tables, uids_base: str | None
) -> tuple[Payload, Cells]:
    codes, counts = scan.cells.cells()
    sweep, said = overview.sweep_facts(opened, uids_base)
    rejected = sum(opened.pool.counts.rejected.values())
    tally = scan.tally.tolist()
    payload = Payload(
        format=FORMAT,
        run=overview.run_facts(opened),
        subset=_subset(opened),
        warnings=overview.warnings(opened) + said,
        accounts=overview.accounts(opened, scan.reasons, tally),
        columns=column_facts(opened, scan, tables, explorer),
        explorer=ExplorerFacts(
            columns=columns_json(explorer, codes, counts),
            tests=tests_json(explorer),
            rules=tree_json(explorer),
            undecided=Undecided(duplicate_uid=opened.duplicates.total, rejected=rejected),
            kept=tally[0],
        ),
        samples=[],
        galleries=[],
        near={},
        joint=scan.joints.to_json(),
        correlations=correlations_json(
            opened.columns, scan.moments, scan.ranked.columns(), int(scan.tally.sum())
        ),
        sweep=sweep,
        shards=_shards(opened, scan),
    )
    return payload, cells_json(codes, counts)


def _subset(opened: Opened) -> SubsetFacts | None:
    if opened.subset is None:
        return None
    return SubsetFacts(name=str(opened.subset.summary["name"]), rules_yaml=rules_yaml(opened.rules))


def _shards(opened: Opened, scan: ReportScan) -> Shards:
    read = opened.markers.table["read"].to_numpy()
    rejected = np.zeros(len(read), dtype=np.int64)
    for per_shard in rejections_of(opened.markers).values():
        for number, count in per_shard.items():
            rejected[number] += count
    kept = scan.kept_per_shard if opened.decided else None
    return shards_table(opened.pool.shards, read, rejected, kept)


# --- writing ------------------------------------------------------------------------------------


def write_report(built: Built, store: Store, folder: str = FOLDER) -> None:
    """Write a report; an older one in its place goes.

    Args:
        built: from `build_report`.
        store: the run directory, or another place.
        folder: in it; empty for the place itself.

    Raises:
        ConfigError: another place holds something else than a report.
        OutputError: the disk is full, or the store refused.
    """

    def at(name: str) -> str:
        return f"{folder}/{name}" if folder else name

    if not folder and not store.exists(DATA) and set(store.names("", "")) - {THUMBS}:
        raise ConfigError(f"--out: {store} holds other files than a report; choose another folder")
    store.remove_file(at("index.html"))
    store.remove(at(THUMBS))

    def write(item: tuple[str, bytes]) -> None:
        store.write_bytes(at(item[0]), item[1])

    threads = THREADS if store.is_local else REQUESTS_AT_ONCE
    for _ in prefetched(write, sorted(built.thumbnails.items()), threads):
        pass
    write_page(store, folder, built.payload, built.cells)


def link_to(run: Store, out: Store) -> str | None:
    """The run directory as seen from a page in another place; None where there is no way there."""
    if run.is_local and out.is_local:
        return os.path.relpath(run.url, out.url).replace(os.sep, "/")
    return None
