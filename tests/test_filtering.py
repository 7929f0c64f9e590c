"""Filtered shards against tarfile and webdataset: whole members, contiguous numbers."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from factories import sample_members, tar_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import LocalRun, decisions, filter_locally, score_locally, tree
from open_clip_train.data import get_dataset_size

from curate import filtering
from curate.config import Rules
from curate.direct_file import DirectFile
from curate.encoder import Encoder
from curate.errors import AccountingError, OutputError
from curate.filtering import write_filtered
from curate.kept_samples import ScoredSamples
from curate.manifest import RunDir
from curate.output_shards import OutputPlan, Piece, meta_of, plan_outputs, read_marker
from curate.outputs import Store
from curate.ranges import merge_ranges
from curate.schema import METADATA_COLUMNS, SCORE_COLUMNS
from curate.verification import verify

KEEP_ALL = Rules(all=())
HALF = Rules.model_validate({"all": [{"clip_score": {"drop_lowest": 0.4}}]})


def members_of(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(m.name, archive.extractfile(m).read()) for m in archive if m.isfile()]  # type: ignore[union-attr]


def kept_keys(made: LocalRun, name: str = "default") -> list[tuple[str, str]]:
    """(shard, key) of the kept samples, in the order of the run."""
    return [
        (shard.id, line["key"])
        for shard in made.shards
        for line in decisions(made.store, shard.id, name).to_pylist()
        if line["kept"]
    ]


def expected_members(made: LocalRun, keys: list[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """The kept samples' members, by Python's own tarfile."""
    found = []
    for shard in made.shards:
        wanted = {key for name, key in keys if name == shard.id}
        found += [
            (name, data)
            for name, data in members_of(Path(shard.url).read_bytes())
            if name.partition(".")[0] in wanted
        ]
    return found


def outputs_of(made: LocalRun, name: str = "default") -> list[Path]:
    return sorted((made.folder / "shards" / name).glob("*.tar"))


# --- plans ----------------------------------------------------------------------------------

kept_lists = st.lists(st.integers(0, 30), max_size=12).map(
    lambda counts: [(f"{at:05d}", n) for at, n in enumerate(counts)]
)


@settings(max_examples=200, deadline=None)
@given(kept_lists, st.none() | st.integers(1, 50))
def test_a_plan_covers_every_kept_sample_once_and_in_order(
    kept: list[tuple[str, int]], size: int | None
) -> None:
    plans = list(plan_outputs(kept, size))
    assert [plan.number for plan in plans] == list(range(len(plans)))
    flat = [(p.shard, at) for plan in plans for p in plan.pieces for at in range(p.first, p.last)]
    assert flat == [(shard, at) for shard, n in kept for at in range(n)]
    assert all(plan.samples > 0 and all(p.last > p.first for p in plan.pieces) for plan in plans)
    if size is None:
        assert [(p.shard, p.last) for plan in plans for p in plan.pieces] == [
            (shard, n) for shard, n in kept if n
        ]
        assert all(len(plan.pieces) == 1 for plan in plans)
    else:
        assert all(plan.samples == size for plan in plans[:-1])
        assert not plans or plans[-1].samples <= size
    assert [plan.name for plan in plans] == [f"{i:05d}" for i in range(len(plans))]


@pytest.mark.parametrize(("shards", "digits"), [(1, 5), (100_000, 5), (100_001, 6)])
def test_names_have_as_many_digits_as_the_last_one_needs(shards: int, digits: int) -> None:
    for kept, size in (([("a", shards)], 1), ([("a", 1)] * shards + [("b", 0)], None)):
        *_, last = plans = list(plan_outputs(kept, size))
        assert len(plans) == shards
        assert {plan.digits for plan in plans} == {digits}
        assert last.name == str(shards - 1).zfill(digits)
    meta = meta_of(dict.fromkeys(map(str, range(shards)), 1))
    assert meta["output_shard_format"].format(shards - 1) == f"{last.name}.tar"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=15))
def test_merged_ranges_name_the_same_bytes_in_fewer_pieces(gaps: list[tuple[int, int]]) -> None:
    ranges, at = [], 0
    for gap, size in gaps:
        ranges.append((at + gap, size))
        at += gap + size
    merged = list(merge_ranges(ranges))
    assert [b for o, n in merged for b in range(o, o + n)] == [
        b for o, n in ranges for b in range(o, o + n)
    ]
    for (offset, size), (following, _) in itertools.pairwise(merged):
        assert offset + size < following
        assert size > 0


def test_ranges_out_of_order_are_not_merged() -> None:
    assert list(merge_ranges([(10, 5), (0, 10), (10, 5)])) == [(10, 5), (0, 15)]


# --- content --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 1, 3, 5, 100])
@pytest.mark.parametrize("rules", [KEEP_ALL, HALF])
def test_members_are_copied_whole_and_in_order(
    scored_run: LocalRun, rules: Rules, size: int | None
) -> None:
    subset = scored_run.select(rules)
    assert filter_locally(scored_run.store, subset, size) == {}
    keys = kept_keys(scored_run)
    tars = outputs_of(scored_run)
    found = [member for tar in tars for member in members_of(tar.read_bytes())]
    assert found == expected_members(scored_run, keys)
    assert [tar.stem for tar in tars] == [f"{i:05d}" for i in range(len(tars))]
    sizes = json.loads((scored_run.folder / "shards/default/sizes.json").read_text())
    assert sum(sizes.values()) == len(keys) == subset.counts.kept
    assert list(sizes) == [tar.name for tar in tars]
    for tar in tars:
        count = len({name.partition(".")[0] for name, _ in members_of(tar.read_bytes())})
        stats = json.loads((tar.parent / f"{tar.stem}_stats.json").read_text())
        assert stats["successes"] == stats["count"] == count == sizes[tar.name]
        table = pq.read_table(tar.with_suffix(".parquet"))
        assert table.num_rows == count
        assert len(tar.read_bytes()) % 10_240 == 0
        assert tar.read_bytes().endswith(bytes(1024))


# webdataset leaves its last shard open, which is its own affair.
@pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("size", [None, 4])
def test_webdataset_reads_exactly_the_kept_keys(scored_run: LocalRun, size: int | None) -> None:
    filter_locally(scored_run.store, scored_run.select(HALF), size)
    urls = [str(tar) for tar in outputs_of(scored_run)]
    dataset = webdataset.WebDataset(urls, shardshuffle=False).decode("pil")
    rows = list(dataset)
    assert [row["__key__"] for row in rows] == [key for _, key in kept_keys(scored_run)]
    for row in rows:
        uid = hashlib.md5(row["__key__"].encode(), usedforsecurity=False).hexdigest()
        assert row["jpg"].size == (48, 32)
        assert row["txt"].split()[1] in ("cat", "dog", "hen")
        assert row["json"]["uid"] == uid


# open_clip leaves sizes.json open, which is its own affair too.
@pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("size", [None, 4])
def test_trainers_find_shards_and_samples(scored_run: LocalRun, size: int | None) -> None:
    filter_locally(scored_run.store, scored_run.select(HALF), size)
    tars = outputs_of(scored_run)
    meta = json.loads((tars[0].parent / "meta.json").read_text())
    # DataComp's train.py: from meta.json, and without it from the last number and its digits.
    name = meta["output_shard_format"].format
    count = meta["output_shard_count"]
    assert [tar.name for tar in tars] == [name(i) for i in range(count)]
    numbers = [tar.stem for tar in tars]
    assert {len(number) for number in numbers} == {len(numbers[0])}
    assert sorted(map(int, numbers)) == list(range(count))
    pattern = f"{tars[0].parent}/{{{numbers[0]}..{numbers[-1]}}}.tar"
    assert get_dataset_size(pattern) == (len(kept_keys(scored_run)), count)
    assert meta["samples"] == len(kept_keys(scored_run))


def test_gnu_tar_reads_the_output(scored_run: LocalRun) -> None:
    if shutil.which("tar") is None:
        pytest.skip("needs GNU tar, which is not installed")
    filter_locally(scored_run.store, scored_run.select(HALF), 5)
    for tar in outputs_of(scored_run):
        done = subprocess.run(["tar", "-tf", str(tar)], capture_output=True, check=True, text=True)
        assert done.stdout.split() == [name for name, _ in members_of(tar.read_bytes())]
        assert done.stderr == ""


def test_shards_that_keep_nothing_leave_no_gap(scored_run: LocalRun) -> None:
    rows = scored_run.store.read_table("scores/00000.parquet")["clip_score"].to_pylist()
    rules = Rules.model_validate({"all": [{"clip_score": {"min": max(filter(None, rows))}}]})
    subset = scored_run.select(rules)
    filter_locally(scored_run.store, subset)
    names = {shard for shard, _ in kept_keys(scored_run)}
    assert len(outputs_of(scored_run)) == len(names) < 3


def test_nothing_kept_writes_no_shard(scored_run: LocalRun) -> None:
    rules = Rules.model_validate({"all": [{"clip_score": {"keep_highest": 0}}]})
    assert filter_locally(scored_run.store, scored_run.select(rules)) == {}
    assert outputs_of(scored_run) == []
    assert json.loads((scored_run.folder / "shards/default/sizes.json").read_text()) == {}


# --- formats --------------------------------------------------------------------------------


def seventh_edition(data: bytes) -> bytes:
    """The same archive with headers that have no magic."""
    out, at = bytearray(data), 0
    while at < len(out) and out[at]:
        size = int(out[at + 124 : at + 135].strip(b"\0 "), 8)
        out[at + 257 : at + 512] = bytes(255)
        out[at + 148 : at + 156] = b" " * 8
        out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
        at += 512 + -(-size // 512) * 512
    return bytes(out)


LONG = "x" * 150
FORMATS = {
    "ustar": lambda m: tar_bytes(m, tarfile.USTAR_FORMAT),
    "gnu": lambda m: tar_bytes(m, tarfile.GNU_FORMAT),
    "pax": lambda m: tar_bytes(m, tarfile.PAX_FORMAT),
    "gnu long names": lambda m: tar_bytes([(LONG + n, d) for n, d in m], tarfile.GNU_FORMAT),
    "pax long names": lambda m: tar_bytes([(LONG + n, d) for n, d in m], tarfile.PAX_FORMAT),
    "pax unicode": lambda m: tar_bytes([("ü" + n, d) for n, d in m], tarfile.PAX_FORMAT),
    "seventh edition": lambda m: seventh_edition(tar_bytes(m)),
    "folders": lambda m: tar_bytes([("some/folder/" + n, d) for n, d in m]),
    "extra members": lambda m: tar_bytes([x for n, d in m for x in ((n, d), (n + ".npy", b"1"))]),
}


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_every_kind_of_tar_is_copied(tmp_path: Path, tiny_encoder: Encoder, kind: str) -> None:
    members = [m for i in range(5) for m in sample_members(f"k{i}", f"caption {i}", i)]
    (tmp_path / "00000.tar").write_bytes(FORMATS[kind](members))
    run = RunDir(Store(str(tmp_path / "run")))
    made = score_locally(run, str(tmp_path / "00000.tar"), tiny_encoder)
    assert filter_locally(made.store, made.select(HALF)) == {}
    keys = {key for _, key in kept_keys(made)}
    assert len(keys) == 3
    (tar,) = outputs_of(made)
    original = members_of((tmp_path / "00000.tar").read_bytes())
    assert members_of(tar.read_bytes()) == [
        (name, data) for name, data in original if any(name.startswith(f"{key}.") for key in keys)
    ]


# --- sidecars -------------------------------------------------------------------------------


def sidecar(made: LocalRun, name: str = "00000") -> pa.Table:
    return pq.read_table(made.folder / "shards/default" / f"{name}.parquet")


def notes_of(made: LocalRun, name: str = "00000") -> dict[str, Any]:
    return json.loads((made.folder / f"state/shards/default/{name}.json").read_text())["notes"]


def put(made: LocalRun, table: pa.Table, shard: int = 0) -> None:
    pq.write_table(table, Path(made.shards[shard].url).with_suffix(".parquet"))


def test_a_sidecar_is_joined_by_key_and_brings_its_columns(scored_run: LocalRun) -> None:
    filter_locally(scored_run.store, scored_run.select(HALF))
    table = sidecar(scored_run)
    keys = [key for shard, key in kept_keys(scored_run) if shard == "00000"]
    assert table["key"].to_pylist() == keys
    assert table["url"].to_pylist() == [f"https://example.org/{key}" for key in keys]
    assert table["status"].to_pylist() == ["success"] * len(keys)
    assert notes_of(scored_run) == {}
    scores = {
        row["key"]: row for row in scored_run.store.read_table("scores/00000.parquet").to_pylist()
    }
    for row in table.to_pylist():
        for column in ("uid", *SCORE_COLUMNS, *METADATA_COLUMNS):
            assert row[column] == scores[row["key"]][column]


def test_missing_extra_and_reordered_keys_are_matched(scored_run: LocalRun) -> None:
    keys = [f"{i:09d}" for i in (8, 77, 3, 1, 0, 6, 66, 5, 7)]  # 2 is missing
    put(scored_run, pa.table({"key": keys, "note": [f"of {key}" for key in keys]}))
    filter_locally(scored_run.store, scored_run.select(KEEP_ALL))
    for row in sidecar(scored_run).to_pylist():
        assert row["note"] == (None if row["key"] == "000000002" else f"of {row['key']}")
    assert notes_of(scored_run) == {"00000: sidecar": "1 kept samples are not in it"}


def test_a_key_that_occurs_twice_brings_its_first_row(scored_run: LocalRun) -> None:
    put(scored_run, pa.table({"key": ["000000001", "000000001"], "n": [1, 2]}))
    filter_locally(scored_run.store, scored_run.select(KEEP_ALL))
    assert (
        dict(zip(*sidecar(scored_run).select(["key", "n"]).to_pydict().values(), strict=True))[
            "000000001"
        ]
        == 1
    )


def test_scores_replace_columns_of_the_same_name(scored_run: LocalRun) -> None:
    # A filtered pool that is filtered again brings the scores of the first time.
    put(scored_run, pa.table({"key": ["000000001"], "clip_score": [7.0], "width": ["wide"]}))
    filter_locally(scored_run.store, scored_run.select(KEEP_ALL))
    table = sidecar(scored_run)
    scores = scored_run.store.read_table("scores/00000.parquet")
    assert set(table["clip_score"].to_pylist()) <= set(scores["clip_score"].to_pylist())
    assert table["width"].to_pylist() == [48] * table.num_rows
    assert table.column_names.count("clip_score") == 1


def test_differing_uids_are_noted_and_the_tar_is_trusted(scored_run: LocalRun) -> None:
    put(scored_run, pa.table({"key": ["000000001"], "uid": ["f" * 32]}))
    filter_locally(scored_run.store, scored_run.select(KEEP_ALL))
    assert "f" * 32 not in sidecar(scored_run)["uid"].to_pylist()
    assert "1 uids differ" in notes_of(scored_run)["00000: sidecar"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_sidecars_with_wide_texts_and_uids_that_are_numbers(
    scored_run: LocalRun, kind: pa.DataType
) -> None:
    keys = pa.array(["000000003", "000000001", None, "000000003"], kind)
    uids = pa.array([7, None, 9, 8])
    put(scored_run, pa.table({"key": keys, "uid": uids, "n": [1, 2, 3, 4]}))
    filter_locally(scored_run.store, scored_run.select(KEEP_ALL))
    rows = {row["key"]: row["n"] for row in sidecar(scored_run).to_pylist()}
    assert (rows["000000003"], rows["000000001"], rows["000000005"]) == (1, 2, None)
    note = notes_of(scored_run)["00000: sidecar"]
    assert "1 uids differ" in note
    assert f"{len(rows) - 2} kept samples are not in it" in note


def raw(data: bytes) -> Any:
    return lambda path: path.write_bytes(data)


def table(**columns: Any) -> Any:
    return lambda path: pq.write_table(pa.table(columns), path)


def twice(path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["key", "key"]), path)


def other_twice(path: Path) -> None:
    arrays = [pa.array(["a"]), pa.array([1]), pa.array([2])]
    pq.write_table(pa.Table.from_arrays(arrays, ["key", "n", "n"]), path)


BROKEN = {
    "gone": (Path.unlink, "there is none"),
    "empty": (raw(b""), "cannot be read"),
    "junk": (raw(b"PAR1 junk PAR1"), "cannot be read"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), "cannot be read"),
    "no key": (table(url=["a"]), "`key`"),
    "two keys": (twice, "cannot be read"),
    "two columns": (other_twice, "cannot be read"),
    "numbers for keys": (table(key=[1, 2]), "int64"),
    "lists for keys": (table(key=[["a"], ["b"]]), "list"),
    "no rows": (table(key=pa.array([], pa.string())), "kept samples are not in it"),
    "null keys": (table(key=pa.array([None, "000000001"]), n=[1, 2]), "not in it"),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_sidecar_is_noted_and_costs_no_sample(scored_run: LocalRun, kind: str) -> None:
    break_, note = BROKEN[kind]
    break_(Path(scored_run.shards[0].url).with_suffix(".parquet"))
    assert filter_locally(scored_run.store, scored_run.select(KEEP_ALL)) == {}
    assert note in notes_of(scored_run)["00000: sidecar"]
    table = sidecar(scored_run)
    assert table["key"].to_pylist() == [k for s, k in kept_keys(scored_run) if s == "00000"]
    assert None not in table["clip_score"].to_pylist()


def test_damaged_pages_are_noted(scored_run: LocalRun) -> None:
    keys = [f"{i:09d}" for i in range(9)]
    path = Path(scored_run.shards[0].url).with_suffix(".parquet")
    pq.write_table(pa.table({"key": keys, "x": list(range(9))}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xee" * 20
    path.write_bytes(data)
    assert filter_locally(scored_run.store, scored_run.select(KEEP_ALL)) == {}
    assert "cannot be read" in notes_of(scored_run)["00000: sidecar"]


def test_sidecars_of_different_columns_and_types_are_put_together(scored_run: LocalRun) -> None:
    put(scored_run, pa.table({"key": ["000000001"], "n": [1], "x": [[1, 2]], "same": [1]}), 0)
    put(scored_run, pa.table({"key": ["000000010"], "n": ["one"], "only": [2.5], "same": [0.5]}), 1)
    put(scored_run, pa.table({"key": ["000000020"], "x": [{"a": None}]}), 2)
    assert filter_locally(scored_run.store, scored_run.select(KEEP_ALL), 100) == {}
    rows = {row["key"]: row for row in sidecar(scored_run).to_pylist()}
    assert rows["000000001"]["n"] == "1"
    assert rows["000000010"]["n"] == "one"
    assert rows["000000010"]["only"] == 2.5
    assert (rows["000000001"]["same"], rows["000000010"]["same"]) == (1, 0.5)
    assert rows["000000001"]["only"] is None
    assert rows["000000001"]["x"] == "[1, 2]"
    assert json.loads(rows["000000020"]["x"]) == {"a": None}


# --- inputs that changed --------------------------------------------------------------------


def test_an_input_of_another_size_is_named(scored_run: LocalRun) -> None:
    subset = scored_run.select(KEEP_ALL)
    path = Path(scored_run.shards[1].url)
    path.write_bytes(path.read_bytes() + bytes(10_240))
    errors = filter_locally(scored_run.store, subset)
    assert list(errors) == ["00001"]
    assert str(path) in errors["00001"]
    assert "bytes" in errors["00001"]
    assert not (scored_run.folder / "shards/default/00001.tar").exists()
    assert not (scored_run.folder / "shards/default/sizes.json").exists()


def test_an_input_of_the_same_size_without_the_headers_is_named(scored_run: LocalRun) -> None:
    subset = scored_run.select(KEEP_ALL)
    path = Path(scored_run.shards[1].url)
    path.write_bytes(path.read_bytes()[256:] + bytes(256))
    errors = filter_locally(scored_run.store, subset)
    assert list(errors) == ["00001"]
    assert str(path) in errors["00001"]


def test_an_input_that_vanished_is_named_and_the_rest_is_written(scored_run: LocalRun) -> None:
    subset = scored_run.select(KEEP_ALL)
    Path(scored_run.shards[0].url).unlink()
    errors = filter_locally(scored_run.store, subset)
    assert list(errors) == ["00000"]
    assert scored_run.shards[0].url in errors["00000"]
    assert [p.stem for p in outputs_of(scored_run)] == ["00001", "00002"]


def test_a_short_read_names_the_shard(
    scored_run: LocalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    subset, path = scored_run.select(KEEP_ALL), Path(scored_run.shards[1].url)
    path.write_bytes(path.read_bytes()[:3000])  # between the check of its size and the copy
    monkeypatch.setattr(filtering, "check_unchanged", lambda *given: None)
    errors = filter_locally(scored_run.store, subset)
    assert list(errors) == ["00001"]
    assert re.search(r"00001\.tar: short read", errors["00001"])
    assert not list(scored_run.folder.rglob("00001.tar*"))


@pytest.mark.parametrize("hashed", [False, True])
def test_a_disk_without_room_for_the_tar_is_the_outputs_fault(
    scored_run: LocalRun, monkeypatch: pytest.MonkeyPatch, hashed: bool
) -> None:
    real = DirectFile.write

    def full(self: DirectFile, data: bytes) -> int:
        if "00000.tar" in self._file.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, data)

    subset = scored_run.select(KEEP_ALL)
    with monkeypatch.context() as patch:
        patch.setattr(DirectFile, "write", full)
        with pytest.raises(OutputError, match=r"shards/default/00000\.tar could not be written"):
            filter_locally(scored_run.store, subset, hashed=hashed)
    assert not list((scored_run.folder / "shards/default").iterdir())
    assert filter_locally(scored_run.store, subset, hashed=hashed) == {}


# --- checksums ------------------------------------------------------------------------------


def test_a_checksum_changes_nothing_but_the_marker(scored_run: LocalRun) -> None:
    subset = scored_run.select(HALF)
    filter_locally(scored_run.store, subset, 4)
    plain = tree(scored_run.folder)
    shutil.rmtree(scored_run.folder / "shards")
    shutil.rmtree(scored_run.folder / "state/shards")
    filter_locally(scored_run.store, subset, 4, hashed=True)
    hashed = tree(scored_run.folder)
    assert {name for name in plain if plain[name] != hashed.get(name)} == {
        f"state/shards/default/{path.stem}.json" for path in outputs_of(scored_run)
    }
    for path in outputs_of(scored_run):
        one, other = (
            json.loads(files[f"state/shards/default/{path.stem}.json"]) for files in (plain, hashed)
        )
        assert one["outputs"][0].pop("sha256") is None
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert other["outputs"][0].pop("sha256") == digest
        assert one == other
        assert one["outputs"][0]["size"] == path.stat().st_size


def test_shards_in_place_stay_whatever_is_asked_of_checksums(scored_run: LocalRun) -> None:
    subset = scored_run.select(HALF)
    filter_locally(scored_run.store, subset, 4)
    (scored_run.folder / "state/shards/default/00001.json").unlink()
    before = tree(scored_run.folder)
    filter_locally(scored_run.store, subset, 4, hashed=True)
    after = tree(scored_run.folder)
    assert set(after) - set(before) == {"state/shards/default/00001.json"}
    assert {name for name in before if before[name] != after[name]} == set()
    assert verify(scored_run.run, deep=True).problems == []


# --- repetition -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 4])
def test_filtering_twice_gives_the_same_bytes(scored_run: LocalRun, size: int | None) -> None:
    subset = scored_run.select(HALF)
    filter_locally(scored_run.store, subset, size)
    before = tree(scored_run.folder)
    filter_locally(scored_run.store, subset, size)
    assert tree(scored_run.folder) == before
    shutil.rmtree(scored_run.folder / "state/shards")
    filter_locally(scored_run.store, subset, size)
    assert tree(scored_run.folder) == before


def test_committed_shards_are_skipped_and_missing_ones_written(scored_run: LocalRun) -> None:
    subset = scored_run.select(HALF)
    filter_locally(scored_run.store, subset, 4)
    before = tree(scored_run.folder)
    (scored_run.folder / "state/shards/default/00001.json").unlink()
    marked = scored_run.folder / "shards/default/00000.tar"
    marked.write_bytes(b"not touched")
    filter_locally(scored_run.store, subset, 4)
    assert marked.read_bytes() == b"not touched"
    marked.write_bytes(before["shards/default/00000.tar"])
    assert tree(scored_run.folder) == before


def test_another_subset_or_size_replaces_the_shards(scored_run: LocalRun) -> None:
    filter_locally(scored_run.store, scored_run.select(KEEP_ALL), 2)
    many = len(outputs_of(scored_run))
    filter_locally(scored_run.store, scored_run.select(HALF), 100)
    assert len(outputs_of(scored_run)) == 1 < many
    assert sorted(p.name for p in (scored_run.folder / "shards/default").iterdir()) == [
        "00000.parquet",
        "00000.tar",
        "00000_stats.json",
        "meta.json",
        "sizes.json",
    ]


def test_a_disk_that_fills_up_leaves_no_half_shard(
    scored_run: LocalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    subset = scored_run.select(KEEP_ALL)
    real = Store.write_table

    def full(self: Store, relative: str, table: pa.Table, **options: Any) -> Any:
        if relative.startswith("shards/"):
            raise OutputError(f"{relative} could not be written: no space left")
        return real(self, relative, table, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_table", full)
        with pytest.raises(OutputError, match="no space left"):
            filter_locally(scored_run.store, subset)
    assert not list((scored_run.folder / "state/shards/default").glob("0*.json"))
    assert filter_locally(scored_run.store, subset) == {}


def test_decisions_of_other_scores_are_refused(scored_run: LocalRun) -> None:
    subset = scored_run.select(KEEP_ALL)
    path = scored_run.folder / "subsets/default/decisions/00000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    plan = OutputPlan(0, (Piece("00000", 0, 2),))
    with pytest.raises(AccountingError, match="curate select"):
        write_filtered(scored_run.store, ScoredSamples(subset), plan)
    assert not list((scored_run.folder / "shards").rglob("*.tar"))


def test_a_plan_that_asks_for_too_much_is_refused(scored_run: LocalRun) -> None:
    subset = scored_run.select(KEEP_ALL)
    plan = OutputPlan(0, (Piece("00002", 0, 9),))
    with pytest.raises(AccountingError, match=r"00002.*asks for 9"):
        write_filtered(scored_run.store, ScoredSamples(subset), plan)


def test_scores_that_vanished_are_not_taken_for_a_full_disk(scored_run: LocalRun) -> None:
    subset = scored_run.select(KEEP_ALL)
    (scored_run.folder / "scores/00000.parquet").unlink()
    with pytest.raises(OutputError, match=r"scores/00000\.parquet is missing"):
        filter_locally(scored_run.store, subset)


@pytest.fixture
def remote() -> Iterator[Store]:
    store = Store(f"memory://{uuid.uuid4().hex}/run")
    yield store
    store.remove("")


def test_filtered_shards_lie_on_any_store(scored_run: LocalRun, remote: Store) -> None:
    for name, data in tree(scored_run.folder).items():
        remote.write_bytes(name, data)
    far = replace(scored_run, run=RunDir(remote))
    assert filter_locally(remote, far.select(HALF), 4) == {}
    filter_locally(scored_run.store, scored_run.select(HALF), 4)
    for name, data in tree(scored_run.folder).items():
        assert remote.read_bytes(name) == data


@pytest.mark.parametrize("content", [b"{}", b"[]", b"[1]", b'{"pieces": 3}', b"null"])
def test_a_broken_marker_is_named(scored_run: LocalRun, content: bytes) -> None:
    scored_run.store.write_bytes("state/shards/x/00000.json", content)
    with pytest.raises(OutputError, match=r"state/shards/x/00000\.json"):
        read_marker(scored_run.store, "x", "00000")
    assert read_marker(scored_run.store, "x", "00001") is None
