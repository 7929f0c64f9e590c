"""A short run of the chaos suite, and proof that it would notice; `make chaos` is the long one."""

from __future__ import annotations

import errno
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from chaosing import compare, hooks, pool
from chaosing.faulty import FaultyFileSystem, Requests, register
from chaosing.nodes import Nodes, environment
from chaosing.orders import Board, Gate, Orders
from chaosing.plan import KINDS, Kind, Point, Trigger, make_point, plan
from chaosing.trial import Suite

from curate.errors import OutputError
from curate.outputs import Store
from curate.shards import Shard, open_shard

SHARDS = 8

# --- the plan -----------------------------------------------------------------------------------


def test_a_point_is_its_seed_and_number() -> None:
    points = list(plan(7, 40, SHARDS))
    assert points == list(plan(7, 40, SHARDS))
    assert points == [make_point(7, number, SHARDS) for number in range(40)]
    assert points != list(plan(8, 40, SHARDS))


def test_every_kind_comes_before_any_comes_again() -> None:
    kinds = [point.kind.name for point in plan(1, 3 * len(KINDS), SHARDS)]
    for cycle in range(3):
        assert Counter(kinds[cycle * len(KINDS) :][: len(KINDS)]) == Counter(list(KINDS))
    assert len({tuple(kinds[c * len(KINDS) :][: len(KINDS)]) for c in range(3)}) == 3


def test_a_plan_of_one_kind_keeps_its_numbers() -> None:
    points = list(plan(3, 5, SHARDS, "node"))
    assert {point.kind.name for point in points} == {"node killed", "node added"}
    assert points == [make_point(3, point.number, SHARDS) for point in points]
    assert points[1:] == list(plan(3, 4, SHARDS, "node", points[0].number + 1))
    with pytest.raises(ValueError, match="no kind of fault holds 'flood'"):
        plan(3, 5, SHARDS, "flood")


def test_triggers_are_of_the_pool() -> None:
    for point in plan(2, 200, SHARDS):
        assert (point.trigger is None) == (point.kind.stages in ((), ("scoring", "writing")))
        assert int(point.shard) < SHARDS
        assert point.when


# --- the comparison -----------------------------------------------------------------------------


def test_a_changed_byte_a_lost_and_a_new_file_are_noticed(tmp_path: Path) -> None:
    for name in ("a.json", "state/b.json", "c.tar", "run.json", "log.jsonl", "logs/x.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"123")
    expected = compare.snapshot(tmp_path)
    assert sorted(expected) == ["a.json", "c.tar", "state/b.json"]
    (tmp_path / "run.json").write_bytes(b"another moment")
    assert compare.differences(compare.snapshot(tmp_path), expected) == []

    (tmp_path / "a.json").write_bytes(b"124")
    (tmp_path / "c.tar").rename(tmp_path / "d.tar.1.partial")
    (tmp_path / "state/failed").mkdir()
    (tmp_path / "state/failed/b.json").write_bytes(b"{}")
    (tmp_path / "e").touch()
    found = compare.snapshot(tmp_path)
    assert compare.differences(found, expected) == [
        "c.tar is missing",
        "d.tar.1.partial should not be there",
        "e should not be there",
        "state/failed/b.json should not be there",
        "a.json has other bytes",
    ]
    # Of a run that was stopped, what is final counts, and nothing but that.
    assert compare.wrong_so_far(found, expected) == [
        "e should not be there",
        "a.json has other bytes",
    ]


# --- what processes do on order -----------------------------------------------------------------


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    for name, value in environment(tmp_path / "site", tmp_path / "board").items():
        monkeypatch.setenv(name, value)
    return Board(tmp_path / "board")


class ArmedStore(Store):
    """A class of its own, so that arming it leaves the others alone."""


@pytest.fixture
def armed(board: Board, tmp_path: Path) -> ArmedStore:
    class Module:
        Store = ArmedStore

    hooks.arm_outputs(Module, board)
    return ArmedStore(str(tmp_path / "run"))


def test_a_gate_is_for_the_nth_and_nobody_else(board: Board) -> None:
    assert not board.is_gate("open", "1.tar")
    board.order(Orders("first", Gate("open", "1.tar", 2)))
    assert [board.is_gate("open", "1.tar") for _ in range(4)] == [False, True, False, False]
    assert not board.is_gate("open", "2.tar")
    board.order(Orders("second", Gate("open", "1.tar", 1)))
    assert board.is_gate("open", "1.tar")
    assert board.reached("second") is None
    board.release("second")
    board.wait()
    assert board.reached("second") is not None


@pytest.mark.parametrize("place", ["before", "half"])
def test_a_file_waits_where_it_is_told(
    board: Board, armed: ArmedStore, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    seen: list[int] = []

    def wait(self: Board) -> None:
        folder = Path(armed.url)
        seen.extend(path.stat().st_size for path in folder.rglob("*.partial"))
        seen.append(-1)

    monkeypatch.setattr(Board, "wait", wait)
    board.order(Orders("first", Gate(place, "state/x.json")))
    for name in ("state/y.json", "state/x.json", "state/x.json"):
        armed.write_bytes(name, b"12345678")
    assert seen == ([-1] if place == "before" else [4, -1])
    assert armed.read_bytes("state/x.json") == b"12345678"


def test_a_tar_that_is_not_hashed_waits_in_its_middle_too(
    board: Board, armed: ArmedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def wait(self: Board) -> None:
        seen.extend(path.stat().st_size for path in Path(armed.url).rglob("*.partial"))

    monkeypatch.setattr(Board, "wait", wait)
    board.order(Orders("first", Gate("half", "shards/default/00000.tar")))
    with armed.create("shards/default/00000.tar", hashed=False) as sink:
        sink.reserve(3000)
        sink.write(memoryview(bytes(2000)))
        sink.write(bytes(1000))
    assert seen == [1000]
    assert armed.read_bytes("shards/default/00000.tar") == bytes(3000)


def test_a_full_disk_leaves_nothing(board: Board, armed: ArmedStore) -> None:
    board.order(Orders("first", full="x.parquet"))
    with pytest.raises(OutputError, match=r"x\.parquet could not be written: .*; make room") as e:
        armed.write_bytes("scores/x.parquet", b"1")
    assert isinstance(e.value.__cause__, OSError)
    assert e.value.__cause__.errno == errno.ENOSPC
    assert [path for path in Path(armed.url).rglob("*") if path.is_file()] == []
    armed.write_bytes("scores/y.parquet", b"1")


@pytest.mark.parametrize("fault", ["", "hiccups", "short"])
def test_a_run_gets_over_a_bad_store(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    from curate import retrying

    register()
    monkeypatch.setattr(retrying, "RETRY", replace(retrying.RETRY, sleep=lambda seconds: None))
    board.order(Orders("a", roots={"run": str(tmp_path / "run")}, store=fault, every=6))
    monkeypatch.setattr(FaultyFileSystem, "requests", Requests())
    data = bytes(range(256)) * 40
    store = Store("faulty://run")
    for number in range(12):
        store.write_bytes(f"state/{number}.json", data)
        assert store.exists(f"state/{number}.json")
        assert store.read_bytes(f"state/{number}.json") == data
        with store.open_file(f"state/{number}.json") as file:
            file.seek(100)
            assert file.read(5000) == data[100:5100]
    assert store.names("state", ".json") == sorted(f"{number}.json" for number in range(12))
    shard = Shard("5", "faulty://run/state/5.json", None)
    with open_shard(shard) as file:
        assert file.read() == data
    store.remove_file("state/5.json")
    store.remove("state")
    assert not store.exists("state/4.json")


def test_a_store_refuses_what_it_is_told(board: Board, tmp_path: Path) -> None:
    register()
    board.order(Orders("a", roots={"run": str(tmp_path / "run")}, refused="w:x.npy"))
    store = Store("faulty://run")
    with pytest.raises(OutputError, match=r"run/x\.npy could not be written: the store refuses"):
        store.write_bytes("x.npy", b"1")
    store.write_bytes("y.npy", b"1")
    board.order(Orders("a", roots={"run": str(tmp_path / "run")}, refused="r:y.npy"))
    with pytest.raises(OutputError, match="the store refuses"):
        store.read_bytes("y.npy")
    with pytest.raises(FileNotFoundError):
        FaultyFileSystem().info("faulty://elsewhere/x")


# --- a cluster ----------------------------------------------------------------------------------


OWN_CLIENT: list[Any] = []
"""Ray's key-value client of this process before the suite's cluster was started."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Iterator[Suite]:
    from ray.experimental import internal_kv

    folder = tmp_path_factory.mktemp("chaos")
    variables = environment(folder / "site", folder / "board")
    nodes = Nodes(1, cpus=2)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        shards = pool.draw(folder, seed=0, pairs=64)
        settings = {"model": tiny_model, "embedders": 1}
        OWN_CLIENT[:] = [internal_kv.internal_kv_get_gcs_client()]
        try:
            nodes.start()
            yield Suite(
                folder / "runs", nodes, Board(folder / "board"), shards, settings, variables
            )
        finally:
            nodes.close()


@pytest.mark.ray
@pytest.mark.usefixtures("suite")
def test_this_process_stays_with_its_own_ray() -> None:
    # Else the next call of another cluster waits for a dead one, and Ray ends this process.
    from ray.experimental import internal_kv

    assert internal_kv.internal_kv_get_gcs_client() is OWN_CLIENT[0]


@pytest.mark.ray
def test_a_run_whose_node_dies_and_whose_store_fails_ends_as_if_neither_had(suite: Suite) -> None:
    # It is the only node: the run waits for the one that is added.
    trigger = Trigger("half", "shards/default/00003.tar")
    kind = Kind("node killed", remote=True, store="hiccups")
    ended = suite.run(Point(0, 0, kind, "selected", trigger, 1, None, "00003", 0.5))
    assert ended.problems == []
    assert ended.exits == [0]
