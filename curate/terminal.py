"""Text for terminals: it steers none, and a status line and other lines stay apart."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, TextIO

from curate.redact import redact

REPLACED: Final = "�"
"""Stands for a character that would steer a terminal, or cannot be seen."""

NARROWEST: Final = 20
"""Columns of a terminal at least: what claims to have fewer does not know its width."""

_CLEAR: Final = "\r\x1b[2K"

_drawing = threading.RLock()
_drawn: list[TextIO] = []
"""The terminal that shows a status line at the moment, if any."""


def printable(text: str) -> str:
    """Names and errors may carry bytes of the data: show none that steers a terminal.

    Secrets are not shown either.
    """
    return "".join(c if c.isprintable() else REPLACED for c in redact(text))


def printable_lines(text: str) -> str:
    """`printable` text that keeps its lines."""
    return "\n".join(printable(line) for line in redact(text).split("\n"))


def width_of(stream: TextIO) -> int:
    """Columns of the terminal behind a stream, at the moment."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # no file, or no terminal
        columns = shutil.get_terminal_size().columns
    return columns if columns >= NARROWEST else shutil.get_terminal_size().columns


def encodable(text: str, stream: TextIO) -> str:
    """The text with `?` for what the stream's encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def draw(text: str, stream: TextIO, *, last: bool = False) -> None:
    """Redraw the status line; the last one stays on the screen. It must fit one line."""
    with _drawing:
        stream.write(f"{_CLEAR}{encodable(text, stream)}" + ("\n" if last else ""))
        stream.flush()
        _drawn[:] = [] if last else [stream]


def leave(stream: TextIO) -> None:
    """End a status line whose last state could not be drawn: what follows has a line of its own."""
    with _drawing, suppress(OSError, ValueError):
        if stream in _drawn:
            _drawn.remove(stream)
            stream.write("\n")
            stream.flush()


@contextmanager
def between_lines() -> Iterator[None]:
    """Write whole lines in this block; a status line that is there is cleared before."""
    with _drawing:
        if _drawn:
            stream = _drawn.pop()
            stream.write(_CLEAR)
            stream.flush()
        yield


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Write a line, on stderr unless told otherwise, that the status line does not garble."""
    out = stream or sys.stderr
    with between_lines():
        out.write(encodable(printable(text), out) + "\n")
        out.flush()


def print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What Python prints of a bug; messages may hold bytes of the data, or credentials."""
    lines = traceback.format_exception(kind, error, trace)
    sys.stderr.write(printable_lines("".join(lines)))
