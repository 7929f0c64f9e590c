"""Captions of a few pairs out of metadata: the right ones, whatever the order, or none."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datacomp_pool import ALL_ROW_FAULTS, make_pool

from curate.config import parse_config
from curate.embedding_pools import captions
from curate.embedding_pools.captions import Caption, captions_at
from curate.embedding_pools.layouts import list_parts
from curate.embedding_pools.part_files import opened_part
from curate.embedding_pools.source import find_source
from curate.errors import ShardError
from curate.members import derive_uid
from curate.shards import Shard

UIDS = [f"{n:032X}" for n in range(10)]
TEXTS = [None if n == 4 else f"caption {n}" for n in range(10)]


def rows(*positions: int, **told: Any) -> list[dict[str, Any]]:
    return [{"index": n, "key": UIDS[n], "uid": UIDS[n].lower()} | told for n in positions]


def written(path: Path, **columns: Any) -> Shard:
    pq.write_table(pa.table(columns), path, row_group_size=4)
    return Shard("p", str(path), None)


@pytest.mark.parametrize("held", [1, 3, 100])
def test_rows_in_any_order_and_twice(
    tmp_path: Path, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions, "READ_ROWS", held)
    part = written(tmp_path / "p.parquet", uid=UIDS, text=TEXTS, other=range(10))
    wanted = (9, 0, 4, 3, 9)
    assert captions_at(part, rows(*wanted)) == [Caption(TEXTS[n]) for n in wanted]


def test_metadata_of_a_store() -> None:
    url = f"memory://{uuid.uuid4().hex}/p.parquet"
    with fsspec.open(url, "wb") as file:
        pq.write_table(pa.table({"uid": UIDS, "caption": TEXTS}), file)
    assert captions_at(Shard("p", url, None), rows(2)) == [Caption("caption 2")]


def test_every_row_of_a_pool_with_faults_is_known_again(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "metadata", (30, 40), faults=ALL_ROW_FAULTS)
    config = parse_config(
        {"input": {"embeddings": str(pool.folder)}, "output": {"run_dir": str(tmp_path / "run")}}
    )
    parts = list_parts(str(pool.folder))
    for part in parts:
        with opened_part(part, find_source(parts, config)) as opened:
            (block,) = opened.metadata.blocks(100)
        told = pa.table({name: block.columns[name] for name in ("index", "key", "uid")})
        found = captions_at(part.as_shard(), told.to_pylist())
        assert found == [Caption(text) for text in block.captions.to_pylist()]


def test_a_row_that_is_another_one_by_now_is_lost(tmp_path: Path) -> None:
    part = written(tmp_path / "p.parquet", uid=UIDS, text=TEXTS)
    lost = Caption(is_lost=True)
    assert captions_at(part, rows(1, uid=UIDS[2].lower())) == [lost]
    assert captions_at(part, rows(1, key="k")) == [lost]
    written(tmp_path / "p.parquet", uid=UIDS[:3], text=TEXTS[:3])
    assert captions_at(part, rows(5, 2, 3)) == [lost, Caption("caption 2"), lost]
    written(tmp_path / "p.parquet", uid=UIDS[:0], text=pa.array([], pa.string()))
    assert captions_at(part, rows(0)) == [lost]


def test_keys_of_their_own_and_derived_uids(tmp_path: Path) -> None:
    part = written(tmp_path / "p.parquet", key=[*"ab"], text=["1", "2"])
    known = {"index": 1, "key": "b", "uid": derive_uid("p", "b")}
    assert captions_at(part, [known]) == [Caption("2")]
    assert captions_at(part, [known | {"uid": derive_uid("p", "a")}]) == [Caption(is_lost=True)]


def test_without_captions_nothing_is_told(tmp_path: Path) -> None:
    part = written(tmp_path / "p.parquet", uid=UIDS)
    assert captions_at(part, rows(1, 2)) == [Caption(), Caption()]


def test_what_cannot_be_read_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    for columns in ({"text": TEXTS}, {"uid": UIDS, "text": [[1]] * 10}):
        with pytest.raises(ShardError, match=r"p.parquet: cannot be read as Parquet: .+"):
            captions_at(written(path, **columns), rows(1))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ShardError, match=r"p.parquet: cannot be read as Parquet: .+"):
        captions_at(Shard("p", str(path), None), rows(1))
    with pytest.raises(ShardError, match=r"gone.parquet: cannot be opened"):
        captions_at(Shard("p", str(tmp_path / "gone.parquet"), None), rows(1))
