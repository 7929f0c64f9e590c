"""Mapping rows through pools of worker actors, and what is shown and raised meanwhile."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from curate.alarms import Watch
from curate.bottleneck import split_batches
from curate.errors import CurateError, WorkerError
from curate.pipeline.light import UNKNOWN_SIZE, Tally, causes, describe_root
from curate.pipeline.placing import near_driver
from curate.progress import Task, progress
from curate.run_log import ALARM
from curate.shards import Shard

LOGGER: Final = logging.getLogger(__name__)

MAX_ROWS_PER_BLOCK: Final = 16
"""Rows per Ray Data block at most: a block costs the driver milliseconds, whatever it holds."""

MAX_BLOCKS: Final = 20_000
"""Beyond, blocks grow instead: 1.3 million shards in blocks of 16 took 112 s of the driver and
1.4 GB before the first result was there, in blocks of 64 a quarter of the time."""

BLOCKS_PER_WORKER: Final = 8
"""Blocks per worker at least, before blocks grow: the last ones should not be waited for long."""

ACTOR_DEATHS_TOLERATED: Final = 10
"""Nodes may be preempted while a worker starts; zero, Ray's default, would fail the job."""

ADVICE: Final = "\nFailed to apply UDF transform"
"""Ray Data appends how to configure retries to the message of whatever a worker raises."""

TERMINAL_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
"""Ray colours the tracebacks of its workers."""

TALLY_SECONDS: Final = 5.0
"""How long the progress line waits for its counts before it repeats the last ones."""


def block_count(rows: int, workers: int) -> int:
    """How many blocks `rows` rows are cut into: single rows, until there are many per worker."""
    largest = max(MAX_ROWS_PER_BLOCK, -(-rows // MAX_BLOCKS))
    per_block = min(largest, max(1, rows // (workers * BLOCKS_PER_WORKER)))
    return -(-rows // per_block)


def map_rows(
    rows: Sequence[dict[str, Any]],
    worker: Callable[..., Any],
    arguments: dict[str, Any],
    workers: int,
    cpus: float,
) -> Iterator[dict[str, Any]]:
    """Map rows through a pool of actors; results arrive in any order.

    Args:
        rows: at least one.
        worker: a class whose instances map a batch of rows.
        arguments: of its constructor.
        workers: actors, at most one per row.
        cpus: logical CPUs of each.

    Raises:
        CurateError: what a worker raised, or a WorkerError for what was not raised on purpose.
    """
    context = DataContext.get_current()
    context.max_consecutive_actor_init_deaths = ACTOR_DEATHS_TOLERATED
    context.raise_original_map_exception = True  # its wrapper loses what it wraps on the way
    context.execution_options.preserve_order = False
    workers = min(workers, len(rows))
    dataset = ray.data.from_items(list(rows), override_num_blocks=block_count(len(rows), workers))
    results = dataset.map_batches(
        worker,
        batch_size=None,
        # A block waits in the driver until an actor is free: none queues behind a slow shard.
        compute=ActorPoolStrategy(
            min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
        ),
        num_cpus=cpus,
        fn_constructor_kwargs=arguments,
    )
    with unwrapped():
        yield from results.iter_rows()


@contextmanager
def unwrapped() -> Iterator[None]:
    """Turn the wrapper of a remote error into the error that curate raised.

    Raises:
        WorkerError: it was not raised on purpose: a bug, or a process that was killed for good.
    """
    try:
        yield
    except RayError as exc:
        chain = [cause for cause in causes(exc) if not isinstance(cause, RayError)]
        for cause in chain:
            if isinstance(cause, CurateError) and not isinstance(cause, WorkerError):
                if cause.args and isinstance(cause.args[0], str):
                    cause.args = (_own_words(cause.args[0]), *cause.args[1:])
                raise cause from exc
        told = [str(cause) for cause in chain if isinstance(cause, WorkerError)]
        headline = _own_words(told[0] if told else f"a worker failed: {describe_root(exc)}")
        raise WorkerError(
            f"{headline}\nFinished shards are kept: run again to go on. If it fails again, report"
            f" this:\n{TERMINAL_COLOUR.sub('', str(exc))}"
        ) from exc


def _own_words(message: str) -> str:
    return message.partition(ADVICE)[0]


def shard_rows(shards: Sequence[Shard]) -> list[dict[str, Any]]:
    """One Ray Data row per shard."""
    return [
        {"id": s.id, "url": s.url, "size": UNKNOWN_SIZE if s.size is None else s.size}
        for s in shards
    ]


class _Alarms:
    """Warns of every alarm once, as soon as it is known."""

    def __init__(self, tally: Any) -> None:
        self._tally = tally
        self._split_told = False
        self.told = 0

    def warn(self) -> None:
        try:
            alarms = ray.get(self._tally.alarms.remote(), timeout=TALLY_SECONDS)
        except (RayError, TimeoutError):
            LOGGER.debug("no alarms", exc_info=True)  # nor are they worth a run
            return
        for alarm in alarms[self.told :]:
            LOGGER.warning("alarm: %s", alarm, extra={"event": ALARM})
        self.told = max(self.told, len(alarms))

    def warn_of_splits(self, counts: Mapping[str, int]) -> None:
        """Warn of batches that were halved, once; the stage's counts have the rest."""
        text = split_batches(counts)
        if text is not None and not self._split_told:
            LOGGER.warning("%s", text)
            self._split_told = True


@contextmanager
def tallied(task: Task, watch: Watch | None = None) -> Iterator[Any]:
    """Show a progress line while the block runs; yields the actor that workers report to.

    Args:
        task: what the line is about.
        watch: looks at finished shards; its alarms are warned of as they come.
    """
    actor = ray.remote(Tally).options(
        num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=near_driver()
    )
    tally = actor.remote(task.name, task.total, watch)
    alarms = _Alarms(tally)
    last: dict[str, int] = {}

    def poll() -> Mapping[str, int]:
        try:
            last.update(ray.get(tally.snapshot.remote(), timeout=TALLY_SECONDS))
        except (RayError, TimeoutError):
            return last  # a progress line is not worth a run
        alarms.warn_of_splits(last)
        if last.get("alarms", 0) > alarms.told:
            alarms.warn()
        # A shard that is repeated, because its worker died, reports twice.
        return last | {"shards": min(last.get("shards", 0), task.total)}

    try:
        with progress(task, poll):
            yield tally
        alarms.warn()
    finally:
        ray.kill(tally)
