"""Listing folders: in parts or whole, the same names; and how often a store is asked."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from factories import sample_members, tar_bytes
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import listing, subsets
from curate.config import Rules
from curate.filtering import write_filtered
from curate.kept_samples import ScoredSamples
from curate.listing import LISTING, prefixes
from curate.manifest import IDENTITY, RunDir
from curate.output_shards import begin_outputs, plan_outputs
from curate.outputs import Store
from curate.pixels import PixelSpec
from curate.samples import SamplePolicy
from curate.schema import SCORE_COLUMNS
from curate.scoring import BatchPlan, ModelOutput
from curate.shard_tasks import ScoreTask, score_shard
from curate.shards import list_shards

names = st.lists(st.text("abc0/.", min_size=1, max_size=5), unique=True, max_size=40)


@settings(max_examples=200, deadline=None)
@given(names, st.integers(1, 5))
def test_prefixes_part_names(found: list[str], most: int) -> None:
    parts = prefixes(found, most)
    for name in found:
        assert sum(name.startswith(part) for part in parts) >= 1
    for part in parts:
        begun = [name for name in found if name.startswith(part)]
        nested = [other for other in parts if other != part and other.startswith(part)]
        assert len(begun) <= most or nested or part in found
    assert len(parts) == len(set(parts))


def test_prefixes_of_numbered_shards_are_few() -> None:
    found = [f"{n:07d}.json" for n in range(130_000)]
    assert prefixes(found, 10_000) == [f"0{n:02d}" for n in range(13)]
    assert prefixes(found, 200_000) == ["0"]
    assert prefixes([], 10) == []


# --- a store that counts --------------------------------------------------------------------


class Counting(MemoryFileSystem):  # type: ignore[misc] # fsspec is not typed
    """Objects in memory, with the tags of a store; counts what it is asked."""

    protocol = "counting"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    asked: ClassVar[Counter[str]] = Counter()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return MemoryFileSystem._strip_protocol(str(path).replace("counting://", "memory://"))

    def _listed(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super().ls(path, detail=True)
        tags = {
            info["name"]: str(hash(self.store[info["name"]].getvalue()))
            for info in found
            if info["type"] == "file"
        }
        return [info | {"ETag": tags.get(info["name"])} for info in found]

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self.asked["LIST"] += 1
        found = self._listed(path)
        return found if detail else [info["name"] for info in found]

    def find(
        self,
        path: str,
        maxdepth: Any = None,
        withdirs: Any = None,
        detail: bool = False,
        prefix: str = "",
        **options: Any,
    ) -> Any:
        self.asked["LIST"] += 1
        start = f"{path.rstrip('/')}/{prefix}"
        found = {
            info["name"]: info for info in self._listed(path) if info["name"].startswith(start)
        }
        return found if detail else list(found)

    def info(self, path: str, **options: Any) -> Any:
        self.asked["HEAD"] += 1
        return super().info(path, **options)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        self.asked["GET"] += 1
        return bytes(super().cat_file(path, start, end, **options))

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        self.asked["PUT"] += 1
        super().put_file(lpath, rpath, **options)

    def rm_file(self, path: str) -> None:
        self.asked["DELETE"] += 1
        super().rm_file(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: Any = None) -> None:
        self.asked["RM"] += 1
        for name in [n for n in self.store if n.startswith(self._strip_protocol(path))]:
            super().rm_file(name)

    def open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        if mode == "rb":
            self.asked["OPEN"] += 1  # a HEAD, and a GET for every block that is read
        return super().open(path, mode, *args, **options)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a folder in a store that counts."""
    fsspec.register_implementation("counting", Counting, clobber=True)
    for name, value in (("store", {}), ("pseudo_dirs", [""]), ("asked", Counter())):
        monkeypatch.setattr(Counting, name, value)
    Counting.clear_instance_cache()
    yield f"counting://{uuid.uuid4().hex}"
    Counting.clear_instance_cache()


def asked() -> dict[str, int]:
    """What was asked since the last look."""
    found = dict(Counting.asked)
    Counting.asked.clear()
    return found


def test_a_listing_in_parts_is_that_of_the_whole(
    counting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(counting)
    ids = [f"{n:03d}" for n in range(60)]
    for name in (*ids[::2], "other"):
        store.write_bytes(f"state/{name}.json", name.encode())
    store.write_bytes("state/failed/003.json", b"{}")
    whole, entries = store.names("state", ".json"), store.entries("state", ".json")
    assert whole == [*(f"{n}.json" for n in ids[::2]), "other.json"]
    assert entries.schema == LISTING
    assert entries["name"].to_pylist() == whole
    assert entries["size"].to_pylist() == [len(n) - 5 for n in whole]
    monkeypatch.setattr(listing, "PART_NAMES", 10)
    Counting.asked.clear()
    expected = [f"{n}.json" for n in ids]
    assert store.names("state", ".json", expected) == whole[:-1]  # others do not matter
    assert asked() == {"LIST": 6}
    assert store.entries("state", ".json", expected).equals(entries.slice(0, 30))
    assert RunDir(store).committed(ids) == set(ids[::2])


def test_a_local_listing_has_sizes_and_times(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert store.entries("state", ".json").num_rows == 0
    store.write_bytes("state/b.json", b"12")
    store.write_bytes("state/a.json", b"1")
    store.write_bytes("state/failed/c.json", b"1")
    found = store.entries("state", ".json").to_pydict()
    assert (found["name"], found["size"]) == (["a.json", "b.json"], [1, 2])
    times = [str((tmp_path / f"state/{n}").stat().st_mtime_ns) for n in found["name"]]
    assert found["stamp"] == times


# --- what a shard costs ---------------------------------------------------------------------


class Constant:
    """An EmbedClient that gives every pair the same scores."""

    def submit(self, pixels: Any, tokens: Any) -> ModelOutput:
        value = np.full(len(pixels), 0.5, np.float32)
        return ModelOutput(dict.fromkeys(SCORE_COLUMNS, value))

    def collect(self, handle: ModelOutput) -> ModelOutput:
        return handle


def requests(place: str, n: int) -> list[Counter[str]]:
    """What is asked of stores to score, select and filter n shards of one pair each."""
    pool = Store(f"{place}/pool")
    for at in range(n):
        pool.write_bytes(f"{at:05d}.tar", tar_bytes(sample_members(f"{at:04d}", "a thing", at)))
    shards = list_shards(f"{place}/pool/{{00000..{n - 1:05d}}}.tar")
    run = RunDir(Store(f"{place}/run"))
    run.write_manifest(shards)
    identity = run.claim(IDENTITY, {"model": "a"})
    batches = BatchPlan(
        PixelSpec((8, 8)), lambda texts: np.zeros((len(texts), 4), np.int32), 10**6, 4
    )
    task = ScoreTask(identity, SamplePolicy(), batches)
    found = [asked()]
    for shard in shards:
        score_shard(run, shard, task, Constant(), lambda counts: None)
    found.append(asked())
    subset = subsets.select(run, "default", Rules(all=()), None)
    found.append(asked())
    begin_outputs(run.store, "default", subset.identity, None)
    for plan in plan_outputs(subsets.kept_per_shard(run.store, subset), None):
        write_filtered(run.store, ScoredSamples(subset), plan)
    found.append(asked())
    return [Counter(one) for one in found[1:]]


def test_requests_of_a_shard_from_score_to_filter(counting: str) -> None:
    """The table of docs/storage.md: what one shard more costs."""
    five, six = requests(f"{counting}/5", 5), requests(f"{counting}/6", 6)
    # OPEN is a HEAD, and a GET for each block that is read.
    score, select, filtered = [more - less for more, less in zip(six, five, strict=True)]
    assert score == {
        "GET": 1,  # a marker may be there
        "OPEN": 2,  # the tar; the _stats.json beside it
        "PUT": 2,  # scores, marker
        "DELETE": 1,  # a failure may be there
    }
    assert select == {
        "GET": 1,  # the marker, for the cache
        "OPEN": 2,  # scores: to find repeated uids, and to decide
        "PUT": 1,  # decisions
    }
    assert filtered == {
        "GET": 1,  # the marker
        "OPEN": 4,  # scores, decisions, the tar, the sidecar beside it
        "PUT": 4,  # tar, sidecar, stats, marker
    }
    assert sum((five[0] - mult(score, 5)).values()) == 0
    assert sum((five[1] - mult(select, 5)).values()) <= 30
    assert sum((five[2] - mult(filtered, 5)).values()) <= 10


def mult(counts: Counter[str], by: int) -> Counter[str]:
    return Counter({kind: number * by for kind, number in counts.items()})
