"""The progress line: what it says, on a terminal and in a log, and how it ends."""

from __future__ import annotations

import io
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import progress as module
from curate.bottleneck import Setup
from curate.progress import Task, clock, progress, render
from curate.terminal import print_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


TASK = Task("score", 9, shows_drops=True)


def test_a_line_says_shards_speed_shares_and_time_left() -> None:
    counts = {"shards": 3, "read": 2000, "rejected": 8, "dropped": 100}
    assert render(TASK, counts, 10.0) == (
        "score  3/9 shards · 2,000 pairs, 200/s · 5.0 % dropped · 0.4 % rejected · 0:20 left"
    )
    assert "dropped" not in render(Task("score", 9), counts, 10.0)
    assert render(TASK, counts | {"failed": 2}, 10.0).count("2 unreadable") == 1
    assert render(TASK, counts | {"alarms": 2}, 10.0).count("2 alarms") == 1
    assert render(TASK, counts | {"shards": 9}, 3725.0).endswith("1:02:05 in all")


def test_a_line_says_what_is_counted() -> None:
    counts = {"shards": 3, "read": 2000}
    assert "parts" in render(Task("score", 9, items="parts"), counts, 1.0)
    assert "7/13 shards" in render(Task("score", 9, before=4), counts, 1.0)


BUSY = Task("score", 1_300_000, shows_drops=True, before=400_000)
BUSY_COUNTS = {
    **{"shards": 123_456, "read": 1_234_567_890, "rejected": 99_000_000, "dropped": 600_000_000},
    **{"failed": 12, "alarms": 2},
}


@pytest.mark.parametrize("width", [120, 80, 60, 40, 20])
def test_a_line_fits_the_terminal_with_what_matters_most(width: int) -> None:
    line = render(BUSY, BUSY_COUNTS, 90_000.0, width=width)
    assert len(line) <= width
    assert line.startswith("score")
    told = {60: ["523456/1700000", "/s", "2 alarms", " left"], 40: ["523456/1700000", "left"]}
    for words in told.get(width, []):
        assert words in line
    short = render(TASK, {"shards": 3, "read": 2000, "rejected": 8, "dropped": 100}, 10.0, width=60)
    assert short == "score 3/9 · 200/s · 5.0 % drop · 0.4 % rej · 0:20 left"


def test_durations_are_read_at_a_glance() -> None:
    shown = [clock(s) for s in (31, 7205, 47.6 * 3600, 12 * 86_400 + 3 * 3600)]
    assert shown == ["0:31", "2:00:05", "1 d 23:36", "12 d 03:00"]


def test_a_line_before_the_first_pair_says_little() -> None:
    assert render(TASK, {}, 0.0) == "score  0/9 shards"
    assert render(Task("score", 0), {}, 0.0) == "score  0/0 shards · 0:00 in all"


@given(
    st.dictionaries(
        st.sampled_from(["shards", "failed", "read", "rejected", "dropped"]), st.integers(0, 10**12)
    ),
    st.floats(0, 1e9),
    st.integers(0, 10**7),
)
def test_any_counts_make_one_line(counts: dict[str, int], seconds: float, total: int) -> None:
    line = render(Task("x", total, shows_drops=True), counts, seconds)
    assert "\n" not in line
    assert "nan" not in line
    assert "inf" not in line


def test_minutes_are_carried() -> None:
    assert render(Task("x", 1), {"shards": 1}, 59.6).endswith("1:00 in all")
    assert render(Task("x", 1), {"shards": 1}, 3599.7).endswith("1:00:00 in all")


def test_a_log_gets_whole_lines_and_the_last_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.01)
    out, counts = io.StringIO(), {"shards": 0}
    with progress(TASK, lambda: counts, out):
        time.sleep(0.08)
        counts["shards"] = 9
    lines = out.getvalue().splitlines()
    assert len(lines) >= 2
    assert lines[0].startswith("score  0/9 shards")
    assert lines[-1].startswith("score  9/9 shards")
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_one_line_that_redraws_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    out = Terminal()
    with progress(TASK, lambda: {"shards": 1}, out):
        time.sleep(0.05)
    text = out.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text.startswith("\r\x1b[2Kscore")


def test_a_log_gets_fewer_lines_after_some_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.01)
    monkeypatch.setattr(module, "WATCHED_SECONDS", 0.1)
    out = io.StringIO()
    with progress(TASK, dict, out):
        time.sleep(0.5)
    assert 2 <= len(out.getvalue().splitlines()) < 15


def test_a_warning_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    out = Terminal()
    with progress(TASK, dict, out):
        time.sleep(0.05)
        print_line("alarm", out)
        time.sleep(0.05)
    assert "\r\x1b[2Kalarm\n\r\x1b[2Kscore" in out.getvalue()


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), progress(TASK, dict, io.StringIO()):
        raise KeyError
    assert threading.active_count() == before


def test_an_error_of_the_work_is_not_hidden_by_one_of_the_counts() -> None:
    def poll() -> dict[str, int]:
        raise ConnectionError("the actor is gone")

    with pytest.raises(KeyError, match="work"), progress(TASK, poll, io.StringIO()):
        raise KeyError("work")


def test_counts_that_cannot_be_had_do_not_stop_the_work() -> None:
    def poll() -> dict[str, int]:
        raise ConnectionError("the actor is gone")

    done = []
    with progress(TASK, poll, io.StringIO()):
        done.append(1)
    assert done == [1]


def test_a_log_that_was_closed_does_not_stop_the_work() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    done = []
    with progress(TASK, dict, Closed()):
        done.append(1)
    assert done == [1]


def test_the_line_names_what_limits_where_there_is_room() -> None:
    task = Task("score", 9, setup=Setup(2, 3, 64, "cuda"))
    times = {"window_ms": 60_000, "embedding_ms": 118_000, "waiting_ms": 90_000}
    counts = {"shards": 3, "read": 900, "finished": 800, **times}
    line = render(task, counts, 60.0)
    assert "· limit: the model ·" in line
    assert "limit" not in render(task, counts, 60.0, width=len(line) - 1)
    assert "limit" not in render(Task("score", 9), counts, 60.0)
