"""How far a run is, live or afterwards, from what lies in its directory. Nothing is written there.

A million markers are not read one by one: `curate.markers` keeps what they say in one table. How
fast a run is comes from its signs of life and its log, which are a few small files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pyarrow.compute as pc

from curate import subsets
from curate.errors import OutputError
from curate.heartbeat import read_heartbeat
from curate.image_index import images_of
from curate.listing import REQUESTS_AT_ONCE
from curate.log_lines import moment
from curate.manifest import MANIFEST, Counts, RunDir
from curate.markers import Markers, read_markers
from curate.output_shards import SIZES, committed_outputs, filtered_folder
from curate.outputs import Store
from curate.prefetch import prefetched
from curate.run_log import read_log
from curate.run_state import (
    CommandState,
    StageState,
    command_of,
    embedding_stage_of,
    noted,
    stage_of,
)

VERSION: Final = 1
"""Of the JSON; keys may be added without a new one."""

MAX_NAMED: Final = 100
"""Damaged shards and notes that are named; the markers have all."""

FOLDERS: Final = ("reference", "scores", "embeddings")
"""Folders whose size is told, beside those of filtered shards."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one folder, and their bytes where the store tells."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ImagesState:
    """The image shards of a pool of metadata: how many there are, how many are indexed."""

    total: int
    indexed: int
    unreadable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SubsetState:
    """A subset: its counts (None while it is being selected), and its filtered shards.

    Attributes:
        name: of the subset.
        counts: totals.
        written: filtered shards that are committed.
        finished: whether all of them are.
        outputs: what lies in their folder.
    """

    name: str
    counts: Counts | None
    written: int
    finished: bool
    outputs: Files | None


@dataclass(frozen=True, slots=True)
class Status:
    """All of it.

    Attributes:
        run_dir: where.
        now: the moment of looking, ISO 8601.
        command, stage: the latest ones; None where no log tells.
        embedding: the latest stage that embedded, where that is not the latest one.
        items: what the pool is made of, `shards` or `parts`.
        total: of them; None before scoring has begun.
        scored: finished ones.
        counts: of their samples; None if markers were not read.
        damaged: (shard, what is wrong and where), at most MAX_NAMED, and how many there are.
        notes: (shard, name and value), likewise.
        unreadable: shard -> error.
        alarms: `time` and `text`, oldest first.
        images: of a pool of metadata whose images are there.
        subsets: in the order of their names.
        outputs: folder -> files.
    """

    run_dir: str
    now: str
    command: CommandState | None
    stage: StageState | None
    items: str
    total: int | None
    scored: int
    counts: Counts | None
    damaged: Sequence[tuple[str, str]]
    damaged_number: int
    notes: Sequence[tuple[str, str]]
    notes_number: int
    unreadable: Mapping[str, str]
    alarms: Sequence[Mapping[str, str]]
    images: ImagesState | None
    subsets: Sequence[SubsetState]
    outputs: Mapping[str, Files] = field(default_factory=dict)
    embedding: StageState | None = None

    @property
    def to_do(self) -> int:
        """Shards that are neither scored nor found unreadable."""
        return max((self.total or 0) - self.scored - len(self.unreadable), 0)

    @property
    def live(self) -> bool:
        """Whether a command is at work."""
        return self.command is not None and self.command.state == "running"


def look(run: RunDir, *, quick: bool = False, clock: Callable[[], float] = time.time) -> Status:
    """Look at a run.

    Args:
        run: its directory.
        quick: leave out what takes a look at each shard: samples by reason, damage, sizes.
        clock: seconds since the epoch.

    Raises:
        RunDirError: there is no run.
        OutputError: something in it is damaged or cannot be read.
    """
    try:
        return _look(run, moment(clock()), quick)
    except OSError as exc:
        raise OutputError(f"{run.store} cannot be read: {exc}; look at its storage") from exc


def _look(run: RunDir, now: str, quick: bool) -> Status:
    store = run.store
    events, sign = read_log(store), read_heartbeat(store)
    command = command_of(events, sign, now)
    started = command is not None and not store.exists(MANIFEST)  # fitting, or scoring just begun
    manifest = None if started else run.shard_ids()
    done = run.committed(manifest) if manifest else frozenset()
    scored = [shard for shard in manifest or () if shard in done]
    left = frozenset(manifest or ()) - done
    markers = None if quick or manifest is None else read_markers(run, scored, keep=False)
    damaged, notes = ([], []) if markers is None else (_damaged(markers), _notes(markers))
    found = _subsets(store)
    stage = stage_of(events, sign, command, now)
    embeds = stage is not None and stage.setup is not None
    return Status(
        run_dir=str(store),
        now=now,
        command=command,
        stage=stage,
        items=_items(run),
        total=None if manifest is None else len(manifest),
        scored=len(scored),
        counts=None if markers is None else markers.counts,
        damaged=damaged[:MAX_NAMED],
        damaged_number=len(damaged),
        notes=notes[:MAX_NAMED],
        notes_number=len(notes),
        unreadable={s: e for s, e in run.failures().items() if s in left},
        alarms=noted(events),
        images=_images(run),
        subsets=found,
        outputs={} if quick else _outputs(store, found, scored),
        embedding=None if embeds else embedding_stage_of(events),
    )


def _items(run: RunDir) -> str:
    parts = (run.read_identity() or ("", {}))[1]
    return "parts" if "pool" in parts else "shards"


def _damaged(markers: Markers) -> list[tuple[str, str]]:
    return [
        (shard, f"{one['kind']} at byte {one['offset']}")
        for shard, damage in markers.damage()
        for one in damage
    ]


def _notes(markers: Markers) -> list[tuple[str, str]]:
    return [
        (shard, f"{name}: {v}") for shard, notes in markers.notes() for name, v in notes.items()
    ]


def _images(run: RunDir) -> ImagesState | None:
    images = images_of(run)
    if not images.store.exists(MANIFEST):
        return None
    shards = images.shard_ids()
    done = images.committed(shards)
    return ImagesState(len(shards), sum(s in done for s in shards), images.failures())


def _subsets(store: Store) -> list[SubsetState]:
    filtered = frozenset(store.names("shards", ""))

    def state(name: str) -> SubsetState:
        subset = subsets.load(store, name)
        counts = None if subset is None else subset.counts
        if name not in filtered:
            return SubsetState(name, counts, 0, False, None)
        files = store.entries(filtered_folder(name), "")
        finished = SIZES in files["name"].to_pylist()
        size = pc.sum(files["size"]).as_py() or 0
        written = len(committed_outputs(store, name))
        return SubsetState(name, counts, written, finished, Files(len(files), size))

    names = [name for name in subsets.names(store) if not name.startswith(".")]
    return list(prefetched(state, names, 1 if store.is_local else REQUESTS_AT_ONCE))


def _outputs(store: Store, found: Sequence[SubsetState], scored: Sequence[str]) -> dict[str, Files]:
    sizes = {}
    for folder in FOLDERS:
        expected = [f"{shard}.parquet" for shard in scored] if folder == "scores" else []
        files = store.entries(folder, "", expected)
        if len(files):
            sizes[folder] = Files(len(files), pc.sum(files["size"]).as_py() or 0)
    filtered = {filtered_folder(s.name): s.outputs for s in found if s.outputs is not None}
    return sizes | filtered


# --- for machines -----------------------------------------------------------------------------


def to_json(status: Status) -> dict[str, Any]:
    """What `curate status --json` prints; docs/outputs.md lists the keys."""
    return {
        "version": VERSION,
        "run_dir": status.run_dir,
        "now": status.now,
        "command": None if status.command is None else asdict(status.command),
        "stage": None if status.stage is None else status.stage.to_json(),
        "embedding": None if status.embedding is None else status.embedding.to_json(),
        "items": status.items,
        "total": status.total,
        "scored": status.scored,
        "to_do": status.to_do,
        "unreadable": dict(status.unreadable),
        "samples": None if status.counts is None else _counts(status.counts),
        "damaged": {"number": status.damaged_number, "first": _pairs(status.damaged)},
        "notes": {"number": status.notes_number, "first": _pairs(status.notes)},
        "alarms": [dict(alarm) for alarm in status.alarms],
        "images": None if status.images is None else asdict(status.images),
        "subsets": [_subset(subset) for subset in status.subsets],
        "outputs": {folder: asdict(files) for folder, files in status.outputs.items()},
    }


def _counts(counts: Counts) -> dict[str, Any]:
    told = {"read": counts.read, "scored": counts.scored, "rejected": dict(counts.rejected)}
    if counts.kept is None:
        return told
    return told | {"kept": counts.kept, "dropped": dict(counts.dropped)}


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"shard": shard, "text": text} for shard, text in pairs]


def _subset(subset: SubsetState) -> dict[str, Any]:
    return {
        "name": subset.name,
        "state": "being selected" if subset.counts is None else "selected",
        "samples": None if subset.counts is None else _counts(subset.counts),
        "filtered_shards": subset.written,
        "filtered": subset.finished,
    }
