"""One part, scored or sampled: agreement with shards, commits, faults, memory."""

from __future__ import annotations

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datacomp_pool import ALL_ROW_FAULTS, Faults, Pool, make_pool
from local_run import EVERYTHING, LocalRun, score_locally, tree, write_pool

from curate.config import Config, ReferenceConfig, Rules, parse_config
from curate.embedding_pools import rows as rows_module
from curate.embedding_pools.layouts import Part, list_parts
from curate.embedding_pools.part_files import input_checksum
from curate.embedding_pools.source import Source, find_source
from curate.embedding_pools.task import PartTask, hash_part, sample_part, score_part
from curate.encoder import Encoder
from curate.errors import ConfigError, ShardError
from curate.inputs import input_sha256
from curate.manifest import IDENTITY, Counts, RunDir
from curate.outputs import Store
from curate.pipeline.sample_stage import fit_on_rows, pack
from curate.reference import Reference, Sample, fit
from curate.rules import build
from curate.samples import SamplePolicy
from curate.sampling import choose_threshold, hash_samples
from curate.schema import POOL_COLUMNS, SCORE_COLUMNS, scores_schema
from curate.scorer import Scorer

SEED = 0


def silent(counts: Counts) -> None:
    pass


def config_of(place: Path, run: Path, **input_: Any) -> Config:
    tree = {"input": {"embeddings": str(place), **input_}, "output": {"run_dir": str(run)}}
    return parse_config(tree)


def fit_locally(
    parts: tuple[Part, ...], source: Source, config: Config, threshold: int = EVERYTHING
) -> tuple[Reference, Sample]:
    """Fit on the rows of all parts whose hash is small enough, as workers and driver do."""
    rows = []
    for part in parts:
        table, arrays = pack(*sample_part(part, source, SEED, threshold, config.costly_scores))
        rows.append({"id": part.id, "table": table, "arrays": arrays, "error": ""})
    assert source.model is not None
    return fit_on_rows(rows, config, source.model, Store(config.output.run_dir), "reference")


def task_of(source: Source, reference: Reference, identity: str = "identity") -> PartTask:
    return PartTask(identity, source, (), Scorer(reference))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(Store(str(tmp_path / "run")))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """All faults that a row can have; not to be changed."""
    folder = tmp_path_factory.mktemp("pool") / "metadata"
    return make_pool(folder, (60, 40, 50), faults=ALL_ROW_FAULTS)


@pytest.fixture(scope="module")
def fitted(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Reference]:
    """What the pool holds, and a Reference of all of it."""
    config = config_of(pool.folder, tmp_path_factory.mktemp("fit"))
    parts = list_parts(str(pool.folder))
    source = find_source(parts, config)
    return source, fit_locally(parts, source, config)[0]


# --- DataComp's layout ------------------------------------------------------------------------


def test_every_row_is_scored_or_counted(
    pool: Pool, fitted: tuple[Source, Reference], run: RunDir
) -> None:
    source, reference = fitted
    tables = []
    for part in list_parts(str(pool.folder)):
        seen: list[Counts] = []
        counts = score_part(run, part, task_of(source, reference), seen.append)
        assert sum(c.read for c in seen) == counts.read
        tables.append(run.store.read_table(f"scores/{part.id}.parquet"))
        marker = run.require_marker(part.id)
        assert (marker.counts, marker.url) == (counts, part.url)
        assert marker.size == part.size
        assert (marker.size, marker.sha256) == input_checksum(part, source.keys)
    carried = [pa.field(name, pa.float64()) for name in POOL_COLUMNS]
    expected = scores_schema(SCORE_COLUMNS, carried, located=False)
    assert all(table.schema.equals(expected, check_metadata=True) for table in tables)
    found, made = pa.concat_tables(tables), pool.table
    assert found["status"].to_pylist() == made["status"].to_pylist()
    assert found["uid"].to_pylist() == made["uid"].to_pylist()
    assert found["shard"].to_pylist() == made["part"].to_pylist()
    assert found["index"].to_pylist() == made["row"].to_pylist()
    for name in POOL_COLUMNS:
        assert found[name].to_pylist() == made[name].to_pylist()
    good = np.array([status == "ok" for status in made["status"].to_pylist()])
    image, text = (pool.normalised(key)[good] for key in ("l14_img", "l14_txt"))
    scores = {name: found[name].to_numpy()[good] for name in SCORE_COLUMNS}
    np.testing.assert_allclose(scores["clip_score"], (image * text).sum(1), atol=1e-6)
    norms = np.linalg.norm(pool.embeddings["l14_img"][good].astype(float), axis=1)
    np.testing.assert_allclose(scores["image_norm"], norms, rtol=1e-6)
    for name, rows, side in (
        ("image_informativeness", image, reference.image),
        ("text_informativeness", text, reference.text),
    ):
        centred = rows - side.mean
        expected_scores = 0.5 * ((centred @ side.metric) * centred).sum(1)
        np.testing.assert_allclose(scores[name], expected_scores, rtol=2e-4, atol=1e-7)
    assert not good.all()
    assert found.filter(pa.array(~good))["clip_score"].null_count == (~good).sum()


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_do_not_matter(
    pool: Pool, fitted: tuple[Source, Reference], run: RunDir, tmp_path: Path, block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    source, reference = fitted
    part = list_parts(str(pool.folder))[0]
    score_part(run, part, task_of(source, reference), silent)
    whole = run.store.read_table(f"scores/{part.id}.parquet")
    hashes, sample = hash_part(part, source, SEED), sample_part(part, source, SEED, EVERYTHING, ())
    monkeypatch.setattr("curate.embedding_pools.task.BLOCK_ROWS", block)
    monkeypatch.setattr("curate.embedding_pools.task.PIECE_ROWS", 5)
    other = RunDir(Store(str(tmp_path / "other")))
    score_part(other, part, task_of(source, reference), silent)
    cut = other.store.read_table(f"scores/{part.id}.parquet")
    for name in whole.column_names:
        if name in SCORE_COLUMNS:
            np.testing.assert_allclose(
                cut[name].to_numpy(), whole[name].to_numpy(), rtol=1e-5, atol=1e-7
            )
        else:
            assert cut[name].equals(whole[name])
    np.testing.assert_array_equal(hash_part(part, source, SEED), hashes)
    again = sample_part(part, source, SEED, EVERYTHING, ())
    assert again[0].equals(sample[0])
    np.testing.assert_array_equal(again[1], sample[1])


def test_the_same_part_gives_the_same_bytes_and_a_committed_one_is_left_alone(
    pool: Pool, fitted: tuple[Source, Reference], tmp_path: Path
) -> None:
    source, reference = fitted
    part = list_parts(str(pool.folder))[1]
    trees = []
    for name in ("one", "two"):
        run = RunDir(Store(str(tmp_path / name)))
        counts = score_part(run, part, task_of(source, reference), silent)
        trees.append(tree(tmp_path / name))
        assert sorted(trees[-1]) == [f"scores/{part.id}.parquet", f"state/{part.id}.json"]
    assert trees[0] == trees[1]
    seen: list[Counts] = []
    gone = replace(part, url="/nowhere.parquet")
    assert score_part(run, gone, task_of(source, reference), seen.append) == counts == seen[0]
    with pytest.raises(ShardError, match=r"nowhere\.parquet"):
        score_part(run, gone, task_of(source, reference, "another"), silent)


def test_a_preview_counts_what_the_rules_would_drop(
    pool: Pool, fitted: tuple[Source, Reference], run: RunDir
) -> None:
    source, reference = fitted
    rules = Rules.model_validate({"all": [{"clip_l14_similarity_score": {"min": 0.5}}]})
    task = replace(task_of(source, reference), preview=build(rules, {}, None))
    part = list_parts(str(pool.folder))[0]
    seen: list[Counts] = []
    score_part(run, part, task, seen.append)
    mine = pool.table.filter(pa.compute.equal(pool.table["part"], part.id)).to_pylist()
    dropped = [r for r in mine if r["status"] == "ok" and r["clip_l14_similarity_score"] < 0.5]
    assert sum(sum(c.dropped.values()) for c in seen) == len(dropped) > 0


def test_an_input_that_changed_is_told_by_its_checksum(
    fitted: tuple[Source, Reference], run: RunDir, tmp_path: Path
) -> None:
    source, reference = fitted
    pool = make_pool(tmp_path / "metadata", (5,))
    (part,) = list_parts(str(pool.folder))
    identity = run.claim(IDENTITY, source.parts())
    score_part(run, part, task_of(source, reference, identity), silent)
    scored = run.require_marker(part.id).sha256
    assert input_sha256(run, part.as_shard()) == scored
    (url,) = part.arrays
    with np.load(url) as arrays:
        changed = {name: np.array(arrays[name]) for name in arrays.files}
    changed["l14_img"][3, 3] += 1
    np.savez(url, **changed)
    assert input_sha256(run, part.as_shard()) != scored


def test_parts_of_a_store_are_scored_as_local_ones_are(
    pool: Pool, fitted: tuple[Source, Reference], run: RunDir, tmp_path: Path
) -> None:
    source, reference = fitted
    part = list_parts(str(pool.folder))[0]
    store = fsspec.filesystem("memory")
    for file in (part.url, *part.arrays):
        store.pipe_file(f"/task/{Path(file).name}", Path(file).read_bytes())
    (remote,) = list_parts("memory://task")
    assert remote.id == part.id
    score_part(run, part, task_of(source, reference), silent)
    other = RunDir(Store(str(tmp_path / "other")))
    score_part(other, remote, task_of(source, reference), silent)
    ours, theirs = (r.require_marker(part.id) for r in (run, other))
    assert (ours.outputs, ours.size, ours.sha256) == (theirs.outputs, theirs.size, theirs.sha256)
    local, far = (sample_part(p, source, SEED, EVERYTHING, ()) for p in (part, remote))
    assert local[0].equals(far[0])
    np.testing.assert_array_equal(local[2], far[2])


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        (Faults(missing_npz=1), r"\.npz: cannot be opened"),
        (Faults(missing_key=1), r"\.npz: holds no array 'l14_txt', but b32_img, b32_txt, l14_img"),
        (Faults(fewer_rows=1), r"l14_img\] has 4 rows, .*\.parquet has 5"),
    ],
)
def test_a_part_whose_files_do_not_fit_fails_alone(
    tmp_path: Path, run: RunDir, faults: Faults, told: str
) -> None:
    pool = make_pool(tmp_path / "metadata", (40, 5, 30), faults=faults)
    config = config_of(pool.folder, tmp_path / "run")
    parts = list_parts(str(pool.folder))
    source = find_source(parts, config)
    whole = parts[0], parts[2]
    task = task_of(source, fit_locally(whole, source, config)[0])
    for part in whole:
        assert score_part(run, part, task, silent).scored == part_rows(part)
    with pytest.raises(ShardError, match=told):
        score_part(run, parts[1], task, silent)
    with pytest.raises(ShardError, match=told):
        hash_part(parts[1], source, SEED)
    assert run.committed() == {whole[0].id, whole[1].id}


def part_rows(part: Part) -> int:
    return int(pq.read_metadata(part.url).num_rows)


def damage_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def rewrite(**changes: Any) -> Any:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        for name, kind in changes.items():
            at = table.schema.get_field_index(name)
            table = (
                table.drop_columns([name])
                if kind is None
                else table.set_column(at, name, table[name].cast(kind))
            )
        pq.write_table(table, path)

    return change


@pytest.mark.parametrize(
    ("ending", "harm", "told"),
    [
        ("parquet", cut, "cannot be read as Parquet"),
        ("parquet", lambda p: p.write_bytes(b""), "cannot be read as Parquet"),
        ("npz", cut, "cannot be read as npz"),
        ("npz", damage_middle, "l14_... cannot be read|checksum"),
        ("parquet", rewrite(uid=None), "tells the pairs apart"),
        ("parquet", rewrite(clip_l14_similarity_score=None), "is missing here and float64 there"),
        ("parquet", rewrite(clip_l14_similarity_score=pa.float32()), "is float32 here and float64"),
        ("npz", lambda p: np.savez(p, l14_img=np.ones((9, 3)), l14_txt=np.ones((9, 4))), "3 wide"),
        ("npz", lambda p: np.savez(p, l14_img=np.ones((9, 3)), l14_txt=np.ones((9, 3))), "3 wide"),
    ],
)
def test_damage_is_named(
    tmp_path: Path, run: RunDir, fitted: tuple[Source, Reference], ending: str, harm: Any, told: str
) -> None:
    pool = make_pool(tmp_path / "metadata", (9,), faults=Faults())
    harm(pool.folder / f"{pool.stems[0]}.{ending}")
    (part,) = list_parts(f"{pool.folder}/*.parquet")
    source, reference = fitted
    with pytest.raises(ShardError, match=rf"{pool.stems[0]}.*({told})"):
        score_part(run, part, task_of(source, reference), silent)
    assert run.committed() == frozenset()


# --- what a pool is -------------------------------------------------------------------------


def test_the_larger_model_is_taken_unless_another_is_named(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "metadata", (3,))
    parts = list_parts(str(pool.folder))
    source = find_source(parts, config_of(pool.folder, tmp_path))
    assert source.keys == ("l14_img", "l14_txt")
    assert source.model is not None
    assert (source.model.dim, source.model.logit_scale, source.model.link) == (24, 100.0, "softmax")
    chosen = {"image": "b32_img", "text": "b32_txt"}
    other = find_source(parts, config_of(pool.folder, tmp_path, embedding_keys=chosen))
    assert other.model is not None
    assert other.model.name == "precomputed:b32_img,b32_txt"
    assert other.model.fingerprint != source.model.fingerprint
    path = pool.folder / f"{pool.stems[0]}.npz"
    with np.load(path) as arrays:
        small = {name: arrays[name] for name in ("b32_img", "b32_txt")}
    np.savez(path, **small)
    assert find_source(parts, config_of(pool.folder, tmp_path)) == other
    np.savez(path, u=small["b32_img"], v=small["b32_txt"])
    with pytest.raises(ConfigError, match=r"no array 'l14_img', but u, v;.*embedding_keys"):
        find_source(parts, config_of(pool.folder, tmp_path))
    own = {"image": "u", "text": "v"}
    named = find_source(parts, config_of(pool.folder, tmp_path, embedding_keys=own))
    assert named.model is not None
    assert named.model.logit_scale is None
    unit = np.eye(16, dtype=np.float32)
    with pytest.raises(ConfigError, match=r"reference\.temperature is `model`.*precomputed:u,v"):
        fit(unit, unit, ReferenceConfig(temperature="model"), named.model)


def test_a_first_part_that_lacks_half_a_pair_is_a_wrong_configuration(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "metadata", (3, 3), faults=Faults(missing_key=0))
    parts = list_parts(str(pool.folder))
    with pytest.raises(ConfigError, match="no array 'l14_txt'"):
        find_source(parts, config_of(pool.folder, tmp_path))
    with pytest.raises(ConfigError, match="names 'nothing'"):
        find_source(parts, config_of(pool.folder, tmp_path, columns=["nothing"]))
    wrong = {"image": "b32_img", "text": "nothing"}
    with pytest.raises(ConfigError, match="no array 'nothing'"):
        find_source(parts, config_of(pool.folder, tmp_path, embedding_keys=wrong))


def test_unreadable_parts_do_not_hide_what_the_others_hold(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "metadata", (3, 3), faults=Faults(missing_npz=0))
    parts = list_parts(str(pool.folder))
    assert find_source(parts, config_of(pool.folder, tmp_path)).keys == ("l14_img", "l14_txt")
    with pytest.raises(ShardError, match=rf"no part .* {pool.folder}/{pool.stems[0]}\.npz"):
        find_source(parts[:1], config_of(pool.folder, tmp_path))


# --- clip-retrieval -------------------------------------------------------------------------


def test_a_clip_retrieval_folder_without_uids_derives_them(tmp_path: Path, run: RunDir) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "output"
    image, text = (rng.normal(size=(40, 8)).astype(np.float16) for _ in range(2))
    keys = [f"{i:09d}" for i in range(40)]
    keys[7] = keys[3]
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    np.save(folder / "img_emb/img_emb_0.npy", image)
    np.save(folder / "text_emb/text_emb_0.npy", text)
    table = {"image_path": keys, "caption": ["a b"] * 40, "width": [4] * 40, "height": [2] * 40}
    pq.write_table(pa.table(table), folder / "metadata/metadata_0.parquet")
    config = config_of(folder, tmp_path / "run")
    (part,) = list_parts(str(folder))
    source = find_source((part,), config)
    counts = score_part(run, part, task_of(source, fit_locally((part,), source, config)[0]), silent)
    assert counts.rejected == {"duplicate_key": 1}
    assert run.require_marker(part.id).notes == {"derived_uid": 40}
    marker = run.require_marker(part.id)
    assert (marker.size, marker.sha256) == input_checksum(part, source.keys)
    scores = run.store.read_table("scores/metadata_0.parquet")
    u, v = (rows / np.linalg.norm(rows.astype(float), axis=1)[:, None] for rows in (image, text))
    np.testing.assert_allclose(
        np.delete(scores["clip_score"].to_numpy(), 7), np.delete((u * v).sum(1), 7), atol=1e-6
    )
    assert scores["aspect_ratio"].to_pylist() == [2.0] * 40
    named = config_of(folder, tmp_path, embedding_keys={"image": "a", "text": "b"})
    with pytest.raises(ConfigError, match=r"input\.embedding_keys"):
        find_source((part,), named)


# --- our own embeddings -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shard_run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> LocalRun:
    """A small run over shards, bad samples among them, with its embeddings saved."""
    folder = tmp_path_factory.mktemp("shards")
    run = RunDir(Store(str(folder / "run")))
    spec = write_pool(folder / "pool")
    found = score_locally(run, spec, tiny_encoder, save_embeddings=True)
    run.store.write_json("run.json", {"model": tiny_encoder.info.describe()})
    return found


def test_scores_from_saved_embeddings_are_those_of_the_shards(
    shard_run: LocalRun, tmp_path: Path, run: RunDir, tiny_encoder: Encoder
) -> None:
    config = config_of(shard_run.folder, tmp_path / "run")
    parts = list_parts(str(shard_run.folder))
    assert [part.id for part in parts] == [shard.id for shard in shard_run.shards]
    source = find_source(parts, config)
    assert source.model is not None
    info = tiny_encoder.info
    assert (source.model.name, source.model.fingerprint) == (info.name, info.fingerprint)
    assert (source.model.logit_scale, source.model.link) == (info.logit_scale, info.link)
    # The same pairs have the same hashes, so that the same ones are chosen.
    threshold = EVERYTHING
    for samples in (8, 100):
        ours = [hash_part(part, source, SEED) for part in parts]
        theirs = [hash_samples(shard, SamplePolicy(), SEED) for shard in shard_run.shards]
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        threshold = choose_threshold(np.concatenate(ours), samples)
    reference, sample = fit_locally(parts, source, config, threshold)
    names = ("shard", "key", "uid", "width", "caption_words", "image_norm")
    assert sample.table.select(names).equals(shard_run.sample.table.select(names))
    # float16 keeps eleven bits of an embedding's entries.
    for side in ("image", "text"):
        ours_, theirs_ = (getattr(r, side) for r in (reference, shard_run.reference))
        np.testing.assert_allclose(ours_.mean, theirs_.mean, atol=2e-4)
        np.testing.assert_allclose(ours_.metric, theirs_.metric, atol=2e-3 * theirs_.metric.max())
    for part in parts:
        counts = score_part(run, part, task_of(source, reference), silent)
        assert counts == shard_run.run.require_marker(part.id).counts
        ours_, theirs_ = (
            store.read_table(f"scores/{part.id}.parquet") for store in (run.store, shard_run.store)
        )
        for name in ours_.column_names:
            if name in ("image_informativeness", "text_informativeness", "clip_score"):
                # A cosine is off by as much as an entry is; the quadratic form by a share of it.
                bound = {"atol": 5e-4} if name == "clip_score" else {"rtol": 5e-3, "atol": 1e-6}
                np.testing.assert_allclose(
                    ours_[name].to_numpy(), theirs_[name].to_numpy(), **bound
                )
                assert ours_[name].null_count == theirs_[name].null_count
            else:  # norms are told by the scores: those of what is stored are one
                assert ours_[name].equals(theirs_[name]), name


def test_a_saved_row_that_lost_its_embedding_is_counted(
    shard_run: LocalRun, tmp_path: Path, run: RunDir
) -> None:
    shutil.copytree(shard_run.folder, tmp_path / "copy")
    path = tmp_path / "copy/embeddings/00000.npz"
    with np.load(path) as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    changed["image"][0] = np.nan
    np.savez(path, **changed)
    (tmp_path / "copy/run.json").unlink()
    config = config_of(tmp_path / "copy", tmp_path / "run")
    parts = list_parts(str(tmp_path / "copy"))
    source = find_source(parts, config)
    assert source.model is not None
    assert source.model.name == shard_run.reference.description["model"]["name"]
    counts = score_part(run, parts[0], task_of(source, shard_run.reference), silent)
    before = shard_run.run.require_marker("00000").counts
    assert counts.rejected == {**before.rejected, "nonfinite_embedding": 1}


# --- memory ---------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_embeddings(tmp_path: Path, run: RunDir) -> None:
    rng = np.random.default_rng(0)
    rows, width = 120_000, 96
    image = rng.normal(size=(rows, width)).astype(np.float16)
    np.savez(tmp_path / "a.npz", l14_img=image, l14_txt=image[::-1])
    pq.write_table(pa.table({"uid": [f"{i:032x}" for i in range(rows)]}), tmp_path / "a.parquet")
    held = 2 * image.nbytes
    del image
    config = config_of(tmp_path, tmp_path / "run")
    parts = list_parts(f"{tmp_path}/*.parquet")
    source = find_source(parts, config)
    threshold = choose_threshold(hash_part(parts[0], source, SEED), 500)
    reference, _ = fit_locally(parts, source, config, threshold)
    task = task_of(source, reference)
    tracemalloc.start()
    try:
        assert score_part(run, parts[0], task, silent).scored == rows
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows_module.BLOCK_ROWS * width * 2 < held / 10
    assert peak < held / 2
