"""Verification: a good run passes, and every kind of tampering is found and named."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_run import LocalRun, fabricate, filter_locally, pool_with_twins, tree

from curate import subsets
from curate.config import Rules
from curate.errors import CurateError, RunDirError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.verification import verify

RULES = Rules.model_validate(
    {
        "all": [
            {"clip_score": {"drop_lowest": 0.2}},
            {"image_informativeness": {"drop_lowest": 0.1, "of": "reference"}},
        ]
    }
)


@pytest.fixture(scope="session")
def filtered_run(pristine_run: LocalRun, tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    """A run with a subset and filtered shards; not to be changed."""
    folder = tmp_path_factory.mktemp("filtered")
    shutil.copytree(pristine_run.folder, folder / "run")
    made = pristine_run.moved(Store(str(folder / "run")))
    filter_locally(made.store, made.select(RULES), 5, hashed=True)
    return made


@pytest.fixture
def made(filtered_run: LocalRun, tmp_path: Path) -> LocalRun:
    """A copy of it, free to be damaged."""
    shutil.copytree(filtered_run.folder, tmp_path / "run")
    return filtered_run.moved(Store(str(tmp_path / "run")))


def problems(made: LocalRun, deep: bool = False) -> str:
    return "\n".join(verify(made.run, deep).problems)


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value) or value))


def edit_table(path: Path, column: str, change: Callable[[list[Any]], None]) -> None:
    table = pq.read_table(path)
    values = table[column].to_pylist()
    change(values)
    at = table.schema.get_field_index(column)
    field = table.schema.field(at)
    pq.write_table(table.set_column(at, field, pa.array(values, field.type)), path)


# --- what is whole --------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_a_good_run_has_no_problems(filtered_run: LocalRun, deep: bool) -> None:
    before = tree(filtered_run.folder)
    seen: list[int] = []
    found = verify(filtered_run.run, deep, seen.append)
    assert found.problems == []
    assert (found.shards, found.samples) == (3, 16)
    assert found.counts.rejected == {"empty_caption": 1, "undecodable_image": 1}
    assert found.files > 12
    assert seen == [1, 2, 3]
    assert tree(filtered_run.folder) == before


def test_a_run_without_a_subset_has_no_problems(pristine_run: LocalRun) -> None:
    assert verify(pristine_run.run).problems == []


def test_unreadable_shards_are_no_problem_of_the_files(made: LocalRun) -> None:
    shards = made.run.read_manifest()
    gone = shards[0].__class__("00009", "/none/00009.tar", None)
    made.run.write_manifest([*shards, gone])
    assert "00009 is not scored" in problems(made)
    made.run.fail(gone, "gone")
    assert "00009" not in problems(made)


def test_a_place_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="holds no run"):
        verify(RunDir(Store(str(tmp_path))))


# --- every file -----------------------------------------------------------------------------

UNCHECKED = {
    "manifest.parquet",  # without it there is no run: see below
    "reference/sample_scores.parquet",  # is checked by the cuts that come from it
    "state/shards/default/identity.json",  # a missing one only makes `filter` start anew
    "state/duplicates.npz",  # a missing one only makes `select` look again; see below
    "state/markers.cache",  # nor is a missing one missed: see test_markers
}
DESCRIPTIVE = {"sha256", "size", "damage", "notes", "model", "seed", "samples"}
DAMAGES: dict[str, Callable[[Path], Any]] = {
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "flipped": lambda path: path.write_bytes(flip(path.read_bytes())),
    "replaced": lambda path: path.write_bytes(b"\xff" * 100),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def says_the_same(name: str, one: bytes, two: bytes) -> bool:
    """Whether the bit fell into what decides nothing: column statistics, a note on the input."""
    if name.endswith(".parquet"):
        tables = [pq.read_table(pa.BufferReader(data)) for data in (one, two)]
        return name.startswith("subsets/") and tables[0].equals(tables[1])
    values = [json.loads(data) for data in (one, two)]
    return {key for key in values[0] if values[0][key] != values[1].get(key)} <= DESCRIPTIVE


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damage_to_any_file_is_found_and_named(
    filtered_run: LocalRun, tmp_path: Path, damage: str
) -> None:
    names = sorted(set(tree(filtered_run.folder)) - UNCHECKED)
    assert len(names) > 20
    folder = tmp_path / "run"
    shutil.copytree(filtered_run.folder, folder)
    made = filtered_run.moved(Store(str(folder)))
    for name in names:
        content = (folder / name).read_bytes()
        DAMAGES[damage](folder / name)
        found = problems(made)
        if (folder / name).is_dir():
            (folder / name).rmdir()
        (folder / name).write_bytes(content)
        if name == "state/00000.json" and damage == "removed":
            assert "00000 is not scored" in found
            continue
        if damage == "flipped" and not found:
            assert says_the_same(name, content, flip(content)), name
            continue
        assert name.rpartition("/")[2].removesuffix(".json") in found or (
            damage == "flipped" and "subset default is of other scores" in found
        ), f"{name} {damage}: {found}"
    assert problems(made) == ""


def test_a_damaged_manifest_ends_the_check_with_an_error(made: LocalRun) -> None:
    (made.folder / "manifest.parquet").write_bytes(b"junk")
    with pytest.raises(CurateError, match=r"manifest\.parquet"):
        verify(made.run)


# --- what a checksum does not tell ----------------------------------------------------------


def test_a_marker_that_was_edited_to_fit_is_found_by_the_counts(made: LocalRun) -> None:
    path = made.folder / "scores/00000.parquet"
    edit_table(path, "status", lambda v: v.__setitem__(4, "missing_text"))
    written = made.store.write_bytes("scores/00000.parquet", path.read_bytes())

    def fit(marker: Any) -> None:
        marker["outputs"][0] |= {"sha256": written.sha256, "size": written.size}

    edit_json(made.folder / "state/00000.json", fit)
    found = problems(made)
    assert "shard 00000: the marker says" in found
    assert "subset default is of other scores" in found


@pytest.mark.parametrize("column", ["image_informativeness", "text_informativeness", "clip_score"])
def test_scores_that_are_missing_or_too_many_are_found(made: LocalRun, column: str) -> None:
    for row, value in ((0, None), (0, float("nan")), (4, 0.5)):
        path = made.folder / "scores/00000.parquet"
        before = path.read_bytes()
        edit_table(path, column, lambda v, r=row, x=value: v.__setitem__(r, x))
        data = path.read_bytes()
        written = made.store.write_bytes("scores/00000.parquet", data)
        marker = (made.folder / "state/00000.json").read_text()

        def fit(value: Any, written: Any = written) -> None:
            value["outputs"][0] |= {"sha256": written.sha256, "size": written.size}

        edit_json(made.folder / "state/00000.json", fit)
        assert f"00000: {column} is missing on scored rows" in problems(made)
        path.write_bytes(before)
        (made.folder / "state/00000.json").write_text(marker)


def test_a_decision_that_was_turned_is_found_and_its_key_named(made: LocalRun) -> None:
    path = made.folder / "subsets/default/decisions/00001.parquet"
    kept = pq.read_table(path)["kept"].to_pylist()
    row = kept.index(True)
    edit_table(path, "kept", lambda v: v.__setitem__(row, False))
    found = problems(made)
    assert "decisions/00001.parquet" in found
    assert f"{10 + row:09d}" in found


def test_a_reason_that_was_changed_is_found(made: LocalRun) -> None:
    for shard in ("00000", "00001", "00002"):
        path = made.folder / f"subsets/default/decisions/{shard}.parquet"
        reasons = pq.read_table(path)["reason"].to_pylist()
        dropped = [i for i, r in enumerate(reasons) if "drop_lowest" in r]
        if dropped:
            edit_table(path, "reason", lambda v, i=dropped[0]: v.__setitem__(i, "a whim"))
            assert f"decisions/{shard}.parquet" in problems(made)
            assert "a whim" in problems(made)
            return
    pytest.fail("no sample was dropped: the fixture tests nothing")


def test_two_decisions_that_were_swapped_are_found(made: LocalRun) -> None:
    path = made.folder / "subsets/default/decisions/00000.parquet"
    table = pq.read_table(path)
    kept = table["kept"].to_pylist()
    one, two = kept.index(True), kept.index(False)
    order = list(range(len(kept)))
    order[one], order[two] = two, one
    for column in ("kept", "reason"):
        values = table[column].to_pylist()
        edit_table(
            path, column, lambda v, x=values: v.__setitem__(slice(None), [x[i] for i in order])
        )
    assert "decisions/00000.parquet" in problems(made)


def uids_of(made: LocalRun) -> Any:
    return np.load(made.folder / "subsets/default/uids.npy")


def save_uids(made: LocalRun, uids: Any) -> None:
    buffer = io.BytesIO()
    np.save(buffer, uids, allow_pickle=True)
    (made.folder / "subsets/default/uids.npy").write_bytes(buffer.getvalue())


UID_EDITS = {
    "one less": lambda u: u[1:],
    "one twice": lambda u: np.concatenate([u[:1], u]),
    "another": lambda u: np.array([(1, 2), *u.tolist()[1:]], u.dtype),
    "unsorted": lambda u: u[::-1].copy(),
    "none": lambda u: u[:0],
    "other type": lambda u: u["f0"].copy(),
    "two dimensions": lambda u: u[None],
    "big-endian": lambda u: u.astype(">u8,>u8"),
    "objects": lambda u: np.array([{}], dtype=object),
}


@pytest.mark.parametrize("edit", sorted(UID_EDITS))
def test_uids_that_were_edited_are_found(made: LocalRun, edit: str) -> None:
    save_uids(made, UID_EDITS[edit](uids_of(made)))
    found = problems(made)
    assert "uids.npy" in found
    assert found.count("\n") == 0


def change_summary(**fields: Any) -> Callable[[LocalRun], None]:
    def change(made: LocalRun) -> None:
        edit_json(made.folder / "subsets/default/summary.json", lambda value: value | fields)

    return change


def rename_shard(made: LocalRun) -> None:
    for folder, ends in (("shards/default", (".tar", ".parquet", "_stats.json")),):
        for end in ends:
            (made.folder / folder / f"00001{end}").rename(made.folder / folder / f"00007{end}")
    path = made.folder / "state/shards/default/00001.json"
    edit_json(path, lambda v: json.loads(json.dumps(v).replace("00001", "00007")))
    path.rename(path.with_name("00007.json"))


EDITS: dict[str, tuple[Callable[[LocalRun], Any], str]] = {
    "counts": (change_summary(counts={"read": 1, "kept": 1}), "subset default: the summary says"),
    "no counts": (change_summary(counts=None), "subset default"),
    "cuts": (change_summary(tests=[]), "cuts"),
    "identity": (change_summary(identity="0"), "of other scores or rules"),
    "name": (change_summary(name="other"), "other"),
    "rules": (
        lambda m: (m.folder / "subsets/default/rules.yaml").write_text("all: []\n"),
        "of other scores or rules",
    ),
    "stray file": (
        lambda m: (m.folder / "shards/default/00009.tar").write_bytes(b""),
        "shards/default/00009.tar belongs to no committed shard",
    ),
    "sizes": (
        lambda m: (m.folder / "shards/default/sizes.json").write_text('{"00000.tar": 1}'),
        "sizes.json",
    ),
    "gap": (rename_shard, "not numbered contiguously"),
    "shard without marker": (
        lambda m: (m.folder / "state/shards/default/00001.json").unlink(),
        "samples, the subset keeps",
    ),
    "marker of another subset": (
        lambda m: edit_json(
            m.folder / "state/shards/default/00001.json", lambda v: v | {"identity": "0"}
        ),
        "state/shards/default/00001.json is of another subset",
    ),
    "marker of another run": (
        lambda m: edit_json(m.folder / "state/00001.json", lambda v: v | {"identity": "0"}),
        "state/00001.json is of other scores",
    ),
    "marker copied": (
        lambda m: shutil.copy(m.folder / "state/00001.json", m.folder / "state/00000.json"),
        "state/00000.json",
    ),
    "marker of no shard": (
        lambda m: shutil.copy(m.folder / "state/00001.json", m.folder / "state/00005.json"),
        "state/00005.json is of no shard",
    ),
    "half a subset": (
        lambda m: (m.folder / "subsets/default/summary.json").unlink(),
        "subset default is incomplete",
    ),
    "sample of the reference": (
        lambda m: edit_table(
            m.folder / "reference/sample_scores.parquet",
            "image_informativeness",
            lambda v: v.__setitem__(slice(None), [9.0] * len(v)),
        ),
        "cuts",
    ),
}


@pytest.mark.parametrize("edit", sorted(EDITS))
def test_edits_that_keep_every_file_readable_are_found(made: LocalRun, edit: str) -> None:
    change, named = EDITS[edit]
    change(made)
    assert named in problems(made)


# --- deep -----------------------------------------------------------------------------------


def reseal(made: LocalRun, name: str, data: bytes) -> None:
    """Put another tar in place, with a marker that fits."""
    written = made.store.write_bytes(f"shards/default/{name}.tar", data)

    def fit(marker: Any) -> None:
        for output in marker["outputs"]:
            if output["path"].endswith(".tar"):
                output |= {"sha256": written.sha256, "size": written.size}

    edit_json(made.folder / f"state/shards/default/{name}.json", fit)


def test_a_tar_that_was_edited_to_fit_is_found_by_its_members(made: LocalRun) -> None:
    data = bytearray((made.folder / "shards/default/00001.tar").read_bytes())
    data[700] ^= 1
    reseal(made, "00001", bytes(data))
    assert problems(made) == ""
    found = problems(made, deep=True)
    assert "shards/default/00001.tar: members of" in found
    assert found.count("\n") == 0


def test_bytes_behind_the_last_sample_are_found(made: LocalRun) -> None:
    data = (made.folder / "shards/default/00000.tar").read_bytes()
    reseal(made, "00000", data + b"stowaway".ljust(512, b"\0"))
    assert "follow the last sample" in problems(made, deep=True)


def test_tars_without_checksums_are_compared_with_their_inputs(made: LocalRun) -> None:
    for folder in ("shards", "state/shards"):
        shutil.rmtree(made.folder / folder)
    filter_locally(made.store, made.select(RULES), 5)
    for deep, unhashed in ((False, 2), (True, 0)):
        found = verify(made.run, deep)
        assert (found.problems, found.unhashed) == ([], unhashed)
    path = made.folder / "shards/default/00001.tar"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert f"is not what was written ({len(data) - 1} bytes" in problems(made)
    path.write_bytes(flip(data))
    found = verify(made.run)
    assert (found.problems, found.unhashed) == ([], 2)
    found = verify(made.run, deep=True)
    (problem,) = found.problems
    assert re.search(r"shards/default/00001\.tar: members of .* differ from", problem)
    assert found.unhashed == 1
    path.unlink()
    path.mkdir()
    assert "shards/default/00001.tar is a folder" in problems(made)


def test_an_input_that_is_gone_leaves_tars_without_checksums_unchecked(
    scored_run: LocalRun,
) -> None:
    filter_locally(scored_run.store, scored_run.select(RULES), 5)
    Path(scored_run.shards[0].url).unlink()
    found = verify(scored_run.run, deep=True)
    assert found.unhashed >= 1
    assert re.search(
        r"shards/default/00000\.tar: not compared with its input: \S*00000\.tar: cannot be opened",
        "\n".join(found.problems),
    )


def test_an_input_that_changed_or_vanished_is_named(scored_run: LocalRun) -> None:
    filter_locally(scored_run.store, scored_run.select(RULES), 5)
    assert problems(scored_run, deep=True) == ""
    path = Path(scored_run.shards[0].url)
    data = bytearray(path.read_bytes())
    kept = scored_run.store.read_table("subsets/default/decisions/00000.parquet")["kept"]
    row = kept.to_pylist().index(True)
    offset = scored_run.store.read_table("scores/00000.parquet")["tar_offset"].to_pylist()[row]
    data[offset + 600] ^= 1
    path.write_bytes(data)
    found = problems(scored_run, deep=True)
    assert f"differ from {path}" in found
    assert f"{path} is not what was scored" in found
    path.write_bytes(data[:1000])
    assert str(path) in problems(scored_run, deep=True) or "short read" in problems(
        scored_run, deep=True
    )
    path.unlink()
    assert str(path) in problems(scored_run, deep=True)
    assert problems(scored_run) == ""


def test_twins_and_other_stores_verify_too() -> None:
    store = Store("memory://curate-verify-test/run")
    run = fabricate(store, pool_with_twins())
    subset = subsets.select(run, "a", Rules.model_validate({"any": [{"width": {"min": 1}}]}), None)
    assert subset.counts.dropped["duplicate_uid"] == 2
    assert verify(run).problems == []
    store.write_bytes("subsets/a/uids.npy", b"junk")
    assert "uids.npy" in "\n".join(verify(run).problems)
    store.remove("")
