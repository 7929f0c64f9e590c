"""The progress line: what it says, on a terminal and in a log, and how it ends."""

from __future__ import annotations

import io
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import progress as module
from curate.progress import Task, progress, render


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
