"""One case through the real reading path, and what must hold whatever its bytes are."""

from __future__ import annotations

import io
import random
import shutil
import sys
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from curate.config import parse_config
from curate.embedding_pools.layouts import list_parts
from curate.embedding_pools.source import Source, find_source
from curate.embedding_pools.task import PartTask, score_part
from curate.encoder import Pixels
from curate.errors import ConfigError, ShardError
from curate.images import decode
from curate.loading import Tokenize, Tokens, load_tokenizer
from curate.manifest import Counts, RunDir, counts_of_statuses
from curate.outputs import Store
from curate.pixels import PixelSpec
from curate.samples import SamplePolicy
from curate.schema import OK, SCORE_COLUMNS
from curate.scorer import Scorer
from curate.scoring import BatchPlan, ModelOutput
from curate.shard_tasks import ScoreTask, score_shard
from curate.shards import list_shards
from curate.terminal import printable
from fuzzing import corpus, parts, tars

PIXELS: Final = PixelSpec((64, 64))
CONTEXT: Final = 77
PART_SHARE: Final = 0.15
"""Of the cases, how many are parts of pools of metadata."""

FORBIDDEN: Final = (
    "pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork",
    "socket.connect",
)  # fmt: skip
WRITING: Final = {
    "os.mkdir": 0, "os.remove": 0, "os.rename": 1, "os.symlink": 1, "os.link": 1, "os.rmdir": 0,
    "os.truncate": 0, "shutil.rmtree": 0,
}  # fmt: skip
"""Audited events that change the file system -> which argument says where."""


class ViolationError(Exception):
    """Something that must not happen did."""


@dataclass(frozen=True)
class Result:
    """What became of one case.

    Attributes:
        case: its number.
        mutations: what was done to its bytes.
        outcome: `read`, `damaged` (a tar) or `refused`; empty after a violation.
        statuses: samples by status.
        violation: what must not have happened, or nothing.
    """

    case: int
    mutations: tuple[str, ...]
    outcome: str
    statuses: dict[str, int]
    violation: str = ""


@dataclass(frozen=True)
class Case:
    """The input of a case: files below its folder, a shard or a part."""

    files: dict[str, bytes]
    mutations: tuple[str, ...]
    layout: str

    @property
    def is_shard(self) -> bool:
        """Whether it is a tar."""
        return self.layout == "shard"


def make_case(seed: int, number: int) -> Case:
    """Case `number` of a seed: the same bytes each time over the same samples."""
    rng = random.Random(f"{seed}/{number}")
    if rng.random() < PART_SHARE:
        layout = rng.choice(("datacomp", "clip-retrieval"))
        files, told = parts.mutated_part(rng, layout)
        return Case(files, told, layout)
    mutated = tars.mutated_shard(rng, corpus.samples(), corpus.pictures())
    return Case({"0000.tar": mutated.data}, mutated.mutations, "shard")


# --- what stands for the model ----------------------------------------------------------------


class FakeEmbedder:
    """An EmbedClient whose scores are sums over the batch's arrays, hence finite."""

    def submit(self, pixels: Pixels, tokens: Tokens) -> ModelOutput:
        """Compute at once."""
        image = pixels.reshape(len(pixels), -1).sum(1, dtype=np.float64).astype(np.float32) + 1
        text = tokens.sum(1, dtype=np.float64).astype(np.float32) + 1
        return ModelOutput(dict.fromkeys(SCORE_COLUMNS, image + text))

    def collect(self, handle: ModelOutput) -> ModelOutput:
        """What `submit` computed."""
        return handle


def fake_scorer(image: torch.Tensor, text: torch.Tensor) -> dict[str, torch.Tensor]:
    """Scores of embeddings [n, d] as a Reference would give them: float32 [n] each."""
    return {name: (image * text).sum(1) for name in SCORE_COLUMNS[:3]}


# --- the sandbox ------------------------------------------------------------------------------


class Sandbox:
    """A folder for one process: a case's input, its run directory, and nothing else.

    Watches, by Python's audit events, that nothing is written elsewhere and nothing is executed,
    unpickled or connected to while a case runs. A hook cannot be removed: make one per process.
    """

    def __init__(self, folder: Path) -> None:
        self.input, self.run = folder / "deep" / "down" / "input", folder / "deep" / "run"
        self._folder = folder
        self._watching = False
        self._seen: list[str] = []
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in FORBIDDEN:
            self._seen.append(f"{event}{arguments!r}"[:300])
        elif event == "open" and _writes(arguments):
            self._check(arguments[0], event)
        elif event in WRITING:
            self._check(arguments[WRITING[event]], event)

    def _check(self, path: object, event: str) -> None:
        if isinstance(path, bytes):
            path = path.decode(errors="replace")
        if isinstance(path, str | Path) and not Path(path).is_relative_to(self.run):
            self._seen.append(f"{event} {str(path)[:200]!r}")

    def prepare(self, case: Case) -> None:
        """Empty the folder and put the case's files into it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for name, data in case.files.items():
            path = self.input / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def watched(self, case: Case) -> tuple[str, dict[str, int]]:
        """Run the case. Raises ViolationError, and whatever escapes from curate."""
        self._seen.clear()
        self._watching = True
        try:
            found = check_shard(self, case) if case.is_shard else check_part(self, case)
        finally:
            self._watching = False
        if self._seen:
            raise ViolationError("; ".join(self._seen[:5]))
        expected = {self.input / name for name in case.files}
        strays = [
            str(path.relative_to(self._folder))
            for path in self._folder.rglob("*")
            if path.is_file() and path not in expected and not path.is_relative_to(self.run)
        ]
        if strays:
            raise ViolationError(f"files outside of the run directory: {strays[:5]}")
        return found


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(int(flags or 0) & 0o3)  # O_WRONLY or O_RDWR


def ready_sandbox(folder: Path) -> Sandbox:
    """A sandbox, after sound cases: what is imported or read once is no case's doing."""
    sandbox = Sandbox(folder)
    tokenizer()
    sound = [Case(parts.sound(layout), (), layout) for layout in ("datacomp", "clip-retrieval")]
    shard = tars.write_tar(random.Random(0), [*corpus.samples()[0]])
    for case in (*sound, Case({"0000.tar": shard}, (), "shard"), make_case(0, -1)):
        run_case(sandbox, -1, case)
    for picture in corpus.pictures():
        decode(picture, SamplePolicy().image_pixels)
    return sandbox


def run_case(sandbox: Sandbox, number: int, case: Case) -> Result:
    """Run one case; what escapes is its violation."""
    try:
        sandbox.prepare(case)
        outcome, statuses = sandbox.watched(case)
    except Exception as exc:  # noqa: BLE001 - whatever escapes is what is looked for
        told = "".join(traceback.format_exception(exc))[-3000:]
        return Result(number, case.mutations, "", {}, told)
    return Result(number, case.mutations, outcome, statuses)


# --- shards -----------------------------------------------------------------------------------


_tokenizers: list[Tokenize] = []


def tokenizer() -> Tokenize:
    """The tokenizer of the model in the package: hostile captions go through it."""
    if not _tokenizers:
        _tokenizers.append(load_tokenizer("embedded", CONTEXT))
    return _tokenizers[0]


def check_shard(sandbox: Sandbox, case: Case) -> tuple[str, dict[str, int]]:
    """Score a shard as a worker does. Raises ViolationError."""
    run, policy = RunDir(Store(str(sandbox.run))), SamplePolicy()
    plan = BatchPlan(PIXELS, tokenizer(), policy.image_pixels, batch_size=3)
    (shard,) = list_shards(str(sandbox.input / "0000.tar"))
    try:
        counts = score_shard(
            run, shard, ScoreTask("fuzz", policy, plan), FakeEmbedder(), lambda counts: None
        )
    except ShardError as exc:
        check_text(str(exc))
        if run.committed():
            raise ViolationError("refused, and committed") from exc
        return "refused", {}
    table = _table_of(run, shard.id)
    check_rows(table, counts)
    marker = run.require_marker(shard.id)
    size = len(case.files["0000.tar"])
    if marker.size != size:
        raise ViolationError(f"{marker.size} bytes read of {size}")
    check_ranges(table, size)
    return "damaged" if marker.damage else "read", dict(Counter(table["status"].to_pylist()))


def _table_of(run: RunDir, shard: str) -> pa.Table:
    return run.store.read_table(f"scores/{shard}.parquet")


def check_rows(table: pa.Table, counts: Counts) -> None:
    """Rows, their indices, statuses, scores and the counts agree. Raises ViolationError."""
    if table["index"].to_pylist() != list(range(counts.read)):
        raise ViolationError(f"{table.num_rows} rows of {counts.read} read, or not in order")
    statuses = table["status"].to_pylist()
    if counts_of_statuses(statuses) != counts:
        raise ViolationError(f"the rows say {Counter(statuses)}, the counts {counts}")
    if statuses.count(OK) + sum(counts.rejected.values()) != counts.read:
        raise ViolationError(f"read is not ok + rejected: {counts}")
    for name in SCORE_COLUMNS:
        values = table[name].to_pylist()
        for status, value in zip(statuses, values, strict=True):
            if (status == OK) != (value is not None and bool(np.isfinite(value))):
                raise ViolationError(f"{name} is {value} in a row that is {status}")
    for error, status in zip(table["error"].to_pylist(), statuses, strict=True):
        if (error is None) != (status == OK):
            raise ViolationError(f"a row is {status}, its error {error!r}")
        check_text(error or "")


def check_text(text: str) -> None:
    """What an error says is bounded, the same in each run, and hides no lack of memory."""
    if len(text) > 5000:
        raise ViolationError(f"an error of {len(text)} characters")
    if "MemoryError" in text or " at 0x" in text:
        raise ViolationError(f"an error tells of memory: {text[:500]}")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in printable(text)):
        raise ViolationError("control characters would reach a terminal")


def check_ranges(table: pa.Table, size: int) -> None:
    """Byte ranges follow each other inside the file. Raises ViolationError."""
    end = 0
    ranges = zip(table["tar_offset"].to_pylist(), table["tar_size"].to_pylist(), strict=True)
    for offset, length in ranges:
        if offset < end or length < 0 or offset + length > size:
            raise ViolationError(f"bytes {offset} to {offset + length}, after {end}, of {size}")
        end = offset + length


# --- parts ------------------------------------------------------------------------------------


def check_part(sandbox: Sandbox, case: Case) -> tuple[str, dict[str, int]]:
    """Look at a part as the first of its pool, then score it. Raises ViolationError."""
    (part,) = list_parts(str(sandbox.input))
    config = parse_config(
        {"input": {"embeddings": str(sandbox.input)}, "output": {"run_dir": str(sandbox.run)}}
    )
    try:
        source = find_source((part,), config)
    except (ConfigError, ShardError) as exc:
        check_text(str(exc)[:5000])
        return "refused", {}
    run = RunDir(Store(str(sandbox.run)))
    task = PartTask("fuzz", source, (), cast("Scorer", fake_scorer))
    try:
        counts = score_part(run, part, task, lambda counts: None)
    except ShardError as exc:
        check_text(str(exc)[:5000])
        if run.committed():
            raise ViolationError("refused, and committed") from exc
        return "refused", {}
    table = _table_of(run, part.id)
    check_rows(table, counts)
    _check_declared(case, source, counts.read)
    return "read", dict(Counter(table["status"].to_pylist()))


def _check_declared(case: Case, source: Source, read: int) -> None:
    name = parts.PARQUET if source.layout == "datacomp" else parts.METADATA
    declared = pq.ParquetFile(io.BytesIO(case.files[name])).metadata.num_rows
    if declared != read:
        raise ViolationError(f"the footer tells of {declared} rows, {read} were read")
