"""Images of a pool of metadata: indexed, cut by uid, written as shards; against sets of uids."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datacomp_pool import ImageShards, Pool, make_image_shards, make_pool
from factories import sample_members, tar_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import NoTally, fabricate, filter_locally, tree, uid

from curate import image_subsets, reporting, subsets
from curate.config import Config, Rules, parse_config
from curate.errors import OutputError, RunDirError, ShardError
from curate.image_index import claim_images, images_of, index_shard, read_index
from curate.image_subsets import ImageSubset, cut_images
from curate.manifest import RunDir
from curate.numerics.keys import UID, format_uids, parse_uids
from curate.outputs import Store
from curate.pipeline.light import IndexWorker
from curate.samples import SamplePolicy, policy_of
from curate.shards import Shard, list_shards
from curate.status import look
from curate.status_page import print_status
from curate.subsets import Subset
from curate.uids_file import contains, read_uids
from curate.verification import verify
from curate.workspace import Outcome

WIDE = Rules.model_validate({"all": [{"width": {"min": 100}}]})


def config_of(run_dir: Path, **input_: Any) -> Config:
    tree = {"input": {"metadata": "m/*.parquet", **input_}, "output": {"run_dir": str(run_dir)}}
    return parse_config(tree)


@dataclass
class Images:
    """A pool of metadata whose rows are scored, and the shards of its images."""

    run: RunDir
    pool: Pool
    shards: ImageShards
    config: Config

    def select(self, rules: Rules = WIDE, name: str = "default") -> Subset:
        return subsets.select(self.run, name, rules, None)

    def index(self) -> dict[str, str]:
        """What workers do, without Ray; returns shard -> error."""
        listed = list_shards(self.shards.pattern)
        images = images_of(self.run)
        identity = claim_images(images, listed, self.config)
        worker = IndexWorker(images, policy_of(self.config), identity, NoTally())
        todo = [shard for shard in listed if shard.id not in images.committed()]
        batch = {
            "id": np.array([shard.id for shard in todo], dtype=object),
            "url": np.array([shard.url for shard in todo], dtype=object),
            "size": np.array([shard.size for shard in todo], dtype=object),
        }
        found = worker(batch)
        return {i: e for i, e in zip(found["id"], found["error"], strict=True) if e}


def scored(pool: Pool, folder: Path) -> RunDir:
    """Scores of the metadata, fabricated: the width decides."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in pool.table.to_pylist():
        rows.setdefault(row["part"], []).append(
            {"uid": row["uid"], "status": row["status"], "width": row["original_width"]}
        )
    return fabricate(Store(str(folder)), rows)


@pytest.fixture(scope="session")
def pristine_images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Not to be changed."""
    folder = tmp_path_factory.mktemp("images")
    pool = make_pool(folder / "metadata", files=(40, 30, 50), seed=3)
    shards = make_image_shards(pool, folder / "shards", shards=4, missing=0.1)
    return Images(scored(pool, folder / "run"), pool, shards, config_of(folder / "run"))


@pytest.fixture
def made(pristine_images: Images, tmp_path: Path) -> Images:
    """A copy, free to be damaged."""
    shutil.copytree(Path(pristine_images.shards.pattern).parent, tmp_path / "shards")
    shutil.copytree(pristine_images.run.store.url, tmp_path / "run")
    shards = replace(pristine_images.shards, pattern=str(tmp_path / "shards/*.tar"))
    run = RunDir(Store(str(tmp_path / "run")))
    return replace(pristine_images, run=run, shards=shards, config=config_of(tmp_path / "run"))


def uids_in(folder: Path) -> list[str]:
    """The uids in the output shards, in their order, by Python's own tarfile."""
    found: list[str] = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            texts = [archive.extractfile(m) for m in archive if m.name.endswith(".json")]
            found += [json.load(text)["uid"] for text in texts]  # type: ignore[arg-type]
    return found


# --- whole ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 7])
def test_the_shards_hold_the_subset_as_far_as_it_is_available(
    made: Images, size: int | None
) -> None:
    subset = made.select()
    assert made.index() == {}
    images = cut_images(made.run, subset)
    wanted = set(format_uids(read_uids(made.run.store, f"{subset.folder}/uids.npy")))
    available = wanted & set(made.shards.place)
    assert 0 < len(available) < len(wanted) < len(made.pool.table)
    assert images.missing_images == len(wanted - available) == len(wanted & made.shards.missing)
    assert images.counts.read == len(made.shards.place)
    assert images.counts.kept == len(available)
    assert images.counts.dropped == {"not_in_subset": len(made.shards.place) - len(available)}
    assert filter_locally(made.run.store, images, size) == {}
    folder = Path(made.run.store.url) / "shards/default"
    found = uids_in(folder)
    assert len(found) == len(set(found))
    assert set(found) == available
    order = sorted(available, key=lambda u: made.shards.place[u])
    assert found == order
    sizes = json.loads((folder / "sizes.json").read_text())
    assert sum(sizes.values()) == json.loads((folder / "meta.json").read_text())["samples"]
    rows = pq.read_table(folder / "00000.parquet")
    assert rows.column_names == ["key", "uid"]  # no scores, and this pool has no sidecars
    assert rows["uid"].to_pylist() == found[: rows.num_rows]
    assert rows["key"].to_pylist() == [made.shards.place[u][1] for u in found[: rows.num_rows]]


def test_members_are_copied_byte_for_byte(made: Images) -> None:
    made.index()
    images = cut_images(made.run, made.select())
    filter_locally(made.run.store, images)
    originals: dict[str, bytes] = {}
    for path in Path(made.shards.pattern).parent.glob("*.tar"):
        with tarfile.open(path) as archive:
            originals |= {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    for path in (Path(made.run.store.url) / "shards/default").glob("*.tar"):
        with tarfile.open(path) as archive:
            for member in archive:
                assert archive.extractfile(member).read() == originals[member.name]  # type: ignore[union-attr]


def test_doing_it_again_changes_nothing_and_what_is_missing_is_made(made: Images) -> None:
    made.index()
    images = cut_images(made.run, made.select())
    filter_locally(made.run.store, images)
    before = tree(Path(made.run.store.url))
    assert made.index() == {}
    assert cut_images(made.run, made.select()) == images
    filter_locally(made.run.store, images)
    assert tree(Path(made.run.store.url)) == before
    folder = Path(made.run.store.url)
    (folder / "images/state/00001.json").unlink()
    (folder / "subsets/default/images.json").unlink()
    (folder / "state/shards/default/00002.json").unlink()
    made.index()
    filter_locally(made.run.store, cut_images(made.run, made.select()))
    assert tree(folder) == before


def test_a_shard_that_cannot_be_read_is_left_out_until_it_can(made: Images) -> None:
    path = Path(made.shards.pattern).parent / "00002.tar"
    content = path.read_bytes()
    path.write_bytes(b"no tar" * 1000)
    errors = made.index()
    assert list(errors) == ["00002"]
    assert str(path) in errors["00002"]
    assert list(images_of(made.run).failures()) == ["00002"]
    partly = cut_images(made.run, made.select())
    path.write_bytes(content)
    assert made.index() == {}
    assert images_of(made.run).failures() == {}
    whole = cut_images(made.run, made.select())
    assert whole.identity != partly.identity
    assert whole.counts.read == len(made.shards.place) > partly.counts.read
    assert whole.missing_images < partly.missing_images


def test_shards_of_which_none_can_be_read_leave_everything_missing(made: Images) -> None:
    for path in Path(made.shards.pattern).parent.glob("*.tar"):
        path.write_bytes(b"no tar" * 1000)
    assert len(made.index()) == 4
    subset = made.select()
    images = cut_images(made.run, subset)
    assert (images.counts.read, images.counts.kept) == (0, 0)
    assert images.missing_images == subset.counts.kept
    assert image_subsets.find(made.run, subset) == images
    assert filter_locally(made.run.store, images) == {}
    assert problems(made.run) == ""


def test_status_and_outcome_tell_of_the_images(
    made: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(made.shards.pattern).parent / "00003.tar").write_bytes(b"no tar" * 1000)
    made.index()
    subset = made.select()
    images = cut_images(made.run, subset)
    out = reporting.console(width=200)
    print_status(out, look(made.run))
    told = capsys.readouterr().out
    assert "images: 3 of 4 shards indexed" in told
    assert "00003.tar" in told
    reporting.print_outcome(out, Outcome("runs/x", subset=subset, images=images))
    told = capsys.readouterr().out
    assert "images of default" in told
    assert "dropped: not_in_subset" in told
    assert f"{images.missing_images} uids of the subset have no usable image" in told


def test_another_subset_replaces_the_shards_of_its_name(made: Images) -> None:
    made.index()
    filter_locally(made.run.store, cut_images(made.run, made.select()))
    wide = len(uids_in(Path(made.run.store.url) / "shards/default"))
    rules = Rules.model_validate({"all": [{"width": {"min": 1500}}]})
    images = cut_images(made.run, made.select(rules))
    filter_locally(made.run.store, images)
    assert len(uids_in(Path(made.run.store.url) / "shards/default")) == images.counts.kept
    assert images.counts.kept is not None
    assert images.counts.kept < wide


# --- repeated and rejected images -----------------------------------------------------------


def pool_of_twins(tmp_path: Path) -> tuple[RunDir, Subset]:
    """Two shards of images: uid 1 three times, once without a caption; 3 is not in the pool."""
    run = fabricate(Store(str(tmp_path / "run")), {"p": [{"uid": uid(n)} for n in (1, 2, 4)]})
    folder = tmp_path / "shards"
    folder.mkdir()
    first = [
        *sample_members("a0", " ", 0, uid=uid(1)),  # an empty caption: rejected
        *sample_members("a1", "three", 1, uid=uid(3)),
        *sample_members("a2", "one", 2, uid=uid(1)),
    ]
    second = [
        *sample_members("b0", "one again", 3, uid=uid(1)),
        *sample_members("b1", "two", 4, uid=uid(2)),
        *sample_members("b2", "three again", 5, uid=uid(3)),
    ]
    for name, members in (("00000", first), ("00001", second)):
        (folder / f"{name}.tar").write_bytes(tar_bytes(members))
    shards = list_shards(f"{folder}/*.tar")
    images = images_of(run)
    identity = claim_images(images, shards, config_of(tmp_path / "run"))
    for shard in shards:
        index_shard(images, shard, SamplePolicy(), identity)
    return run, subsets.select(run, "default", Rules(all=()), None)


def test_the_first_usable_sample_of_a_uid_is_kept(tmp_path: Path) -> None:
    run, subset = pool_of_twins(tmp_path)
    seen: list[tuple[str, int | None]] = []
    images = cut_images(run, subset, lambda shard, counts: seen.append((shard, counts.kept)))
    told = {
        row["key"]: row["reason"]
        for shard in ("00000", "00001")
        for row in run.store.read_table(image_subsets.decisions_path("default", shard)).to_pylist()
    }
    assert told == {
        "a0": "rejected:empty_caption",
        "a1": "not_in_subset",
        "a2": "kept",
        "b0": "duplicate_uid",
        "b1": "kept",
        "b2": "not_in_subset",
    }
    assert images.counts.rejected == {"empty_caption": 1}
    assert images.counts.dropped == {"duplicate_uid": 1, "not_in_subset": 2}
    assert images.missing_images == 1
    assert seen == [("00000", 1), ("00001", 1)]
    assert image_subsets.load(run.store, "default") == images
    assert isinstance(images, ImageSubset)


def test_sidecars_keep_the_columns_of_img2dataset(tmp_path: Path) -> None:
    run, subset = pool_of_twins(tmp_path)
    table = pa.table({"key": ["b1", "b0"], "url": ["two", "one"], "status": ["success"] * 2})
    pq.write_table(table, tmp_path / "shards/00001.parquet")
    filter_locally(run.store, cut_images(run, subset))
    rows = pq.read_table(tmp_path / "run/shards/default/00001.parquet").to_pylist()
    assert rows == [{"key": "b1", "uid": uid(2), "url": "two", "status": "success"}]


def test_the_index_tells_where_every_sample_lies(tmp_path: Path) -> None:
    run, _ = pool_of_twins(tmp_path)
    rows = read_index(images_of(run).store, "00000").to_pylist()
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert [row["status"] for row in rows] == ["empty_caption", "ok", "ok"]
    with tarfile.open(tmp_path / "shards/00000.tar") as archive:
        offsets = [member.offset for member in archive if member.name.endswith(".jpg")]
    assert [row["tar_offset"] for row in rows] == offsets


def test_progress_counts_every_sample_once(tmp_path: Path, monkeypatch: Any) -> None:
    run, _ = pool_of_twins(tmp_path)
    monkeypatch.setattr("curate.image_index.OBSERVED_EVERY", 2)
    seen: list[int] = []
    images = images_of(run)
    shard = list_shards(str(tmp_path / "shards/00000.tar"))[0]
    index_shard(images, shard, SamplePolicy(), "another", lambda counts: seen.append(counts.read))
    assert seen == [2, 1]
    index_shard(images, shard, SamplePolicy(), "another", lambda counts: seen.append(counts.read))
    assert seen == [2, 1, 3]


# --- verification ---------------------------------------------------------------------------


def filtered(made: Images) -> Path:
    made.index()
    filter_locally(made.run.store, cut_images(made.run, made.select()), 20)
    return Path(made.run.store.url)


def problems(run: RunDir, deep: bool = False) -> str:
    # The rows are fabricated: they have no scores of a model, and their tars are nowhere.
    found = verify(run, deep).problems
    return "\n".join(problem for problem in found if "nowhere" not in problem)


@pytest.mark.parametrize("deep", [False, True])
def test_a_good_run_verifies(made: Images, deep: bool) -> None:
    filtered(made)
    assert problems(made.run, deep) == ""


def says_the_same(name: str, one: bytes, two: bytes) -> bool:
    """Whether the bit fell into what decides nothing: column statistics, what the input was."""
    if name.endswith(".parquet"):
        return bool(pq.read_table(io.BytesIO(one)).equals(pq.read_table(io.BytesIO(two))))
    before, after = json.loads(one), json.loads(two)
    differing = {key for key in before if before[key] != after.get(key)}
    return differing <= {"sha256", "size", "damage", "notes"}


@pytest.mark.parametrize("damage", ["removed", "emptied", "flipped"])
def test_damage_to_any_file_of_the_images_is_found(made: Images, damage: str) -> None:
    folder = filtered(made)
    names = [n for n in tree(folder) if n.startswith("images/") or "/default/image" in n]
    names = [n for n in names if not n.endswith(("duplicates.npz", "manifest.parquet"))]
    assert len(names) == 4 + 4 + 1 + 4 + 2
    for name in names:
        content = (folder / name).read_bytes()
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        if damage == "removed":
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(b"" if damage == "emptied" else flipped)
        found = problems(made.run)
        (folder / name).write_bytes(content)
        if damage == "flipped" and not found:
            assert says_the_same(name, content, flipped), name
            continue
        stem = Path(name).stem
        assert stem in found or "is of other images" in found, f"{name}: {found}"
    assert problems(made.run) == ""


def test_an_image_that_was_decided_otherwise_is_named(made: Images) -> None:
    folder = filtered(made)
    path = folder / "subsets/default/images/00001.parquet"
    table = pq.read_table(path)
    kept = table["kept"].to_pylist()
    at = kept.index(True)
    kept[at] = False
    pq.write_table(table.set_column(3, table.schema.field(3), [kept]), path)
    assert table["key"].to_pylist()[at] in problems(made.run)
    summary = folder / "subsets/default/images.json"
    value = json.loads(summary.read_text())
    summary.write_text(json.dumps(value | {"missing_images": 0}))
    assert "images.json is not what index and uids say" in problems(made.run)


def test_images_that_changed_are_found_in_depth(made: Images) -> None:
    folder = filtered(made)
    path = Path(made.shards.pattern).parent / "00000.tar"
    data = bytearray(path.read_bytes())
    kept = pq.read_table(folder / "subsets/default/images/00000.parquet")["kept"].to_pylist()
    offsets = read_index(images_of(made.run).store, "00000")["tar_offset"].to_pylist()
    data[offsets[kept.index(True)] + 600] ^= 1
    path.write_bytes(data)
    assert problems(made.run) == ""
    found = problems(made.run, deep=True)
    assert f"{path} is not what was indexed" in found
    assert f"differ from {path}" in found


# --- refusals -------------------------------------------------------------------------------


def test_other_limits_and_changed_shards_are_refused(made: Images, tmp_path: Path) -> None:
    made.index()
    made.config = parse_config(
        {
            "input": {"metadata": "m"},
            "output": {"run_dir": str(tmp_path / "run")},
            "limits": {"caption_bytes": 7},
        }
    )
    with pytest.raises(RunDirError, match="caption_bytes"):
        made.index()
    made.config = config_of(tmp_path / "run")
    path = Path(made.shards.pattern).parent / "00000.tar"
    path.write_bytes(path.read_bytes() + bytes(512))
    with pytest.raises(RunDirError, match=r"00000\.tar"):
        made.index()


def test_an_image_shard_that_changed_is_named_with_the_remedy(made: Images) -> None:
    made.index()
    images = cut_images(made.run, made.select())
    path = Path(made.shards.pattern).parent / "00000.tar"
    path.write_bytes(path.read_bytes() + bytes(512))
    errors = filter_locally(made.run.store, images)
    assert list(errors) == ["00000"]
    assert str(path) in errors["00000"]
    assert "images/state/00000.json" in errors["00000"]


def test_a_missing_index_or_uids_are_named(made: Images) -> None:
    made.index()
    subset = made.select()
    folder = Path(made.run.store.url)
    (folder / "images/index/00001.parquet").rename(folder / "away")
    with pytest.raises(OutputError, match=r"00001\.parquet is missing.*curate filter"):
        cut_images(made.run, subset)
    (folder / "away").rename(folder / "images/index/00001.parquet")
    (folder / "subsets/default/uids.npy").unlink()
    with pytest.raises(OutputError, match=r"uids\.npy is missing"):
        cut_images(made.run, subset)


def test_an_unreadable_shard_raises_where_it_is_indexed(tmp_path: Path) -> None:
    images = images_of(RunDir(Store(str(tmp_path))))
    with pytest.raises(ShardError, match="gone"):
        index_shard(images, Shard("x", str(tmp_path / "gone.tar"), 1), SamplePolicy(), "i")
    assert images.committed() == frozenset()


# --- looking uids up ------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 9) | st.integers(0, 2).map(lambda n: n << 64)), st.data())
def test_contains_agrees_with_a_set(held: set[int], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.integers(0, 11) | st.integers(0, 3).map(lambda n: n << 64)))
    arrays = [
        np.array([(n >> 64, n % 2**64) for n in numbers], UID) for numbers in (sorted(held), wanted)
    ]
    assert contains(*arrays).tolist() == [n in held for n in wanted]


def test_contains_looks_into_a_mapped_file(tmp_path: Path) -> None:
    uids = np.unique(np.random.default_rng(0).integers(0, 2**64, 2000, dtype="<u8").view(UID))
    np.save(tmp_path / "u.npy", uids)
    mapped = read_uids(Store(str(tmp_path)), "u.npy")
    assert contains(mapped, uids[::-1]).all()
    assert not contains(mapped, parse_uids([uid(5)])).any()
