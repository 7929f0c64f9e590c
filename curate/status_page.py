"""What `curate status` prints: a page, once or again and again until the run ends."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from rich.console import Console

from curate import status as states
from curate.bottleneck import split_batches
from curate.manifest import RunDir
from curate.progress import clock, render
from curate.reporting import MAX_LISTED, counts_table, print_failures, shown
from curate.run_state import CommandState, StageState, seconds_between
from curate.schema import REJECTIONS
from curate.status import Files, Status

MOST_OF_TIME: Final = 0.05
"""Share of its time that a watch spends on counting markers, at most."""

SAID: Final = {
    "running": "is running",
    "done": "is done",
    "failed": "failed",
    "stopped": "was stopped; run it again to go on",
    "silent": "gives no sign of life: it was killed, or its machine is gone; run it again to go on",
}
UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


def print_json(out: Console, status: Status) -> None:
    """Print it for machines, on one line."""
    text = json.dumps(states.to_json(status), ensure_ascii=True, allow_nan=False)
    out.file.write(f"{text}\n")
    out.file.flush()


def watch(out: Console, run: RunDir, seconds: float, *, as_json: bool, quick: bool) -> None:
    """Print how far a run is, again every so many seconds, until no command is at work.

    On a terminal the page replaces the one before. Markers are counted again only when that takes
    little of the time; what is fast changes with every look.
    """
    full, spent, at = None, 0.0, time.monotonic()
    while True:
        begin = time.monotonic()
        exact = not quick and (full is None or spent <= MOST_OF_TIME * (begin - at))
        status = states.look(run, quick=not exact)
        if exact:
            full, spent, at = status, time.monotonic() - begin, time.monotonic()
        elif full is not None and status.live:
            status = _with_counts(status, full)
        elif full is not None:  # it has ended meanwhile
            status = states.look(run)
        if as_json:
            print_json(out, status)
        else:
            if out.is_terminal:
                out.clear()
            print_status(out, status)
        if not status.live:
            return
        time.sleep(seconds)


def _with_counts(now: Status, then: Status) -> Status:
    return replace(
        now,
        counts=then.counts,
        damaged=then.damaged,
        damaged_number=then.damaged_number,
        notes=then.notes,
        notes_number=then.notes_number,
        outputs=then.outputs,
    )


# --- the page ---------------------------------------------------------------------------------


def print_status(out: Console, status: Status) -> None:
    """Print how far a run is."""
    if status.command is not None:
        _print_command(out, status.command, status.now)
    if status.embedding is not None:
        _print_stage(out, status.embedding)
    if status.stage is not None:
        _print_stage(out, status.stage)
    if status.total is None:
        out.print(f"{shown(status.run_dir)}: nothing is scored yet", soft_wrap=True)
    else:
        _print_shards(out, status, status.total)
    _print_alarms(out, status.alarms)
    _print_list(out, f"damaged {status.items}", status.damaged, status.damaged_number)
    _print_list(out, "notes", status.notes, status.notes_number)
    print_failures(out, status.unreadable)
    if status.images is not None:
        images = status.images
        out.print(f"images: {images.indexed} of {images.total} shards indexed")
        print_failures(out, images.unreadable)
    _print_subsets(out, status)
    _print_outputs(out, status.outputs)


def _print_command(out: Console, command: CommandState, now: str) -> None:
    name = "run" if command.name == "all" else command.name
    colour = {"running": "green", "done": "green"}.get(command.state, "yellow")
    code = "" if command.exit_code is None else f", exit code {command.exit_code}"
    out.print(f"curate {shown(name)} [{colour}]{SAID[command.state]}[/]{code}", soft_wrap=True)
    times = f"  begun {_utc(command.begun)}"
    if command.ended is not None:
        times += f", ended {_utc(command.ended)} ({clock(command.seconds)} in all)"
    else:
        ago = clock(seconds_between(command.last_news, now))
        times += f", last news {_utc(command.last_news)} ({ago} ago)"
    out.print(times)
    if command.error is not None:
        out.print(f"  [red]{shown(command.error)}[/]", soft_wrap=True)
    if command.warnings:
        out.print(f"  {_number(command.warnings, 'warning')}, see the log")


def _print_stage(out: Console, stage: StageState) -> None:
    line = render(stage.task(), stage.counts, stage.seconds, stage.speed())
    out.print(f"  {shown(line)}", soft_wrap=True)
    if stage.setup is not None:
        setup = stage.setup
        out.print(
            f"  {_number(setup.embedders, 'embedder')} on {shown(setup.device)},"
            f" {_number(setup.workers, 'worker')}, {_number(setup.batch_size, 'pair')} a batch",
            soft_wrap=True,
        )
    if (found := stage.bottleneck()) is not None:
        out.print(f"  {shown(str(found))}", soft_wrap=True)
    if (split := split_batches(stage.counts)) is not None:
        out.print(f"  [yellow]warning:[/] {shown(split)}", soft_wrap=True)


def _print_shards(out: Console, status: Status, total: int) -> None:
    told = f"{shown(status.run_dir)}: {status.scored} of {total} {status.items} scored"
    if status.unreadable:
        told += f", {len(status.unreadable)} unreadable"
    if status.to_do:
        told += f", {status.to_do} to do"
    out.print(told, soft_wrap=True)
    if status.counts is None:
        return
    out.print(counts_table(status.counts, "scored so far"))
    for reason in status.counts.rejected:
        meaning = REJECTIONS.get(reason, "not known to this version of curate")
        out.print(f"  {shown(reason)}: {meaning}", style="dim", soft_wrap=True)


def _print_alarms(out: Console, alarms: Sequence[Mapping[str, str]]) -> None:
    if not alarms:
        return
    out.print(f"[red]{_number(len(alarms), 'alarm')}:[/]")
    if len(alarms) > MAX_LISTED:
        out.print(f"  the last {MAX_LISTED}; the log has all")
    for alarm in alarms[-MAX_LISTED:]:
        out.print(f"  {_utc(alarm['time'])}  {shown(alarm['text'])}", soft_wrap=True)


def _print_list(out: Console, title: str, lines: Sequence[tuple[str, str]], number: int) -> None:
    if not lines:
        return
    out.print(f"{title}:")
    for shard, text in lines[:MAX_LISTED]:
        out.print(f"  {shown(shard)}: {shown(text)}", soft_wrap=True)
    if number > MAX_LISTED:
        out.print(f"  and {number - MAX_LISTED} more, see state/")


def _print_subsets(out: Console, status: Status) -> None:
    for subset in status.subsets:
        if subset.counts is None:
            out.print(f"subset {shown(subset.name)}: being selected")
            continue
        ended = "" if subset.finished or not subset.written else " so far"
        title = f"subset {subset.name}, {subset.written} filtered shards{ended}"
        out.print(counts_table(subset.counts, title))


def _print_outputs(out: Console, outputs: Mapping[str, Files]) -> None:
    for folder, files in outputs.items():
        out.print(f"  {shown(folder)}/   {_number(files.files, 'file')}, {size_of(files.bytes)}")


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def size_of(number: int) -> str:
    """Bytes as people read them, in powers of a thousand."""
    value, unit = float(number), UNITS[0]
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{number:,} B" if unit == "B" else f"{value:.1f} {unit}"


def _utc(moment: str) -> str:
    """A moment of the log without its milliseconds."""
    return shown(moment.partition(".")[0].rstrip("Z").replace("T", " ") + " UTC")
