"""The run's log: what it says, where it is, and what never gets into it."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import config_of

from curate.config import digest
from curate.errors import ShardError
from curate.log_lines import MAX_TEXT, line_of, shortened
from curate.outputs import Store, Written
from curate.run_log import (
    ALARM,
    LOCAL,
    MAX_LISTED,
    MAX_WARNINGS,
    RunLog,
    append_line,
    exit_code_of,
    read_log,
)
from curate.stopping import Terminated


class Clock:
    """Time that goes on by a second per look."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_a_command_logs_its_begin_its_stages_and_its_end(tmp_path: Path) -> None:
    config = config_of("embedded", "x/*.tar", tmp_path / "run")
    store = Store(str(tmp_path / "run"))
    log = RunLog(store, Clock())
    with log.command("score", config), log.stage("score", shards=3) as found:
        assert read_log(store) == []
        store.write_bytes("config.yaml", b"")  # the work begins
        found["read"] = 12
        log.event("alarm", text="30 % dropped")
    log.unreadable({"00001": "a zip, not a tar"})
    log.unreadable({})
    events = read_log(store)
    assert [e["event"] for e in events] == [
        *("command begins", "stage begins", "alarm", "stage ends", "command ends"),
        "unreadable shards",
    ]
    assert events[0]["configuration"] == digest(config.model_dump(mode="json"))
    assert events[0]["time"] == "2023-11-14T22:13:21.250Z"
    assert events[1]["shards"] == 3
    assert (events[3]["read"], events[3]["outcome"], events[3]["stage"]) == (12, "done", "score")
    assert events[3]["seconds"] >= 0
    assert events[5]["first"] == {"00001": "a zip, not a tar"}
    assert len({e["command_id"] for e in events}) == 1
    assert {p.name for p in (tmp_path / "run").iterdir()} == {LOCAL, "config.yaml"}


def test_a_failure_and_a_stop_are_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    log = RunLog(store, Clock())
    with pytest.raises(ShardError), log.stage("score"):
        raise ShardError("s3://key:secret@bucket/x.tar is gone")
    with pytest.raises(KeyboardInterrupt), log.stage("select"):
        raise KeyboardInterrupt
    ends = [e for e in read_log(store) if e["event"] == "stage ends"]
    assert (ends[0]["outcome"], ends[0]["error"]) == ("failed", "ShardError")
    assert ends[0]["message"] == "s3://key:***@bucket/x.tar is gone"
    assert ends[1]["outcome"] == "stopped"


def test_warnings_of_a_command_are_logged_and_still_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    store, warner = Store(str(tmp_path)), logging.getLogger("curate.pipeline.mapping")
    with RunLog(store).command("score", config_of("embedded", "x", tmp_path)) as ended:
        warner.warning("alarm: %s", "30 % rejected")
        warner.info("nothing")
        ended["seconds_of"] = {"score": 1.0}
    warner.warning("later")
    begin, warning, end = read_log(store)
    assert (warning["event"], warning["text"]) == ("warning", "alarm: 30 % rejected")
    assert end["seconds_of"] == {"score": 1.0}
    assert begin["command_id"] == warning["command_id"]
    assert "alarm: 30 % rejected\n" in capsys.readouterr().err


def test_alarms_are_logged_however_many_warnings_there_are(tmp_path: Path) -> None:
    store, warner = Store(str(tmp_path)), logging.getLogger("curate.retrying")
    with RunLog(store).command("score", config_of("embedded", "x", tmp_path)):
        for number in range(MAX_WARNINGS + 5):
            warner.warning("again in %d s", number)
        warner.warning("alarm: %s", "30 % rejected", extra={"event": ALARM})
    events = read_log(store)
    assert sum(event["event"] == "warning" for event in events) == MAX_WARNINGS
    (alarm,) = [event for event in events if event["event"] == "alarm"]
    assert alarm["text"] == "30 % rejected"
    assert (events[-1]["warnings_left_out"], events[-1]["exit_code"]) == (5, 0)


def test_a_store_that_warns_while_its_log_is_written_is_no_endless_story() -> None:
    class Telling(Store):
        def write_bytes(self, relative: str, data: bytes) -> Written:
            logging.getLogger("curate.retrying").warning("again")
            return super().write_bytes(relative, data)

    store = Telling(f"memory://{uuid.uuid4().hex}")
    Store(store.url).write_bytes("config.yaml", b"")
    with RunLog(store).command("score", config_of("embedded", "x", Path())):
        pass
    names = [event["event"] for event in read_log(store)]
    assert names[0] == "command begins"
    assert "warning" in names


def test_a_thread_may_warn_while_another_writes_to_a_store_that_makes_it_warn() -> None:
    """Each would wait for a lock of the other, if the log were locked while it is written."""
    warner, ended = logging.getLogger("curate.retrying"), list[bool]()

    class Telling(Store):
        def write_bytes(self, relative: str, data: bytes) -> Written:
            other = threading.Thread(target=lambda: warner.warning("a read"), daemon=True)
            other.start()
            other.join(5)
            ended.append(not other.is_alive())
            return super().write_bytes(relative, data)

    store = Telling(f"memory://{uuid.uuid4().hex}")
    Store(store.url).write_bytes("config.yaml", b"")
    log = RunLog(store)
    with log.command("score", config_of("embedded", "x", Path("/nowhere"))):
        pass
    log.flush()
    assert ended
    assert all(ended)
    assert {e["text"] for e in read_log(store) if e["event"] == "warning"} == {"a read"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ShardError("x"), 3),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (SystemExit(5), 5),
        (ZeroDivisionError(), 1),
    ],
)
def test_the_log_tells_the_exit_code(error: BaseException, code: int, tmp_path: Path) -> None:
    assert exit_code_of(error) == code
    config = config_of("embedded", "x", tmp_path)
    with pytest.raises(type(error)), RunLog(Store(str(tmp_path))).command("score", config):
        raise error
    assert read_log(Store(str(tmp_path)))[-1]["exit_code"] == code


def test_a_log_that_cannot_be_written_is_not_written_about(tmp_path: Path) -> None:
    (tmp_path / LOCAL).mkdir()
    with RunLog(Store(str(tmp_path))).command("score", config_of("embedded", "x", tmp_path)):
        logging.getLogger("curate").warning("alarm")


def test_commands_append_to_one_local_file(tmp_path: Path) -> None:
    store, clock = Store(str(tmp_path)), Clock()
    for number in range(3):
        RunLog(store, clock).event("alarm", number=number)
    assert [e["number"] for e in read_log(store)] == [0, 1, 2]
    assert len((tmp_path / LOCAL).read_bytes().splitlines()) == 3


def test_a_line_that_was_cut_short_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / LOCAL
    append_line(path, line_of("a", 1.0, {}))
    with path.open("ab") as file:
        file.write(b'{"time": "1970-01-01T00:00:02')
    append_line(path, line_of("b", 3.0, {}))
    assert [e["event"] for e in read_log(Store(str(tmp_path)))] == ["a", "b"]


def test_an_object_store_gets_one_object_per_command() -> None:
    store, clock = Store(f"memory://{uuid.uuid4().hex}"), Clock()
    RunLog(store, clock).event("of a command that was refused")
    assert not store.exists("")
    store.write_bytes("config.yaml", b"")
    for command in range(2):
        log = RunLog(store, clock)
        for number in range(3):
            log.event("alarm", command=command, number=number)
    assert len(store.names("logs", ".jsonl")) == 2
    assert store.names("", "") == ["config.yaml", "logs"]
    read = [(e["command"], e["number"]) for e in read_log(store)]
    assert read == [(c, n) for c in range(2) for n in range(3)]


def test_a_log_that_cannot_be_written_stops_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / LOCAL).mkdir()
    with caplog.at_level(logging.WARNING), RunLog(Store(str(tmp_path))).stage("score"):
        pass
    assert "the run log could not be written" in caplog.text


def test_what_could_not_be_written_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / LOCAL).mkdir()
    log = RunLog(Store(str(tmp_path)))
    log.event("a")
    log.event("b")
    assert caplog.text.count("could not be written") == 1
    (tmp_path / LOCAL).rmdir()
    log.flush()
    log.flush()
    assert [event["event"] for event in read_log(Store(str(tmp_path)))] == ["a", "b"]


def test_many_unreadable_shards_are_counted_and_few_are_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    RunLog(store).unreadable({f"{i:05d}": "gone" for i in range(1000)})
    (event,) = read_log(store)
    assert event["number"] == 1000
    assert list(event["first"]) == [f"{i:05d}" for i in range(MAX_LISTED)]


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIAABCDEFGHIJKLMNOP:hunter2@bucket/a.tar",
        "https://x.org/a.tar?X-Amz-Signature=hunter2&X-Amz-Credential=hunter2",
        "https://user:hunter2@x.org/a.tar is gone",
        "secret='hunter2', key='x'",
        "AWS_SECRET_ACCESS_KEY=hunter2",
        '{"token": "hunter2"}',
        "Authorization: Bearer hunter2",
        "api_key=hunter2 was refused",
        "hf_hunter2hunter2 is no token",
    ],
)
def test_credentials_are_taken_out(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in shortened(text)
    store = Store(str(tmp_path))
    RunLog(store).event("x", text=text, nested={text: [text]})
    assert "hunter2" not in (tmp_path / LOCAL).read_text()


@pytest.mark.parametrize(
    "text", ["s3://bucket/pool/00001.tar: truncated at byte 7", "is it 5 %? no", "a@b", "日本語"]
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert shortened(text) == text


@given(st.text(), st.floats(allow_nan=True), st.integers())
def test_any_text_and_number_make_one_line_of_json(text: str, real: float, number: int) -> None:
    line = line_of("x", 0.0, {"text": text, "real": real, "number": number, "list": [text]})
    assert line.endswith(b"\n")
    assert len(line.splitlines()) == 1
    value = json.loads(line)
    assert len(value["text"]) <= MAX_TEXT
    assert value["number"] == number


def test_samples_do_not_pass_as_fields() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        line_of("x", 0.0, {"image": b"\xff\xd8"})
    assert b"1970-01-01T00:00:01.500Z" in line_of("x", 1.5, {})
