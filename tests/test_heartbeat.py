"""Signs of life: written while a command works, gone when it ends, and few lines of history."""

from __future__ import annotations

import io
import json
import time
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pools import config_of

from curate import heartbeat
from curate import progress as progress_module
from curate.heartbeat import BEAT_SECONDS, HEARTBEAT, HISTORY_SECONDS, due, read_heartbeat
from curate.outputs import Store
from curate.progress import Task, progress
from curate.run_log import LOCAL, RunLog, read_log

MOMENT = "2026-01-02T03:04:05.678Z"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute is a fraction of a second."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(progress_module, "UNWATCHED_POLL_SECONDS", 0.01)


def beat(store: Store, beats: int = 1) -> dict[str, Any]:
    """The last of some signs of life."""
    deadline, seen = time.monotonic() + 20, set()
    while len(seen) < beats:
        assert time.monotonic() < deadline, "no sign of life"
        time.sleep(0.01)
        if (found := read_heartbeat(store)) is not None and found["progress"] is not None:
            seen.add(found["time"])
    assert found is not None
    return found


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["disk", "objects"])
def test_a_command_gives_signs_of_life_until_it_ends(kind: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path) if kind == "disk" else f"memory://{uuid.uuid4().hex}")
    store.write_bytes("config.yaml", b"")
    counts = {"shards": 1, "read": 40, "finished": 40, "rejected": 2, "dropped:a.min=1": 3}
    task = Task("score", 9, before=4)
    config = config_of("embedded", "x", tmp_path)
    with RunLog(store).command("run", config), progress(task, lambda: counts, io.StringIO()):
        found = beat(store, beats=2)
    assert (found["command"], found["progress"]["stage"]) == ("run", "score")
    assert found["progress"]["counts"] == counts
    assert (found["progress"]["total"], found["progress"]["before"]) == (9, 4)
    assert read_heartbeat(store) is None
    assert not store.exists(HEARTBEAT)
    events = read_log(store)
    names = [event["event"] for event in events]
    assert names[:2] == ["command begins", "stage begins"]
    assert names[-2:] == ["stage ends", "command ends"]
    assert set(names[2:-2]) <= {"progress"}
    assert (events[1]["items"], events[1]["total"], events[1]["before"]) == ("shards", 9, 4)
    assert events[-2]["counts"] == counts
    assert {event["command_id"] for event in events} == {found["command_id"]}


@pytest.mark.usefixtures("quick")
def test_what_is_killed_leaves_its_last_sign(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with heartbeat.beating(store, lambda: {"time": MOMENT, "progress": {}}):
        assert beat(store)["time"] == MOMENT
        left = (tmp_path / HEARTBEAT).read_bytes()
    assert json.loads(left)["time"] == MOMENT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_refused_command_leaves_nothing(tmp_path: Path) -> None:
    with heartbeat.beating(Store(str(tmp_path / "none")), dict):
        time.sleep(0.15)
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("quick")
def test_signs_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / HEARTBEAT).mkdir()
    with heartbeat.beating(Store(str(tmp_path)), dict):
        time.sleep(0.15)
    assert (tmp_path / HEARTBEAT).is_dir()


@pytest.mark.usefixtures("quick")
def test_the_begin_of_a_command_is_logged_as_soon_as_there_is_a_run(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "run"))
    with RunLog(store).command("run", config_of("embedded", "x", tmp_path)):
        assert not store.exists("")
        store.write_bytes("config.yaml", b"")
        deadline = time.monotonic() + 20
        while not read_log(store):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert [event["event"] for event in read_log(store)] == ["command begins"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"time": 7}', b'{"time": "x"}', b"\xff"])
def test_a_sign_that_is_damaged_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / HEARTBEAT).write_bytes(content)
    assert read_heartbeat(Store(str(tmp_path))) is None


def test_a_run_of_months_leaves_a_log_of_a_megabyte() -> None:
    recorded, lines, day = 0.0, [], 24 * 3600
    for beats in range(1, int(90 * day / BEAT_SECONDS)):
        seconds = beats * BEAT_SECONDS
        if due(seconds, recorded):
            recorded = seconds
            lines.append(seconds)
    assert lines[0] == BEAT_SECONDS
    assert len([at for at in lines if at <= 3 * 3600]) < 100
    assert len(lines) < 90 * day / HISTORY_SECONDS + 100
    assert all(b - a <= HISTORY_SECONDS + BEAT_SECONDS for a, b in pairwise(lines))


@pytest.mark.usefixtures("quick")
def test_progress_gets_into_the_log_now_and_then(tmp_path: Path) -> None:
    store, log = Store(str(tmp_path)), RunLog(Store(str(tmp_path)))
    with log.command("run", config_of("embedded", "x", tmp_path)), log.stage("score", shards=9):
        log.progress(stage="score", seconds=31.0, counts={"shards": 1})
        beat(store, beats=3)
        log.progress(stage="score", seconds=31.5, counts={"shards": 2})
        beat(store, beats=2)
        log.progress(stage="score", seconds=62.0, counts={"shards": 3})
        beat(store, beats=3)
    lines = [json.loads(line) for line in (tmp_path / LOCAL).read_text().splitlines()]
    assert [e["counts"]["shards"] for e in lines if e["event"] == "progress"] == [1, 3]
