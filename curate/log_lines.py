"""Lines of the run's log: one JSON object each, with a moment and an event, and never a secret."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from curate.redact import redact

MAX_TEXT: Final = 500
"""Characters of a text that are kept."""


def shortened(text: str) -> str:
    """The text without what looks like a credential, at most `MAX_TEXT` characters of it."""
    text = redact(text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def moment(now: float) -> str:
    """Seconds since the epoch as people and machines read them, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"


def is_moment(value: Any) -> bool:
    """Whether this is what `moment` returns, or another ISO 8601 moment with its zone."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def line_of(event: str, now: float, fields: Mapping[str, Any]) -> bytes:
    """One line of the log.

    Args:
        event: what happened, e.g. `stage begins`.
        now: seconds since the epoch.
        fields: numbers, texts, and lists and mappings of these.

    Raises:
        TypeError: a field is none of these.
    """
    value = {"time": moment(now), "event": event} | {key: cleaned(v) for key, v in fields.items()}
    return json.dumps(value, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def cleaned(value: Any) -> Any:
    """Numbers and texts as a line holds them, nested or not. Raises TypeError for others."""
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, Mapping):
        return {shortened(str(key)): cleaned(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(inner) for inner in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 3) if abs(value) < float("inf") else str(value)
    raise TypeError(f"a log line holds numbers and texts, not {type(value).__name__}")


def parsed(line: bytes) -> Iterator[dict[str, Any]]:
    """The event of a line; nothing if it is none, or was cut short."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return  # a process was killed, or the disk was full, in the middle of it
    if (
        isinstance(value, dict)
        and isinstance(value.get("event"), str)
        and is_moment(value.get("time"))
    ):
        yield value
