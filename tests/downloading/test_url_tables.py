"""Which tables of URLs there are, how they are read, and how img2dataset gets them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from url_server import Answer, web

from curate.config import DownloadConfig
from curate.downloading.readers import BATCH_ROWS, Dialect, batches, column_names
from curate.downloading.staging import find_all, find_columns, stage
from curate.downloading.tables import Table, find_format, list_tables
from curate.errors import ConfigError

ROWS = [
    {"url": "http://a.example/1,2.jpg", "caption": 'a "cat", sitting', "uid": "0" * 32, "n": 1.5},
    {"url": "http://a.example/2.jpg", "caption": "mañana", "uid": "12" * 16, "n": None},
    {"url": "http://a.example/3.jpg", "caption": None, "uid": "ab" * 16, "n": 2.0},
]


def write(folder: Path, kind: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    """The rows as a table of a format; returns its path."""
    path = folder / f"urls.{kind}"
    plain = kind.removesuffix(".gz")
    if plain == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    if plain == "txt":
        data = "\n\n".join(row["url"] for row in rows).encode()
    elif plain == "jsonl":
        data = "\n".join(map(json.dumps, rows)).encode()
    elif plain == "json":
        data = json.dumps(rows).encode()
    else:
        sink = pa.BufferOutputStream()
        options = pcsv.WriteOptions(delimiter="\t" if plain == "tsv" else ",")
        pcsv.write_csv(pa.Table.from_pylist(rows), sink, options)
        data = sink.getvalue().to_pybytes()
    path.write_bytes(gzip.compress(data) if kind.endswith(".gz") else data)
    return path


def staged(folder: Path) -> list[dict[str, Any]]:
    """The rows of all staged files, in the order in which img2dataset reads them."""
    return [
        row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def stage_into(
    folder: Path, *paths: Path, others: tuple[str, ...] = (), **settings: Any
) -> tuple[Any, list[dict[str, Any]]]:
    config = DownloadConfig(urls=tuple(map(str, paths)), **settings)
    place = folder / "staged"
    place.mkdir()
    tables = list_tables(list(config.urls), config.format)
    found = find_all(tables, config, others)
    return stage(tables, found, config, place), staged(place)


# --- formats ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet", "csv.gz", "jsonl.gz"])
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    found, rows = stage_into(tmp_path, write(tmp_path, kind), others=("n",))
    assert found.rows == (3,)
    assert (found.url_col, found.caption_col) == ("url", "caption")
    assert rows == ROWS


@pytest.mark.parametrize("kind", ["txt", "txt.gz"])
def test_a_list_is_one_url_a_line_commas_and_all(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    found, rows = stage_into(tmp_path, write(tmp_path, kind))
    assert rows == [{"url": row["url"]} for row in ROWS]
    assert found.caption_col is None
    assert "no caption column" in caplog.text


def test_uids_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "urls.csv"
    path.write_text("URL,TEXT,uid,n\nhttp://a.example,12,0012,7\n")
    _, rows = stage_into(tmp_path, path, others=("n",))
    assert rows == [{"url": "http://a.example", "caption": "12", "uid": "0012", "n": 7}]


def test_a_table_without_a_header_is_told_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "cc3m.tsv"
    path.write_text('a "big dog\thttp://a.example/1\n"quoted\thttp://a.example/2\n')
    _, rows = stage_into(tmp_path, path, column_names=("caption", "url"), quoting=False)
    assert [row["caption"] for row in rows] == ['a "big dog', '"quoted']


def test_parquet_is_linked_where_it_can_be_and_copied_where_not(tmp_path: Path) -> None:
    laion = [{"URL": row["url"], "TEXT": row["caption"], "uid": row["uid"]} for row in ROWS]
    path = write(tmp_path, "parquet", laion)
    found, _ = stage_into(tmp_path, path)
    link = next((tmp_path / "staged").iterdir())
    assert link.is_symlink()
    assert (found.url_col, found.caption_col) == ("URL", "TEXT")
    other = tmp_path / "other"
    other.mkdir()
    numbered = [{"url": "u", "caption": "c", "id": 7}]
    found, rows = stage_into(other, write(other, "parquet", numbered), uid_col="id")
    assert rows == [{"url": "u", "caption": "c", "uid": "7"}]


def test_columns_that_are_kept_anyway_may_be_listed(tmp_path: Path) -> None:
    found, rows = stage_into(tmp_path, write(tmp_path, "csv"), others=("uid", "n", "caption", "n"))
    assert found.kept == ("uid", "n")
    assert rows == ROWS


def test_copies_are_cut_at_whole_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.downloading.staging.COPIED_ROWS", 10)
    rows = [{"url": f"u{i}", "caption": "c"} for i in range(31)]
    found, _ = stage_into(tmp_path, write(tmp_path, "jsonl", rows), number_sample_per_shard=4)
    sizes = [pq.read_metadata(p).num_rows for p in sorted((tmp_path / "staged").iterdir())]
    assert sizes == [12, 12, 7]
    assert found.rows == (31,)


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    per_shard=st.integers(1, 9),
    least=st.integers(1, 30),
)
def test_any_batches_are_cut_at_whole_shards(sizes: list[int], per_shard: int, least: int) -> None:
    from curate.downloading.staging import _cut

    size = per_shard * -(-least // per_shard)
    numbers = iter(range(sum(sizes)))
    made = [
        pa.RecordBatch.from_pydict({"n": pa.array([next(numbers) for _ in range(s)], pa.int64())})
        for s in sizes
    ]
    at = 0
    for batch in _cut(iter(made), size):
        assert at // size == (at + len(batch) - 1) // size
        assert batch["n"].to_pylist() == list(range(at, at + len(batch)))
        at += len(batch)
    assert at == sum(sizes)


def test_types_of_json_hold_over_batches(tmp_path: Path) -> None:
    path = tmp_path / "urls.jsonl"
    rows = [{"url": "u", "n": None}] * BATCH_ROWS + [{"url": "u", "n": "late"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = list(batches(Table(str(path), "jsonl"), ["url"], ["n"], Dialect()))
    assert [len(batch) for batch in found] == [BATCH_ROWS, 1]
    assert found[0].schema == found[1].schema


# --- what cannot be read ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("urls.parquet", b"no parquet"),
        ("urls.csv", b"url,caption\na,b,c\n"),
        ("urls.csv", b""),
        ("urls.json", b'{"url": "u"}'),
        ("urls.json", b"[1"),
        ("urls.jsonl", b'{"url": "u"}\n[]\n'),
        ("urls.txt.gz", b"no gzip"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=rf"download\.urls: .*{name} cannot be read as"):
        stage_into(tmp_path, tmp_path / name)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url_col": "link"}, "has no column 'link'; it has url, caption, uid, n"),
        ({"caption_col": "alt"}, "has no column 'alt'"),
        ({"uid_col": "id"}, "has no column 'id'"),
    ],
)
def test_a_column_that_is_missing_is_named(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        stage_into(tmp_path, write(tmp_path, "csv"), **settings)
    with pytest.raises(ConfigError, match="no column 'sim'"):
        find_columns(["url"], DownloadConfig(urls="u"), ["sim"], "t.csv")
    with pytest.raises(
        ConfigError, match=r"t\.csv has no column url; give download\.url_col, of a, b"
    ):
        find_columns(["a", "b"], DownloadConfig(urls="u"), [], "t.csv")


def test_tables_of_one_pool_have_captions_all_or_none(tmp_path: Path) -> None:
    one = write(tmp_path, "csv")
    other = tmp_path / "other.csv"
    other.write_text("url,uid\nu,v\n")
    with pytest.raises(ConfigError, match=r"only one of .* has a caption column"):
        stage_into(tmp_path, one, other)


# --- places -----------------------------------------------------------------------------------


def test_places_are_files_folders_globs_braces_and_lists(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "notes.md"):
        (tmp_path / name).write_text("url\nu\n")
    both = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    (tmp_path / "list").write_text("\n".join(both))
    for spec in (
        str(tmp_path),
        f"{tmp_path}/*.csv",
        f"{tmp_path}/{{a,b}}.csv",
        f"@{tmp_path}/list",
    ):
        assert [table.url for table in list_tables(spec)] == both
    assert [table.url for table in list_tables(both[::-1])] == both[::-1]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("none.csv", "does not exist"),
        ("*.parquet", "matches no file"),
        ("empty", "no table"),
        ("mixed", r"several formats \(csv, tsv\)"),
        ("notes.md", "does not tell its format"),
        ("nope://x/y.csv", "cannot open"),
        (" ", "an empty name"),
    ],
)
def test_places_without_tables_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/x.md").touch()
    (tmp_path / "mixed").mkdir()
    for name in ("mixed/a.csv", "mixed/b.tsv", "notes.md"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=told):
        list_tables(spec)
    with pytest.raises(ConfigError, match="named twice"):
        list_tables(["mixed/a.csv", "mixed/*.csv"])


def test_tables_may_lie_on_a_web_server(tmp_path: Path) -> None:
    with web() as served:
        body = write(tmp_path, "csv").read_bytes()
        url = served.put("/urls.csv?version=2", Answer(body, kind="text/csv"))
        (table,) = list_tables(url)
        assert table == Table(url, "csv")
        assert column_names(table, Dialect()) == ("url", "caption", "uid", "n")
        read = batches(table, ["url"], [], Dialect())
        assert [row["url"] for batch in read for row in batch.to_pylist()] == [
            row["url"] for row in ROWS
        ]
        assert table.fingerprint() == table.fingerprint()


def test_formats_are_told_by_names() -> None:
    assert find_format("https://a.example/x.parquet?token=1.csv") == "parquet"
    assert find_format("s3://bucket/x.TSV.gz") == "tsv"
    assert find_format("/a/csv") is None
    assert find_format("/a/b.tar") is None


def test_fingerprints_tell_tables_apart(tmp_path: Path) -> None:
    path = write(tmp_path, "csv")
    before = Table(str(path), "csv").fingerprint()
    assert before == Table(str(path), "csv").fingerprint()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert Table(str(path), "csv").fingerprint() != before
    assert column_names(Table(str(path), "csv"), Dialect()) == ("url", "caption", "uid", "n")
