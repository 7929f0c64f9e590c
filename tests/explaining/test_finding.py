"""Keys, SHARD/KEY and uids to rows; unknown and ambiguous ones to errors that help."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_run import fabricate, uid

from curate.errors import RunDirError
from curate.explaining import finding
from curate.explaining.finding import Place, close_keys, find, places_of_uid
from curate.outputs import Store
from curate.schema import OK

SHARDS = ["a", "b"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    pool = {
        "a": [
            {"uid": uid(1), "key": "000000017"},
            {"uid": uid(2), "key": "b/sky"},
            {"uid": uid(3), "key": "twice"},
            {"uid": uid(3), "key": "twice", "status": "duplicate_key"},
        ],
        "b": [
            {"uid": uid(4), "key": "sky"},
            {"uid": uid(0xABC), "key": "everywhere"},
            {"uid": uid(1), "key": "000000018"},
        ],
    }
    pool["a"].append({"uid": uid(5), "key": "everywhere"})
    return fabricate(Store(str(tmp_path)), pool).store


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("000000017", [Place("a", 0, "000000017")]),
        ("a/000000017", [Place("a", 0, "000000017")]),
        (uid(4), [Place("b", 0, "sky")]),
        (uid(0xABC).upper(), [Place("b", 1, "everywhere")]),
        ("b/everywhere", [Place("b", 1, "everywhere")]),
        # A key that looks like SHARD/KEY is found where no shard holds it.
        ("b/sky", [Place("b", 0, "sky")]),
        ("a/b/sky", [Place("a", 1, "b/sky")]),
        ("twice", [Place("a", 2, "twice"), Place("a", 3, "twice")]),
    ],
)
def test_a_sample_is_found_by_key_place_and_uid(
    store: Store, name: str, places: list[Place]
) -> None:
    assert find(store, SHARDS, [name]) == {name: places}


def test_names_are_looked_for_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = finding.read_columns
    monkeypatch.setattr(
        finding,
        "read_columns",
        lambda s, shard, names: (read.append(shard), original(s, shard, names))[1],
    )
    found = find(store, SHARDS, ["sky", "000000018", "sky"])
    assert list(found) == ["sky", "000000018"]
    assert sorted(read) == SHARDS
    read.clear()
    find(store, SHARDS, ["b/sky"])
    assert read == ["b"]


def test_an_ambiguous_name_lists_its_shards(store: Store) -> None:
    with pytest.raises(RunDirError, match="'everywhere' is in several shards; name one of") as told:
        find(store, SHARDS, ["everywhere"])
    assert "'a/everywhere', 'b/everywhere'" in str(told.value)
    with pytest.raises(RunDirError, match=r"'a/000000017', 'b/000000018'"):
        find(store, SHARDS, [uid(1)])


def test_a_list_of_places_is_short_whatever_the_pool(tmp_path: Path) -> None:
    pool = {f"{n:02d}": [{"uid": uid(n), "key": "k"}] for n in range(30)}
    store = fabricate(Store(str(tmp_path)), pool).store
    with pytest.raises(RunDirError, match=r"'09/k' and more$"):
        find(store, list(pool), ["k"])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("17", ["000000017"]),
        ("000000017.jpg", ["000000017"]),
        ("pool/000000017", ["000000017"]),
        ("SKY", ["sky"]),
        ("000000071", ["000000017", "000000018"]),
        ("everywehre", ["everywhere"]),
        ("nothing like it", []),
        ("", []),
    ],
)
def test_an_unknown_name_suggests_what_was_meant(store: Store, name: str, meant: list[str]) -> None:
    found = close_keys(store, SHARDS, name)
    assert found[: len(meant)] == meant or set(found) >= set(meant)
    with pytest.raises(RunDirError, match="none of 2 scored shards holds a sample") as told:
        find(store, SHARDS, [name])
    assert ("did you mean" in str(told.value)) == bool(found)
    assert bool(found) == bool(meant)


def test_the_search_for_similar_keys_is_bounded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MOST_COMPARED", 0)
    assert close_keys(store, SHARDS, "000000071") == []
    assert close_keys(store, SHARDS, "17") == ["000000017"]


def test_the_first_sample_of_a_uid_is_the_scored_one(store: Store) -> None:
    found = places_of_uid(store, SHARDS[::-1], [uid(1), uid(3), uid(99)])
    assert found == {uid(1): Place("a", 0, "000000017"), uid(3): Place("a", 2, "twice")}
    assert OK == "ok"
    assert places_of_uid(store, SHARDS, []) == {}
