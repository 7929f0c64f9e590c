"""Shard lists: braces against a naive expansion and a peer, globs, lists, names, bytes."""

from __future__ import annotations

import io
import itertools
import random
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import braceexpand
import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.braces import expand_braces
from curate.errors import ConfigError, ShardError
from curate.places import ID_LIMIT
from curate.shards import Shard, list_shards, open_shard, read_range, shard_ids

# --- braces ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a{1..3}", ["a1", "a2", "a3"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{8..011}", ["008", "009", "010", "011"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{0..6..3}", ["0", "3", "6"]),
        ("{6..0..-4}", ["6", "2"]),
        ("{-1..1}", ["-1", "0", "1"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
        ("x{a,{1..2},}y", ["xay", "x1y", "x2y", "xy"]),
        ("s/{a/{0..1},b}.tar", ["s/a/0.tar", "s/a/1.tar", "s/b.tar"]),
        ("{a}", ["{a}"]),
        ("{}{1..2}", ["{}1", "{}2"]),
        ("{a{1,2}", ["{a1", "{a2"]),
        ("a}{1,2}", ["a}1", "a}2"]),
        ("{1..2}}", ["1}", "2}"]),
        ("{x{1,2}}", ["{x1}", "{x2}"]),
        ("plain", ["plain"]),
        ("", [""]),
    ],
)
def test_braces_expand_as_in_bash(text: str, expected: list[str]) -> None:
    assert list(expand_braces(text)) == expected


PLAIN = st.text("abc/_-. ", max_size=4)
RANGES = st.tuples(st.integers(0, 120), st.integers(-3, 3), st.integers(1, 5))


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> tuple[str, list[str]]:
    """A pattern, and its expansion built along with it."""
    text, expansion = "", [""]
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(["plain", "range", "list"] if depth else ["plain", "range"]))
        if kind == "plain":
            piece = draw(PLAIN)
            choices = [piece]
        elif kind == "range":
            first, span, width = draw(RANGES)
            last = max(0, first + span)
            step = 1 if first <= last else -1
            ends = f"{first:0{width}d}", f"{last:0{width}d}"
            padded = any(len(end) > 1 and end[0] == "0" for end in ends)
            wide = max(map(len, ends)) if padded else 0
            piece = f"{{{ends[0]}..{ends[1]}}}"
            choices = [f"{number:0{wide}d}" for number in range(first, last + step, step)]
        else:
            parts = [draw(patterns(depth=depth - 1)) for _ in range(draw(st.integers(2, 3)))]
            piece = "{" + ",".join(part for part, _ in parts) + "}"
            choices = [choice for _, expanded in parts for choice in expanded]
        text += piece
        expansion = [head + tail for head, tail in itertools.product(expansion, choices)]
    return text, expansion


@given(patterns())
def test_braces_expand_to_what_they_were_built_from(pattern: tuple[str, list[str]]) -> None:
    text, expansion = pattern
    assert list(expand_braces(text)) == expansion


@given(st.text("ab{},.019", max_size=14))
def test_any_text_expands_without_error(text: str) -> None:
    expanded = list(itertools.islice(expand_braces(text), 5000))
    assert expanded
    if not re.search(r"[{}]", text):
        assert expanded == [text]


def test_webdataset_s_own_expander_agrees_on_shard_patterns() -> None:
    for text in ("p/{00000..00123}.tar", "{a,b}/{0..3}-{7..9}.tar", "s3://b/{train,val}/{08..12}"):
        assert list(expand_braces(text)) == list(braceexpand.braceexpand(text))


def test_a_large_range_is_lazy() -> None:
    numbers = expand_braces("{000000000..999999999}.tar")
    assert list(itertools.islice(numbers, 2)) == ["000000000.tar", "000000001.tar"]


# --- local lists ----------------------------------------------------------------------------


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    for name in ("00000.tar", "00001.tar", "00002.tar", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "00000.tar").write_bytes(b"other")
    return tmp_path


def test_a_glob_lists_files_sorted_with_sizes(pool: Path) -> None:
    shards = list_shards(str(pool / "*.tar"))
    assert [shard.id for shard in shards] == ["00000", "00001", "00002"]
    assert shards[0] == Shard("00000", str(pool / "00000.tar"), 27)


def test_relative_paths_start_at_the_working_directory(
    pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list_shards(str(pool / "*.tar"))
    monkeypatch.chdir(pool / "more")
    assert list_shards("../*.tar") == expected
    assert list_shards("0000{0..2}.tar", base=pool) == expected
    assert list_shards(f"file://{pool}/*.tar") == expected
    assert list_shards(f"file://{pool}/0000{{0..2}}.tar") == expected


def test_a_double_star_descends(pool: Path) -> None:
    ids = [shard.id for shard in list_shards(str(pool / "**" / "*.tar"))]
    assert ids == ["00000", "00001", "00002", "more__00000"]


def test_symbolic_links_count_as_what_they_name(pool: Path) -> None:
    (pool / "link.tar").symlink_to(pool / "00001.tar")
    shards = list_shards(str(pool / "l*.tar"))
    assert [(shard.id, shard.size) for shard in shards] == [("link", 27)]


def test_lists_and_list_files(pool: Path) -> None:
    listing = pool / "list.txt"
    listing.write_text(f"# a pool\n{pool}/0000{{0,1}}.tar\n\n{pool}/00002.tar  # the last\n")
    expected = list_shards(str(pool / "*.tar"))
    assert list_shards(f"@{listing}") == expected
    assert list_shards([f"@{listing}"]) == expected
    assert list_shards("@list.txt", base=pool) == expected
    assert list_shards([str(pool / "0000[12].tar"), str(pool / "00000.tar")]) == expected


def test_the_order_of_the_specification_does_not_matter(pool: Path) -> None:
    specs = [str(pool / f"0000{number}.tar") for number in range(3)]
    specs.append(str(pool / "more" / "*.tar"))
    expected = list_shards(specs)
    for seed in range(6):
        shuffled = specs.copy()
        random.Random(seed).shuffle(shuffled)
        assert list_shards(shuffled) == expected


def test_a_name_with_magic_characters_that_exists_is_taken_literally(pool: Path) -> None:
    (pool / "a[1].tar").write_bytes(b"x")
    assert [shard.id for shard in list_shards(str(pool / "a[1].tar"))] == ["a%5B1%5D"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("*.zip", r"matches no file"),
        ("00009.tar", r"does not exist"),
        ("0000{2..3}.tar", r"00003\.tar.*does not exist"),
        ("more", r"is a directory; give '.*more/\*\.tar'"),
        (["00000.tar", "0000*.tar"], r"named twice"),
        (["00000.tar", "./more/../00000.tar"], r"named twice"),
        ([], r"names no shard"),
        ("", r"empty name"),
        ("@missing.txt", r"cannot read the list '@missing\.txt'"),
        ("@empty.txt", r"lists no shard"),
        ("@nested.txt", r"names another list"),
        ("nosuch://bucket/{0..3}.tar", r"cannot open 'nosuch://bucket/0\.tar'"),
        ("nosuch://bucket/*.tar", r"cannot list 'nosuch://bucket/\*\.tar'"),
        ("zip://*.tar::x.zip", r"no glob in a chained URL"),
    ],
)
def test_what_names_no_shard_is_refused(pool: Path, spec: str | list[str], message: str) -> None:
    (pool / "empty.txt").write_text("# nothing\n\n")
    (pool / "nested.txt").write_text("@empty.txt\n")
    with pytest.raises(ConfigError, match=message) as caught:
        list_shards(spec, base=pool)
    assert str(caught.value).startswith("input.shards: ")


# --- remote lists ---------------------------------------------------------------------------


@pytest.fixture
def bucket() -> Iterator[str]:
    filesystem = fsspec.filesystem("memory")
    root = f"bucket-{uuid.uuid4().hex}"
    for name in ("0.tar", "1.tar"):
        filesystem.pipe(f"/{root}/{name}", name.encode())
    yield f"memory://{root}"
    filesystem.rm(f"/{root}", recursive=True)


def test_a_remote_glob_lists_the_store(bucket: str) -> None:
    shards = list_shards(f"{bucket}/*.tar")
    assert [(shard.id, shard.size) for shard in shards] == [("0", 5), ("1", 5)]
    with open_shard(shards[1]) as file:
        assert file.read() == b"1.tar"


def test_remote_braces_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "ls", refuse)
    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "info", refuse)
    shards = list_shards("memory://pool/{00..11}.tar")
    assert len(shards) == 12
    assert shards[3] == Shard("03", "memory://pool/03.tar", None)


def test_a_list_file_may_be_remote(bucket: str) -> None:
    fsspec.filesystem("memory").pipe(f"/{bucket.removeprefix('memory://')}/list", b"memory://p/7")
    assert [shard.id for shard in list_shards(f"@{bucket}/list")] == ["7"]


def test_chained_urls_are_known_by_their_first_path() -> None:
    (shard,) = list_shards("simplecache::memory://pool/00.tar")
    assert (shard.id, shard.url) == ("00", "simplecache::memory://pool/00.tar")
    (shard,) = list_shards("zip://in/side.tar::memory://pool/a.zip")
    assert shard.id == "side"


# --- ids ------------------------------------------------------------------------------------


def test_ids_are_stems_where_these_differ() -> None:
    urls = ["s3://a/x/1.tar", "s3://a/y/2.tar", "/local/3.tar", "https://host/4.tar?key=secret"]
    assert list(shard_ids(urls).values()) == ["1", "2", "3", "4"]


def test_ids_are_paths_below_the_common_parent_where_stems_repeat() -> None:
    urls = ["s3://a/p/x/1.tar", "s3://a/p/y/1.tar", "s3://a/p/2.tar"]
    assert list(shard_ids(urls).values()) == ["x__1", "y__1", "2"]
    assert list(shard_ids(["s3://a/1.tar", "s3://b/1.tar"]).values()) == ["a__1", "b__1"]


def test_ids_that_collide_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"would both be called 'a__b'"):
        shard_ids(["/p/a/b.tar", "/p/a__b.tar", "/p/c/b.tar"])


def test_ids_that_are_too_long_are_refused() -> None:
    assert shard_ids(["/p/" + "a" * ID_LIMIT + ".tar"])
    with pytest.raises(ConfigError, match="shorten the name"):
        shard_ids(["/p/" + "é" * (ID_LIMIT // 2) + ".tar"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("...tar", "%2E%2E"),
        ("..tar", "%2E"),
        (".tar", ".tar"),
        ("a b.tar", "a%20b"),
        ("é%~.tar", "%C3%A9%25%7E"),
        ("a.tar.gz", "a.tar.gz"),
        ("plain", "plain"),
    ],
)
def test_ids_are_safe_file_names(name: str, expected: str) -> None:
    assert shard_ids([f"/pool/{name}"]) == {f"/pool/{name}": expected}


SEGMENTS = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=6)
PATHS = st.lists(SEGMENTS.filter(lambda s: s not in (".", "..")), min_size=1, max_size=3)


@given(
    st.lists(PATHS.map(lambda parts: "/" + "/".join(parts)), min_size=1, max_size=6, unique=True)
)
def test_ids_are_unique_safe_and_independent_of_order(urls: list[str]) -> None:
    try:
        ids = shard_ids(urls)
    except ConfigError:
        with pytest.raises(ConfigError):
            shard_ids(urls[::-1])
        return
    assert ids == shard_ids(urls[::-1])
    assert len(set(ids.values())) == len(urls)
    for name in ids.values():
        assert re.fullmatch(r"[A-Za-z0-9._%-]+", name)
        assert name not in (".", "..")


# --- bytes ----------------------------------------------------------------------------------


def test_a_shard_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    missing = Shard("x", str(tmp_path / "x.tar"), None)
    with pytest.raises(ShardError, match=re.escape(f"{missing.url}: cannot be opened")) as caught:
        open_shard(missing)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(ShardError, match=r"memory://nowhere/x\.tar: cannot be opened"):
        open_shard(Shard("x", "memory://nowhere/x.tar", None))


def test_ranges_are_exact_or_an_error() -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(3, size or 0))

    for file in (io.BytesIO(b"0123456789"), Dribble(b"0123456789")):
        assert read_range(file, 2, 5) == b"23456"
        assert read_range(file, 0, 10) == b"0123456789"
        assert read_range(file, 4, 0) == b""
        with pytest.raises(ShardError, match="short read: 2 of 5 bytes at 8"):
            read_range(file, 8, 5)


def test_a_failing_range_is_a_shard_error() -> None:
    file = io.BytesIO(b"x")
    file.close()
    with pytest.raises(ShardError, match="reading 1 bytes at 0 failed"):
        read_range(file, 0, 1)
