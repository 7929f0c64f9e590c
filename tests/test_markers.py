"""The table of markers: what it says is what the markers say, however it came about."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.config import digest
from curate.errors import OutputError, RunDirError
from curate.manifest import STATE, Counts, Marker, RunDir
from curate.markers import (
    CACHE,
    identity_of_outputs,
    outputs_json,
    read_markers,
    wrong_rows,
)
from curate.outputs import Store, Written
from curate.subsets import scores_identity

SHARDS = ["00000", "b", "ü x"]


def marker(shard: str, **fields: Any) -> Marker:
    values: dict[str, Any] = {
        "url": f"/pool/{shard}.tar",
        "size": 10_240,
        "sha256": "0" * 64,
        "identity": "i",
        "counts": Counts(read=3, rejected={"missing_text": 1}),
        "damage": (),
        "notes": {},
        "outputs": (Written(f"scores/{shard}.parquet", 5, "1" * 64),),
    }
    return Marker(shard, **(values | fields))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir(Store(str(tmp_path)))
    made.claim("identity.json", {"model": "a"})
    for shard in SHARDS:
        made.commit(marker(shard))
    return made


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The markers that are read."""
    found: list[str] = []
    original = RunDir.marker

    def noting(run: RunDir, shard: str) -> Marker | None:
        found.append(shard)
        return original(run, shard)

    monkeypatch.setattr(RunDir, "marker", noting)
    return found


def counts_of(run: RunDir, shards: list[str]) -> Counts:
    return sum((run.require_marker(shard).counts for shard in shards), Counts())


def outputs_of(run: RunDir, shards: list[str]) -> list[Any]:
    return [[[w.path, w.sha256] for w in run.require_marker(s).outputs] for s in shards]


# --- what it says ---------------------------------------------------------------------------


def test_it_says_what_the_markers_say(run: RunDir) -> None:
    damage = ({"kind": "truncated", "offset": 7, "detail": "ü"},)
    two = (Written("scores/b.parquet", 5, "2" * 64), Written("embeddings/b.npz", 9, "3" * 64))
    run.commit(marker("b", damage=damage, outputs=two, counts=Counts(read=0)))
    run.commit(marker("00000", notes={"missing_json": 2}, counts=Counts(5, {"a": 1, "b": 2})))
    for shards in (SHARDS, SHARDS[::-1], SHARDS[1:]):
        said = read_markers(run, shards)
        assert said.table["shard"].to_pylist() == shards
        assert said.counts == counts_of(run, shards)
        assert list(said.damage()) == [("b", list(damage))]
    assert list(read_markers(run, SHARDS).notes()) == [("00000", {"missing_json": 2})]
    assert read_markers(run, []).counts == Counts()


def test_the_identity_of_scores_is_that_of_runs_made_before_the_table(run: RunDir) -> None:
    scored_as = digest({"model": "a"})
    for shards in (SHARDS, SHARDS[::-1], []):
        expected = digest([scored_as, shards, outputs_of(run, shards)])
        assert scores_identity(run, shards) == expected
        assert scores_identity(run, shards, trust=False) == expected


outputs = st.lists(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=2))


@settings(max_examples=50)
@given(st.text(max_size=3), outputs)
def test_an_identity_in_pieces_is_that_of_the_whole(scored_as: str, written: list[Any]) -> None:
    shards = [f"{i}é" for i in range(len(written))]
    files = [[Written(path, 0, sha256) for path, sha256 in one] for one in written]
    whole = digest([scored_as, shards, [[list(pair) for pair in one] for one in written]])
    assert identity_of_outputs(scored_as, shards, map(outputs_json, files)) == whole


# --- what is read ---------------------------------------------------------------------------


def test_only_new_and_changed_markers_are_read(run: RunDir, reads: list[str]) -> None:
    read_markers(run, SHARDS)
    assert sorted(reads) == SHARDS
    reads.clear()
    stamp = Path(run.store.path(CACHE)).stat()
    before = read_markers(run, SHARDS).table
    assert read_markers(run, SHARDS[::-1]).counts == counts_of(run, SHARDS)
    assert reads == SHARDS  # by `counts_of`
    assert Path(run.store.path(CACHE)).stat() == stamp  # doing nothing leaves no trace
    reads.clear()
    run.commit(marker("b", outputs=(Written("scores/b.parquet", 6, "f" * 64),)))
    run.commit(marker("new"))
    after = read_markers(run, [*SHARDS, "new"]).table
    assert sorted(reads) == ["b", "new"]
    assert not after.slice(0, 3).equals(before)
    reads.clear()
    assert read_markers(run, [*SHARDS, "new"]).table.equals(after)
    assert reads == []
    assert wrong_rows(run) == []


def test_a_marker_of_the_same_size_is_read_again(run: RunDir) -> None:
    first = scores_identity(run, SHARDS)
    path = Path(run.store.path(f"{STATE}/b.json"))
    path.write_text(path.read_text().replace("1" * 64, "2" * 64))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert scores_identity(run, SHARDS) != first
    assert scores_identity(run, SHARDS) == scores_identity(run, SHARDS, trust=False)


def test_without_trust_the_cache_is_left_alone(run: RunDir, reads: list[str]) -> None:
    read_markers(run, SHARDS, trust=False)
    assert not run.store.exists(CACHE)
    read_markers(run, SHARDS, keep=False)
    assert not run.store.exists(CACHE)
    read_markers(run, SHARDS)
    reads.clear()
    read_markers(run, SHARDS, trust=False)
    assert sorted(reads) == SHARDS


def test_a_missing_marker_is_named(run: RunDir) -> None:
    read_markers(run, SHARDS)
    run.store.remove_file(f"{STATE}/b.json")
    with pytest.raises(RunDirError, match=r"'b'.*curate score"):
        read_markers(run, SHARDS)


def test_a_damaged_marker_is_named(run: RunDir) -> None:
    run.store.write_bytes(f"{STATE}/b.json", b"{}")
    with pytest.raises(OutputError, match=r"b\.json.*delete it"):
        read_markers(run, SHARDS)


# --- the cache ------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "replaced"])
def test_a_damaged_cache_is_made_again(run: RunDir, damage: str) -> None:
    expected = scores_identity(run, SHARDS)
    good = run.store.read_bytes(CACHE)
    bad = {
        "cut": good[:-1],
        "flipped": bytes([good[0] ^ 1]) + good[1:],
        "emptied": b"",
        "replaced": b"\xff" * 100,
    }[damage]
    run.store.write_bytes(CACHE, bad)
    with pytest.raises(OutputError, match=r"markers\.cache is damaged; delete it"):
        wrong_rows(run)
    assert scores_identity(run, SHARDS) == expected
    assert run.store.read_bytes(CACHE) == good


def test_a_cache_that_lies_is_found(run: RunDir) -> None:
    read_markers(run, SHARDS)
    path = Path(run.store.path(f"{STATE}/b.json"))
    stamp = path.stat().st_mtime_ns
    path.write_text(path.read_text().replace("1" * 64, "2" * 64))
    os.utime(path, ns=(0, stamp))  # as no run would
    assert wrong_rows(run) == ["b"]


def test_what_cannot_be_kept_does_no_harm(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(store: Store, relative: str, data: bytes) -> Written:
        raise OutputError("the disk is full")

    monkeypatch.setattr(Store, "write_bytes", refuse)
    assert read_markers(run, SHARDS).counts == Counts(9, {"missing_text": 3})
    assert "the disk is full" in caplog.text


def test_a_store_that_tells_no_tags_is_read_each_time(reads: list[str], request: Any) -> None:
    run = RunDir(Store(f"memory://{request.node.name}"))
    for shard in SHARDS:
        run.commit(marker(shard))
    for _ in range(2):
        assert read_markers(run, SHARDS).counts == Counts(9, {"missing_text": 3})
    assert sorted(reads) == sorted(2 * SHARDS)
    assert not run.store.exists(CACHE)


def test_tags_of_a_store_are_what_counts(
    reads: list[str], request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = MemoryFileSystem.ls

    def tagged(fs: Any, path: str, detail: bool = True, **options: Any) -> Any:
        found = original(fs, path, detail=True, **options)
        for info in found:
            if info["type"] == "file":
                info["ETag"] = str(hash(fs.cat_file(info["name"])))
        return found if detail else [info["name"] for info in found]

    monkeypatch.setattr(MemoryFileSystem, "ls", tagged)
    run = RunDir(Store(f"memory://{request.node.name}"))
    for shard in SHARDS:
        run.commit(marker(shard))
    read_markers(run, SHARDS)
    reads.clear()
    run.commit(marker("b"))  # the same bytes have the same tag
    read_markers(run, SHARDS)
    assert reads == []
    run.commit(replace(marker("b"), notes={"x": 1}))
    read_markers(run, SHARDS)
    assert reads == ["b"]
