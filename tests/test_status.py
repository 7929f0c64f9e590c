"""`curate status`: what a run's directory says of it, live and afterwards; nothing is written."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_run import LocalRun, fabricate, filter_locally, pool_with_twins
from pools import snapshot, stamps
from rich.console import Console

from curate import reporting, status_page, subsets
from curate.config import Rules
from curate.errors import OutputError, RunDirError
from curate.heartbeat import HEARTBEAT, SILENT_SECONDS
from curate.log_lines import line_of, moment
from curate.manifest import Counts, RunDir
from curate.outputs import Store
from curate.run_log import LOCAL
from curate.run_state import CommandState, StageState, command_of, noted, stage_of
from curate.shards import Shard
from curate.status import look, to_json
from curate.status_page import print_status, size_of

NOW = 1_700_000_000.0


def screen(width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return reporting.console(file=out, width=width, force_terminal=False), out


def page(run: RunDir, **options: Any) -> str:
    console, out = screen()
    print_status(console, look(run, **options))
    return out.getvalue()


# --- logs ---------------------------------------------------------------------------------------

SCORING = {"stage": "score", "items": "shards", "unit": "pairs", "total": 10, "before": 4}
COUNTS = {"shards": 3, "failed": 1, "read": 600, "finished": 500, "rejected": 6, "dropped": 60}


def event(name: str, at: float, by: str = "c", **fields: Any) -> dict[str, Any]:
    """An event `at` seconds after NOW, as it is read back."""
    found: dict[str, Any] = json.loads(line_of(name, NOW + at, {"command_id": by, **fields}))
    return found


BEGUN = (
    event("command begins", 0, command="all"),
    event("stage begins", 5, **SCORING),
)


def sign(seconds: float, command: str = "c", **progress: Any) -> dict[str, Any]:
    """A sign of life, `seconds` after NOW."""
    said = SCORING | {"seconds": seconds - 5, "per_second": 12.0, "seconds_left": 70.0} | progress
    return {"time": moment(NOW + seconds), "command_id": command, "progress": said}


def states(
    events: Sequence[dict[str, Any]], seconds: float, life: dict[str, Any] | None = None
) -> tuple[CommandState | None, StageState | None]:
    now = moment(NOW + seconds)
    command = command_of(events, life, now)
    return command, stage_of(events, life, command, now)


def test_without_a_log_nothing_is_known() -> None:
    assert states([], 0) == (None, None)
    assert states([event("warning", 0, text="x")], 0, sign(0)) == (None, None)


def test_a_command_at_work_is_as_its_last_sign_says() -> None:
    command, stage = states(BEGUN, 65, sign(60, counts=COUNTS))
    assert command is not None
    assert stage is not None
    assert (command.name, command.state, command.seconds) == ("all", "running", 65.0)
    assert (command.ended, command.exit_code, command.error) == (None, None, None)
    assert command.last_news == moment(NOW + 60)
    assert (stage.name, stage.state, stage.as_of) == ("score", "running", moment(NOW + 60))
    assert (stage.before, stage.total, stage.done, stage.unreadable) == (4, 10, 3, 1)
    assert (stage.read, stage.rejected, stage.dropped) == (600, 6, 60)
    assert (stage.per_second, stage.seconds_left, stage.seconds) == (12.0, 70.0, 55.0)


def test_a_stage_that_has_just_begun_knows_its_size() -> None:
    _, stage = states(BEGUN, 6)
    assert stage is not None
    assert (stage.items, stage.total, stage.before, stage.done) == ("shards", 10, 4, 0)
    assert stage.per_second is None
    _, stage = states(BEGUN, 6, sign(0, "another command", counts=COUNTS))
    assert stage is not None
    assert stage.done == 0


def test_silence_means_that_a_command_was_killed() -> None:
    for life, last in ((sign(60, counts=COUNTS), 60), (None, 5)):
        command, stage = states(BEGUN, last + SILENT_SECONDS + 1, life)
        assert command is not None
        assert stage is not None
        assert command.state == stage.state == "silent"
        assert command.last_news == moment(NOW + last)
        assert command.seconds == last
        assert stage.seconds_left is None
    assert states(BEGUN, 5 + SILENT_SECONDS - 1)[0].state == "running"  # type: ignore[union-attr]


def test_the_log_tells_of_a_command_that_was_killed_and_left_no_sign() -> None:
    events = [*BEGUN, event("progress", 40, **SCORING, seconds=35.0, counts=COUNTS)]
    command, stage = states(events, 9000)
    assert command is not None
    assert stage is not None
    assert (command.state, command.last_news) == ("silent", moment(NOW + 40))
    assert (stage.done, stage.read) == (3, 600)


@pytest.mark.parametrize(
    ("outcome", "code", "error", "state"),
    [
        ("done", 0, {}, "done"),
        ("done", 3, {}, "done"),
        ("stopped", 143, {"error": "Terminated"}, "stopped"),
        ("failed", 1, {"error": "OutputError", "message": "the disk is full"}, "failed"),
    ],
)
def test_a_command_that_ended_is_told_with_its_exit_code(
    outcome: str, code: int, error: dict[str, str], state: str
) -> None:
    stage_ends = event(
        "stage ends", 90, stage="score", seconds=85.0, outcome=outcome, counts=COUNTS
    )
    ends = event("command ends", 100, outcome=outcome, exit_code=code, **error)
    command, stage = states([*BEGUN, stage_ends, ends], 1000)
    assert command is not None
    assert stage is not None
    assert (command.state, command.exit_code, command.seconds) == (state, code, 100.0)
    assert command.ended == command.last_news == moment(NOW + 100)
    assert command.error == ("OutputError: the disk is full" if state == "failed" else None)
    assert (stage.state, stage.total, stage.read) == (state, 10, 600)
    assert stage.per_second == pytest.approx(600 / 85)
    assert stage.seconds_left is None


def test_the_latest_command_counts_and_alarms_of_all() -> None:
    first = [*BEGUN, event("alarm", 20, text="30 % rejected"), event("warning", 21, text="slow")]
    second = [
        event("command begins", 500, "d", command="select"),
        event("alarm", 510, "d", text="1 % dropped"),
    ]
    command, stage = states([*first, *second], 511, sign(60))
    assert command is not None
    assert (command.name, command.warnings, stage) == ("select", 0, None)
    assert command_of(first, None, moment(NOW + 22)).warnings == 1  # type: ignore[union-attr]
    assert [a["text"] for a in noted([*first, *second])] == ["30 % rejected", "1 % dropped"]


def test_a_command_that_lives_goes_before_one_that_was_refused_beside_it() -> None:
    refused = [
        event("command begins", 50, "d", command="score"),
        event("command ends", 51, "d", outcome="failed", exit_code=2, error="RunDirError"),
    ]
    command, stage = states([*BEGUN, *refused], 65, sign(60, counts=COUNTS))
    assert command is not None
    assert stage is not None
    assert (command.name, command.state, stage.done) == ("all", "running", 3)
    later, _ = states([*BEGUN, *refused], 61 + SILENT_SECONDS, sign(60, counts=COUNTS))
    assert later is not None
    assert (later.name, later.exit_code) == ("score", 2)


# --- the page -----------------------------------------------------------------------------------


@pytest.fixture
def logged(scored_run: LocalRun) -> Callable[..., LocalRun]:
    """Gives the scored run a log, and a sign of life."""

    def write(*events: dict[str, Any], life: dict[str, Any] | None = None) -> LocalRun:
        lines = [json.dumps(one) for one in events]
        (scored_run.folder / LOCAL).write_text("\n".join(lines) + "\n")
        if life is not None:
            (scored_run.folder / HEARTBEAT).write_text(json.dumps(life))
        return scored_run

    return write


def test_status_tells_how_far_a_run_is(scored_run: LocalRun) -> None:
    made = scored_run
    late = [Shard("00007", "/pool/00007.tar", None), Shard("00008", "/pool/00008.tar", None)]
    made.run.write_manifest([*made.shards, *late])
    made.run.fail(late[0], "a zip, not a tar")
    text = page(made.run)
    assert f"{made.folder}: 3 of 5 shards scored" in text
    assert "empty_caption" in text
    assert "the caption holds no visible character" in text
    assert "00007: a zip, not a tar" in text
    made.run.write_manifest(made.shards)
    made.store.remove("state/failed")
    filter_locally(made.store, made.select(Rules(all=())), 4)
    text = page(made.run)
    assert "subset default, 4 filtered shards" in text
    assert "duplicate_uid" in text


def test_status_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="holds no run"):
        page(RunDir(Store(str(tmp_path))))


def test_a_subset_on_its_way_is_called_so(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_with_twins())
    subsets.select(run, "a", Rules(all=()), None)
    (tmp_path / "subsets/a/summary.json").unlink()
    assert "subset a: being selected" in page(run)


def test_a_markers_notes_and_damage_are_shown(scored_run: LocalRun) -> None:
    marker = scored_run.run.require_marker("00000")
    damage = ({"kind": "truncated", "offset": 77, "detail": "x"},)
    fields = {name: getattr(marker, name) for name in marker.__dataclass_fields__}
    scored_run.run.commit(marker.__class__(**(fields | {"damage": damage, "notes": {"a": "[/]"}})))
    text = page(scored_run.run)
    assert "00000: truncated at byte 77" in text
    assert "00000: a: [/]" in text


def test_reasons_that_this_version_does_not_know_are_shown_all_the_same(
    scored_run: LocalRun,
) -> None:
    path = scored_run.folder / "state/00000.json"
    path.write_text(path.read_text().replace("undecodable_image", "from_the_future"))
    assert "from_the_future" in page(scored_run.run)


def test_the_page_of_a_run_at_work(logged: Callable[..., LocalRun]) -> None:
    alarm = event("alarm", 20, text="30 % rejected of the last 4,000 samples")
    made = logged(*BEGUN, alarm, life=sign(60, counts=COUNTS))
    text = page(made.run, clock=lambda: NOW + 75)
    assert "curate run is running\n" in text
    assert "begun 2023-11-14 22:13:20 UTC, last news 2023-11-14 22:14:20 UTC (0:15 ago)" in text
    assert (
        "score  7/14 shards · 600 pairs, 12/s · 10.0 % dropped · 1.0 % rejected · 1 unreadable"
        " · 1:10 left" in text
    )
    assert "1 alarm:\n  2023-11-14 22:13:40 UTC  30 % rejected of the last 4,000 samples" in text
    assert f"{made.folder}: 3 of 3 shards scored" in text


def test_the_page_of_a_run_that_was_killed_or_failed(logged: Callable[..., LocalRun]) -> None:
    made = logged(*BEGUN, event("warning", 9, text="slow"))
    text = page(made.run, clock=lambda: NOW + 9000)
    assert "curate run gives no sign of life: it was killed" in text
    assert "(2:29:51 ago)" in text
    assert "1 warning, see the log" in text
    ends = event(
        "command ends", 65, outcome="failed", error="OutputError", message="full", exit_code=1
    )
    text = page(logged(*BEGUN, ends).run, clock=lambda: NOW + 9000)
    assert "curate run failed, exit code 1" in text
    assert "(1:05 in all)" in text
    assert "OutputError: full" in text


SETUP = {"embedders": 2, "workers": 3, "batch_size": 64, "device": "cuda"}
TIMES = {"window_ms": 60_000, "embedding_ms": 42_000, "waiting_ms": 9_000}
BUSY = COUNTS | TIMES | {"preparing_ms": 150_000, "reading_ms": 18_000, "writing_ms": 3_000}
DECODES = (
    "limited by decoding: workers wait for the model 5 % of theirs and decode 83 %; embedders are"
    " busy 35 % of the time; add workers or CPUs (about 8 workers would keep the embedders busy)"
)


def test_the_page_says_what_limits_a_run_live_and_afterwards(
    logged: Callable[..., LocalRun],
) -> None:
    begun = (event("command begins", 0, command="all"),)
    embeds = event("stage begins", 5, **SCORING, setup=SETUP)
    made = logged(*begun, embeds, life=sign(60, counts=BUSY | {"split": 3}))
    text = page(made.run, clock=lambda: NOW + 75)
    assert f"  2 embedders on cuda, 3 workers, 64 pairs a batch\n  {DECODES}\n" in text
    assert "warning: 3 batches did not fit into memory" in text
    assert "limit: decoding" in text
    found = to_json(look(made.run, clock=lambda: NOW + 75))
    assert found["embedding"] is None
    assert found["stage"]["setup"] == SETUP
    assert found["stage"]["split"] == 3
    assert found["stage"]["bottleneck"]["limited_by"] == "decoding"
    assert found["stage"]["bottleneck"]["embedders_busy"] == pytest.approx(0.35)

    # Later stages, and later commands, do not hide what the scoring was limited by.
    ends = event("stage ends", 90, stage="score", seconds=85.0, outcome="done", counts=BUSY)
    selects = event("stage begins", 91, **(SCORING | {"stage": "select"}))
    killed = event("command begins", 200, "d", command="filter")
    (made.folder / HEARTBEAT).unlink()
    for events in ((embeds, ends, selects), (embeds, ends, selects, killed)):
        text = page(logged(*begun, *events).run, clock=lambda: NOW + 9000)
        assert DECODES in text
        assert "score  7/14" in text
        assert "did not fit" not in text
    found = to_json(look(made.run))
    assert (found["embedding"]["name"], found["embedding"]["state"]) == ("score", "done")
    assert found["embedding"]["seconds"] == 85.0
    progress = event("progress", 40, **SCORING, seconds=35.0, counts=BUSY)
    text = page(logged(*begun, embeds, progress, killed).run, clock=lambda: NOW + 9000)
    assert DECODES in text


def test_a_run_that_only_fits_has_no_shards_yet(tmp_path: Path) -> None:
    (tmp_path / LOCAL).write_bytes(
        line_of("command begins", time.time(), {"command": "fit", "command_id": "c"})
    )
    status = look(RunDir(Store(str(tmp_path))))
    assert (status.total, status.counts, status.live) == (None, None, True)
    assert "nothing is scored yet" in page(RunDir(Store(str(tmp_path))))


def test_parts_of_metadata_are_called_so(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_with_twins())
    run.store.write_json("identity.json", {"identity": "x", "parts": {"pool": "metadata"}})
    assert "2 of 2 parts scored" in page(run)


def test_looking_writes_nothing(logged: Callable[..., LocalRun]) -> None:
    made = logged(*BEGUN, life=sign(60, counts=COUNTS))
    filter_locally(made.store, made.select(Rules(all=())), 4)
    before = snapshot(made.folder), stamps(made.folder)
    for quick in (False, True):
        page(made.run, quick=quick)
    assert (snapshot(made.folder), stamps(made.folder)) == before


def test_a_damaged_log_or_sign_hides_nothing_else(logged: Callable[..., LocalRun]) -> None:
    made = logged(*BEGUN)
    with (made.folder / LOCAL).open("ab") as file:
        file.write(b'\xff\n[1]\n{"time": 7, "event": "x"}\n{"time": "x", "event": "y"}\n{"time"')
    (made.folder / HEARTBEAT).write_bytes(b"{")
    assert "3 of 3 shards scored" in page(made.run)


def test_what_cannot_be_read_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be read"):
        look(RunDir(Store(str(tmp_path / "file"))))


@given(st.integers(0, 10**19))
def test_sizes_are_short(number: int) -> None:
    assert len(size_of(number)) <= 10
    assert size_of(999) == "999 B"
    assert size_of(1_234_567) == "1.2 MB"


# --- for machines ---------------------------------------------------------------------------------


def test_the_keys_for_machines_stay(logged: Callable[..., LocalRun]) -> None:
    made = logged(*BEGUN, event("alarm", 20, text="x"), life=sign(60, counts=COUNTS))
    filter_locally(made.store, made.select(Rules(all=())), 4)
    console, out = screen()
    status_page.print_json(console, look(made.run, clock=lambda: NOW + 61))
    (line,) = out.getvalue().splitlines()
    found = json.loads(line)
    assert found.keys() == {
        *("version", "run_dir", "now", "command", "stage", "items", "total", "scored", "to_do"),
        *("unreadable", "samples", "damaged", "notes", "alarms", "images", "subsets", "outputs"),
        "embedding",
    }
    assert found["command"].keys() == {
        *("name", "state", "begun", "ended", "last_news", "seconds", "exit_code", "error"),
        "warnings",
    }
    assert found["stage"].keys() == {
        *("name", "state", "items", "unit", "before", "total", "done", "unreadable", "read"),
        *("rejected", "dropped", "alarms", "seconds", "per_second", "seconds_left", "as_of"),
        *("split", "setup", "bottleneck"),
    }
    assert found["version"] == 1
    assert found["samples"]["read"] == 16
    assert found["samples"]["read"] == found["samples"]["scored"] + sum(
        found["samples"]["rejected"].values()
    )
    (subset,) = found["subsets"]
    assert (subset["name"], subset["state"], subset["filtered"]) == ("default", "selected", True)
    assert subset["filtered_shards"] == 4
    assert (
        subset["samples"]["kept"] + sum(subset["samples"]["dropped"].values())
        == (found["samples"]["scored"])
    )
    assert found["outputs"]["scores"]["files"] == 3
    size = sum(path.stat().st_size for path in (made.folder / "scores").iterdir())
    assert found["outputs"]["scores"]["bytes"] == size
    assert set(found["outputs"]) == {"reference", "scores", "shards/default"}
    quick = to_json(look(made.run, quick=True))
    assert quick.keys() == found.keys()
    assert (quick["samples"], quick["outputs"]) == (None, {})
    assert quick["subsets"] == found["subsets"]


def test_markers_are_not_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pool_with_twins()["00000"]
    run = fabricate(Store(str(tmp_path)), {f"{i:05d}": rows for i in range(40)})
    subsets.select(run, "a", Rules(all=()), None)  # keeps what the markers say as a table
    read: list[str] = []
    original = Store.read_bytes

    def counted(self: Store, relative: str, *rest: Any) -> bytes:
        read.append(relative)
        return original(self, relative, *rest)

    monkeypatch.setattr(Store, "read_bytes", counted)
    status = look(run)
    assert (status.scored, status.counts) == (40, Counts(120, {"empty_caption": 40}))
    assert len(read) < 10, read


# --- watching -------------------------------------------------------------------------------------


def test_a_watch_goes_on_until_the_command_ends(
    logged: Callable[..., LocalRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = logged(*BEGUN)
    monkeypatch.setattr(status_page.states, "moment", lambda now: moment(NOW + 10))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 5
        if len(slept) == 2:
            logged(*BEGUN, event("command ends", 9, outcome="done", exit_code=0))

    monkeypatch.setattr(status_page.time, "sleep", sleep)
    console, out = screen()
    status_page.watch(console, made.run, 7.0, as_json=True, quick=False)
    looks = [json.loads(line) for line in out.getvalue().splitlines()]
    assert slept == [7.0, 7.0]
    assert [look["command"]["state"] for look in looks] == ["running", "running", "done"]
    assert [look["samples"]["read"] for look in looks] == [16, 16, 16]
    assert looks[-1]["outputs"]
