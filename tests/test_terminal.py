"""Text for terminals: nothing steers them, and lines do not garble each other."""

from __future__ import annotations

import io
import threading

import pytest

from curate import terminal
from curate.terminal import between_lines, draw, encodable, leave, print_line, printable_lines

HOSTILE = "\x1b]0;x\x07 \x9b31m \x1b[2J\r \u202e \u2066 \u200b \x00"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_line_between_is_apart_from_the_status_line() -> None:
    out = Terminal()
    draw("1/9", out)
    print_line("alarm", out)
    draw("2/9", out)
    draw("9/9", out, last=True)
    print_line("done", out)
    clear = "\r\x1b[2K"
    assert out.getvalue() == f"{clear}1/9{clear}alarm\n{clear}2/9{clear}9/9\ndone\n"


def test_a_status_line_that_cannot_be_ended_is_left() -> None:
    out = Terminal()
    draw("1/9", out)
    leave(out)
    leave(out)
    assert out.getvalue().endswith("1/9\n")
    with between_lines():
        pass
    assert out.getvalue().endswith("1/9\n")


def test_lines_of_the_data_steer_no_terminal() -> None:
    out = Terminal()
    print_line(HOSTILE, out)
    for text in (out.getvalue().rstrip("\n"), printable_lines(f"{HOSTILE}\n{HOSTILE}")):
        assert all(line.isprintable() for line in text.split("\n"))
    assert printable_lines("a\nb") == "a\nb"


def test_an_old_encoding_gets_question_marks() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert encodable("3/9 shards · 日", out) == "3/9 shards ? ?"


def test_what_has_no_width_is_taken_for_the_environment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "61")
    assert terminal.width_of(io.StringIO()) == 61


def test_threads_write_whole_lines() -> None:
    out = Terminal()
    threads = [threading.Thread(target=print_line, args=("x" * 50, out)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(out.getvalue().split()) == {"x" * 50}
