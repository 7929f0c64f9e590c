"""What a run's log and its signs of life say: which command works or worked there, and how far.

Pure: events in, states out. Whoever looks may be another machine than the one that works, so that
nothing is asked of processes; a command that was killed shows by its silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from curate.bottleneck import Bottleneck, Setup, find_bottleneck
from curate.heartbeat import SILENT_SECONDS
from curate.pace import Speed
from curate.progress import Task
from curate.run_log import ALARM
from curate.work_times import SPLIT

Event = Mapping[str, Any]
"""A line of the log."""

State = Literal["running", "done", "failed", "stopped", "silent"]
"""`silent`: it did not end, and there is no news of it: it was killed, or its machine is gone."""

MAX_NOTED: Final = 1000
"""Alarms and warnings that are told, the latest ones."""


@dataclass(frozen=True, slots=True)
class CommandState:
    """The latest command of a run.

    Attributes:
        name: as it is called: fit, score, all (of `curate run`), ...
        state: what became of it.
        begun, ended, last_news: moments in UTC, as ISO 8601; `ended` is None unless it ended.
        seconds: it took so far, or in all.
        exit_code: None unless it ended.
        error: class and message, of one that failed.
        warnings: it wrote into the log.
    """

    name: str
    state: State
    begun: str
    ended: str | None
    last_news: str
    seconds: float
    exit_code: int | None
    error: str | None
    warnings: int


@dataclass(frozen=True, slots=True)
class StageState:
    """The latest stage of the latest command.

    Attributes:
        name: fit, score, select, index, cut or filter.
        state: `running` as long as nothing else is known.
        items, unit: what `done` and `read` count, e.g. shards and pairs.
        before, total: items that earlier commands did, and those to do for this one.
        done, unreadable: of `total`, finished ones and, among them, those that could not be read.
        read, rejected, dropped, alarms: samples, and alarms, so far.
        seconds: since it began.
        per_second: samples a second over the last minutes, or over all of it once it ended.
        seconds_left: None where nothing tells.
        as_of: the moment of these counts.
        split: batches that did not fit into memory and were halved.
        setup: what a stage that embeds was started with.
        counts: all of them.
    """

    name: str
    state: State
    items: str
    unit: str
    before: int
    total: int
    done: int
    unreadable: int
    read: int
    rejected: int
    dropped: int
    alarms: int
    seconds: float
    per_second: float | None
    seconds_left: float | None
    as_of: str
    split: int = 0
    setup: Setup | None = None
    counts: Mapping[str, int] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The fields but for the raw counts, and what limits the stage."""
        told = {name: value for name, value in asdict(self).items() if name != "counts"}
        found = self.bottleneck()
        return told | {"bottleneck": None if found is None else asdict(found)}

    def bottleneck(self) -> Bottleneck | None:
        """What limits the stage; None where nothing tells."""
        return find_bottleneck(self.counts, self.setup)

    def task(self) -> Task:
        """What its progress line is about."""
        shows = bool(self.dropped)
        return Task(self.name, self.total, self.unit, shows, self.items, self.before, self.setup)

    def speed(self) -> Speed:
        """As its progress line says it."""
        return Speed(self.per_second, self.seconds_left)


def seconds_between(begin: str, end: str) -> float:
    """Seconds from one moment to another, both ISO 8601; not less than zero."""
    return max((_moment(end) - _moment(begin)).total_seconds(), 0.0)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def command_of(
    events: Sequence[Event], sign: Mapping[str, Any] | None, now: str
) -> CommandState | None:
    """The latest command; None if the log knows of none.

    Args:
        events: of the log, oldest first.
        sign: of life, if there is one.
        now: the moment, ISO 8601.
    """
    begins = _begin(events, sign, now)
    if begins is None:
        return None
    own = _of_command(events, begins)
    ends = next((e for e in own if e["event"] == "command ends"), None)
    news = [str(event["time"]) for event in own]
    if sign is not None and sign.get("command_id") == begins.get("command_id"):
        news.append(str(sign["time"]))
    last = max(news, key=_moment)
    error = None
    if ends is not None:
        state: State = _ended(ends)
        error = ends.get("error") if state == "failed" else None
        if error is not None:
            error = f"{error}: {ends.get('message', '')}"
    else:
        state = "running" if seconds_between(last, now) < SILENT_SECONDS else "silent"
    until = now if state == "running" else last
    return CommandState(
        name=str(begins.get("command", "")),
        state=state,
        begun=str(begins["time"]),
        ended=None if ends is None else str(ends["time"]),
        last_news=last,
        seconds=seconds_between(str(begins["time"]), until),
        exit_code=None if ends is None else ends.get("exit_code"),
        error=error,
        warnings=sum(event["event"] == "warning" for event in own),
    )


def _begin(events: Sequence[Event], sign: Mapping[str, Any] | None, now: str) -> Event | None:
    """Where the latest command begins; one that lives goes before one that was refused later."""
    begun = [event for event in events if event["event"] == "command begins"]
    if sign is not None and seconds_between(str(sign["time"]), now) < SILENT_SECONDS:
        lives = sign.get("command_id")
        begun = [event for event in begun if event.get("command_id") == lives] or begun
    return begun[-1] if begun else None


def _of_command(events: Sequence[Event], begins: Event) -> list[Event]:
    return [e for e in events if e.get("command_id") == begins.get("command_id")]


def _ended(ends: Event) -> State:
    outcome = ends.get("outcome")
    return outcome if outcome in ("failed", "stopped") else "done"


def stage_of(
    events: Sequence[Event],
    sign: Mapping[str, Any] | None,
    command: CommandState | None,
    now: str,
) -> StageState | None:
    """The latest stage of the latest command; None if it has begun none.

    Args:
        events: of the log, oldest first.
        sign: of life, if there is one.
        command: from `command_of`.
        now: the moment, ISO 8601.
    """
    begins = _begin(events, sign, now)
    if begins is None or command is None:
        return None
    own = _of_command(events, begins)
    at = [i for i, e in enumerate(own) if e["event"] == "stage begins"]
    if not at:
        return None
    found = _Progress(own[at[-1]])
    ends: Event | None = None
    for event in own[at[-1] + 1 :]:
        if event["event"] == "progress":
            found.take(event, str(event["time"]))
        elif event["event"] == "stage ends":
            ends = event
    said = (sign or {}).get("progress")
    if sign is not None and said and sign.get("command_id") == begins.get("command_id"):
        found.take(said, str(sign["time"]))
    if ends is not None:
        found.take(ends, str(ends["time"]))
        return found.state(_ended(ends))
    return found.state(command.state if command.state in ("running", "silent") else "stopped")


def embedding_stage_of(events: Sequence[Event]) -> StageState | None:
    """The latest stage that embedded, of whichever command: what it says outlives later stages.

    Args:
        events: of the log, oldest first.
    """
    begins = next((e for e in reversed(events) if _is_embedding(e)), None)
    if begins is None:
        return None
    own = _of_command(events, begins)
    found = _Progress(begins)
    for event in own[own.index(begins) + 1 :]:
        if event["event"] == "stage begins":
            break
        if event["event"] in ("progress", "stage ends"):
            found.take(event, str(event["time"]))
        if event["event"] == "stage ends":
            return found.state(_ended(event))
    return found.state("stopped")


def _is_embedding(event: Event) -> bool:
    return event["event"] == "stage begins" and Setup.from_json(event.get("setup")) is not None


class _Progress:
    """What is known of a stage, from what was said of it, in order."""

    def __init__(self, begins: Event) -> None:
        self.name = str(begins.get("stage", ""))
        self.as_of = str(begins["time"])
        self.said: dict[str, Any] = dict(begins)

    def take(self, said: Event, time: str) -> None:
        """Take in what was said later; a stage of another name is another one."""
        if said.get("stage") == self.name:
            self.said |= said
            self.as_of = time

    def state(self, state: State) -> StageState:
        said, counts = self.said, dict(self.said.get("counts") or {})
        seconds, read = float(said.get("seconds", 0.0)), counts.get("read", 0)
        running = state == "running"
        over_all = read / seconds if seconds > 0 else None
        return StageState(
            name=self.name,
            state=state,
            items=str(said.get("items", "shards")),
            unit=str(said.get("unit", "pairs")),
            before=int(said.get("before", 0)),
            total=int(said.get("total", 0)),
            done=counts.get("shards", 0),
            unreadable=counts.get("failed", 0),
            read=read,
            rejected=counts.get("rejected", 0),
            dropped=counts.get("dropped", 0),
            alarms=counts.get("alarms", 0),
            seconds=seconds,
            per_second=said.get("per_second") if running else over_all,
            seconds_left=said.get("seconds_left") if running else None,
            as_of=self.as_of,
            split=counts.get(SPLIT, 0),
            setup=Setup.from_json(said.get("setup")),
            counts=counts,
        )


def noted(events: Sequence[Event], kind: str = ALARM) -> list[dict[str, str]]:
    """The latest events of a kind, alarms unless told: `time` and `text`, oldest first."""
    found = [
        {"time": str(e["time"]), "text": str(e.get("text", ""))}
        for e in events
        if e["event"] == kind
    ]
    return found[-MAX_NOTED:]
