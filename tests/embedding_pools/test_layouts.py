"""Which parts a pool has: four layouts, told apart by what lies beside the metadata."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datacomp_pool import Faults, make_pool

from curate.embedding_pools.layouts import METADATA_FIELD, list_parts, part_of
from curate.errors import ConfigError


def parquet(path: Path, **columns: list[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns or {"uid": ["0" * 32]}), path)
    return path


def npy(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ones((1, 3), np.float16))
    return path


def npz(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, image=np.ones((1, 3), np.float16))
    return path


@pytest.fixture
def clip_retrieval(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    for number in ("00", "01", "10"):
        npy(folder / "img_emb" / f"img_emb_{number}.npy")
        npy(folder / "text_emb" / f"text_emb_{number}.npy")
        parquet(folder / "metadata" / f"metadata_{number}.parquet")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    for stem in ("00000", "a__b"):
        parquet(folder / "scores" / f"{stem}.parquet")
        npz(folder / "embeddings" / f"{stem}.npz")
    (folder / "reference").mkdir()
    return folder


def test_datacomp_metadata_is_found_in_a_folder_by_a_pattern_or_by_name(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "metadata", (3, 2, 4), faults=Faults(missing_npz=1))
    parts = list_parts(str(pool.folder))
    assert tuple(part.id for part in parts) == pool.stems
    assert {part.layout for part in parts} == {"datacomp"}
    for part in parts:
        assert part.url == str(pool.folder / f"{part.id}.parquet")
        assert part.arrays == (str(pool.folder / f"{part.id}.npz"),)
        files = [Path(part.url), *map(Path, part.arrays)]
        assert part.size == sum(file.stat().st_size for file in files if file.exists())
        assert part_of(part.as_shard(), "datacomp") == part
    stems = ",".join(pool.stems)
    for spec in (
        f"{pool.folder}/",
        f"{pool.folder}/*",
        f"{pool.folder}/*.parquet",
        f"{pool.folder}/{{{stems}}}.parquet",
        [f"{pool.folder}/{stem}.parquet" for stem in reversed(pool.stems)],
    ):
        assert list_parts(spec) == parts
    assert list_parts(f"{pool.folder}/*.npz") == (parts[0], parts[2])
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(part.url for part in parts) + "\n# a comment\n")
    assert list_parts(f"@{listed}") == parts
    assert list_parts("metadata", base=tmp_path) == parts


def test_a_clip_retrieval_folder_is_three_folders(clip_retrieval: Path) -> None:
    parts = list_parts(str(clip_retrieval))
    assert [part.id for part in parts] == ["metadata_00", "metadata_01", "metadata_10"]
    assert {part.layout for part in parts} == {"clip-retrieval"}
    assert parts[1].arrays == (
        str(clip_retrieval / "img_emb/img_emb_01.npy"),
        str(clip_retrieval / "text_emb/text_emb_01.npy"),
    )
    assert list_parts(str(clip_retrieval / "metadata")) == parts
    assert list_parts(f"{clip_retrieval}/metadata/*.parquet") == parts


def test_clip_retrieval_folders_side_by_side_get_ids_of_their_paths(tmp_path: Path) -> None:
    for name in ("a", "b"):
        parquet(tmp_path / name / "metadata" / "metadata_0.parquet")
        npy(tmp_path / name / "img_emb" / "img_emb_0.npy")
        npy(tmp_path / name / "text_emb" / "text_emb_0.npy")
    parts = list_parts([str(tmp_path / "b"), str(tmp_path / "a")])
    assert [part.id for part in parts] == ["a__metadata__metadata_0", "b__metadata__metadata_0"]


def test_a_run_directory_gives_its_scores_with_its_embeddings(run: Path) -> None:
    parts = list_parts(str(run))
    assert [part.id for part in parts] == ["00000", "a__b"]
    assert {part.layout for part in parts} == {"run"}
    assert parts[0].url == str(run / "scores/00000.parquet")
    assert parts[0].arrays == (str(run / "embeddings/00000.npz"),)
    for spec in (f"{run}/embeddings", f"{run}/embeddings/", f"{run}/embeddings/*.npz"):
        assert [part.arrays for part in list_parts(spec)] == [part.arrays for part in parts]


def test_metadata_alone_has_no_arrays_whatever_lies_beside(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "metadata", (2, 2))
    parts = list_parts(str(pool.folder), METADATA_FIELD)
    assert [(part.layout, part.arrays) for part in parts] == [("metadata", ())] * 2


def test_parts_of_a_store_are_listed_too(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for name in ("metadata/metadata_0.parquet", "img_emb/img_emb_0.npy", "text_emb/text_emb_0.npy"):
        store.pipe_file(f"/layouts/cr/{name}", b"x")
    (part,) = list_parts("memory://layouts/cr")
    assert part.url == "memory://layouts/cr/metadata/metadata_0.parquet"
    assert part.arrays[0] == "memory://layouts/cr/img_emb/img_emb_0.npy"
    assert part.size is None
    for name in ("x.parquet", "x.npz", "y.parquet", "y.npz"):
        store.pipe_file(f"/layouts/dc/{name}", b"x")
    urls = ["memory://layouts/dc/x.parquet", "memory://layouts/dc/y.parquet"]
    assert [part.url for part in list_parts("memory://layouts/dc")] == urls
    assert [part.url for part in list_parts("memory://layouts/dc/{x,y}.parquet")] == urls
    found = list_parts("memory://layouts/dc/*.parquet")
    assert [part.id for part in found] == ["x", "y"]


@pytest.mark.parametrize(
    ("make", "spec", "told"),
    [
        (lambda p: None, "nothing", "does not exist"),
        (lambda p: None, " ", "empty name"),
        (lambda p: None, "*.parquet", "matches no file"),
        (lambda p: (p / "d").mkdir(), "d", "layout .* is not known"),
        (lambda p: (p / "a.txt").write_text("x"), "a.txt", "no folder and no .parquet"),
        (lambda p: (p / "a.txt").write_text("x"), "*.txt", "matches no .parquet"),
        (lambda p: parquet(p / "d/a.parquet"), "d", "input.metadata"),
        (lambda p: npz(p / "d/a.npz"), "d", "layout .* is not known"),
        (lambda p: npz(p / "d/a.npz"), "d/a.npz", "no metadata beside it"),
        (lambda p: (npz(p / "embeddings/a.npz"), (p / "scores").mkdir()), ".", "no .parquet"),
        (lambda p: None, "nosuch://x/y", "cannot open"),
        (lambda p: None, "memory://layouts/none", "cannot list"),
    ],
)
def test_what_is_no_pool_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, spec: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    with pytest.raises(ConfigError, match=rf"input\.embeddings: .*{told}"):
        list_parts(spec)


def test_a_part_is_named_once_and_layouts_are_not_mixed(
    tmp_path: Path, clip_retrieval: Path
) -> None:
    pool = make_pool(tmp_path / "metadata", (2,))
    with pytest.raises(ConfigError, match="named twice"):
        list_parts([str(pool.folder), f"{pool.folder}/*.parquet"])
    with pytest.raises(ConfigError, match="clip-retrieval and datacomp"):
        list_parts([str(pool.folder), str(clip_retrieval)])
