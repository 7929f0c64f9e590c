"""One shard's samples, in order, through decoding, embedding and scoring, into score columns.

Nothing here knows about Ray: an `EmbedClient` stands for whatever computes a batch, in this
process or on another machine. Batches never mix shards, so that a shard's rows are a function of
the shard alone, and a few of them are in flight at once, so that decoding overlaps the model.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.encoder import Pixels
from curate.errors import AccountingError, SampleError
from curate.images import Picture, decode_picture
from curate.language import english
from curate.loading import Tokenize, Tokens
from curate.manifest import Counts, counts_of_statuses
from curate.pixels import PixelSpec, to_pixels
from curate.samples import Rejection, Sample
from curate.schema import (
    CAPTION_CHARS,
    CAPTION_ENGLISH,
    IMAGE_NORM,
    OK,
    REJECTIONS,
    SAMPLED_CAPTION,
    SCORE_COLUMNS,
    TEXT_NORM,
    scores_schema,
)

Float32 = npt.NDArray[np.float32]
Decode = Callable[[Any, int, PixelSpec], Picture]


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What an embedder returns for a batch of n pairs.

    Attributes:
        scores: column name -> float32 [n]; empty when only embeddings were asked for.
        image, text: [n, d], L2-normalised; None when only scores were asked for.
        spent: what the embedder did since its last answer, as `curate.work_times` counts it.
    """

    scores: dict[str, Float32]
    image: npt.NDArray[Any] | None = None
    text: npt.NDArray[Any] | None = None
    spent: Mapping[str, int] = field(default_factory=dict)


class EmbedClient(Protocol):
    """Computes batches; `submit` returns at once, `collect` waits."""

    def submit(self, pixels: Pixels, tokens: Tokens) -> Any:
        """Start a batch: pixels uint8 [n, h, w, 3], tokens int32 [n, context]."""
        ...

    def collect(self, handle: Any) -> ModelOutput:
        """Wait for a batch."""
        ...


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How samples become batches.

    Attributes:
        pixels: geometry of the image tower.
        tokenize: the model's tokenizer.
        max_pixels: limit on a picture's declared size.
        batch_size: pairs per batch.
        depth: batches in flight before the oldest is waited for.
        costly: the listed ones of COSTLY_COLUMNS; the embedder returns them, but for the language
            of captions, which is told where these are read.
        captions: whether rows keep their captions, cut short: those of the Reference's sample do.
        decode: makes a picture of a sample's image; raises SampleError.
    """

    pixels: PixelSpec
    tokenize: Tokenize
    max_pixels: int
    batch_size: int
    depth: int = 3
    costly: tuple[str, ...] = ()
    captions: bool = False
    decode: Decode = decode_picture


@dataclass(slots=True)
class _Row:
    item: Sample | Rejection
    status: str
    error: str | None = None
    size: tuple[int, int] | None = None
    caption_chars: int | None = None
    caption_words: int | None = None
    caption: str | None = None
    told: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Pending:
    rows: list[int]
    handle: Any


class ShardScores:
    """The rows of one shard while they are being computed."""

    def __init__(self, shard: str, costly: tuple[str, ...] = (), *, captions: bool = False) -> None:
        self._shard = shard
        self._costly = costly
        self._captions = captions
        self._rows: list[_Row] = []
        self._scores: dict[int, dict[str, float]] = {}
        self._embeddings: dict[int, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}

    def reject(self, item: Sample | Rejection, status: str, error: str) -> None:
        """Append a row without scores."""
        self._rows.append(_Row(_light(item), status, error))

    def accept(self, sample: Sample, size: tuple[int, int]) -> int:
        """Append a row whose scores follow; `size` is the picture's width and height."""
        row = _Row(_light(sample), OK, size=size)
        row.caption_chars = len(sample.caption)
        row.caption_words = len(sample.caption.split())
        if self._captions:
            row.caption = sample.caption[:CAPTION_CHARS]
        if CAPTION_ENGLISH in self._costly:
            row.told[CAPTION_ENGLISH] = float(english([sample.caption])[0])
        self._rows.append(row)
        return len(self._rows) - 1

    def fill(self, rows: Sequence[int], output: ModelOutput) -> None:
        """Store the output of a batch whose pairs are these rows.

        Raises:
            AccountingError: it has more or fewer rows than were sent.
        """
        embeddings = {"image": output.image, "text": output.text}
        for name, array in (output.scores | embeddings).items():
            if array is not None and len(array) != len(rows):
                raise AccountingError(f"{len(rows)} pairs were sent, {len(array)} {name} returned")
        faults = _faults(output, len(rows))
        for i, row in enumerate(rows):
            if faults[i]:
                self._rows[row].status = faults[i]
                self._rows[row].error = REJECTIONS[faults[i]]
                continue
            scores = {name: float(v[i]) for name, v in output.scores.items()}
            self._scores[row] = scores | self._rows[row].told
            if output.image is not None and output.text is not None:
                self._embeddings[row] = (output.image[i], output.text[i])

    def counts(self) -> Counts:
        """Read and rejected so far."""
        return counts_of_statuses(row.status for row in self._rows)

    def to_table(self) -> pa.Table:
        """The rows as `scores_schema`, and their captions behind them where they are kept.

        Raises:
            AccountingError: a scored row lacks its scores.
        """
        missing = [i for i, r in enumerate(self._rows) if (r.status == OK) != (i in self._scores)]
        if missing:
            raise AccountingError(f"shard {self._shard}: rows {missing[:5]} have no result")
        names = (*SCORE_COLUMNS, *self._costly)
        rows, none = self._rows, dict.fromkeys(names)
        sizes = [row.size for row in rows]
        scores = [self._scores.get(i, none) for i in range(len(rows))]
        columns: dict[str, list[Any]] = {
            "shard": [self._shard] * len(rows),
            "index": [r.item.index for r in rows],
            "key": [r.item.key for r in rows],
            "uid": [r.item.uid for r in rows],
            "uid_derived": [r.item.uid_derived for r in rows],
            "status": [r.status for r in rows],
            "error": [r.error for r in rows],
            **{name: [s.get(name) for s in scores] for name in names},
            "width": [size[0] if size else None for size in sizes],
            "height": [size[1] if size else None for size in sizes],
            "shorter_side": [min(size) if size else None for size in sizes],
            "aspect_ratio": [max(size) / min(size) if size else None for size in sizes],
            "caption_chars": [r.caption_chars for r in rows],
            "caption_words": [r.caption_words for r in rows],
            "tar_offset": [r.item.tar_offset for r in rows],
            "tar_size": [r.item.tar_size for r in rows],
        }
        table = pa.Table.from_pydict(columns, schema=scores_schema(names))
        if not self._captions:
            return table
        return table.append_column(
            SAMPLED_CAPTION, pa.array([r.caption for r in rows], pa.string())
        )

    def embeddings(self, dtype: npt.DTypeLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Image and text embeddings [n, d] of all rows; NaN where a row has none."""
        first = next(iter(self._embeddings.values()), (np.zeros(0), np.zeros(0)))
        image = np.full((len(self._rows), len(first[0])), np.nan, dtype=dtype)
        text = np.full((len(self._rows), len(first[1])), np.nan, dtype=dtype)
        for row, (u, v) in self._embeddings.items():
            image[row], text[row] = u, v
        return image, text


def _faults(output: ModelOutput, size: int) -> list[str]:
    """The rejection reason of each pair of a batch, empty where its embeddings can be used."""
    finite = np.ones(size, dtype=bool)
    for values in output.scores.values():
        finite &= np.isfinite(values)
    zero = np.zeros(size, dtype=bool)
    for name in (IMAGE_NORM, TEXT_NORM):
        if name in output.scores:
            zero |= output.scores[name] == 0
    reasons = np.where(finite, np.where(zero, "zero_embedding", ""), "nonfinite_embedding")
    return [str(reason) for reason in reasons]


def _light(item: Sample | Rejection) -> Rejection:
    # Rows live as long as the shard, the bytes of a picture only until it is decoded.
    return Rejection(
        index=item.index,
        key=item.key,
        uid=item.uid,
        uid_derived=item.uid_derived,
        status="",
        detail="",
        tar_offset=item.tar_offset,
        tar_size=item.tar_size,
    )


def score_samples(
    items: Iterable[Sample | Rejection],
    shard: str,
    plan: BatchPlan,
    client: EmbedClient,
    observe: Callable[[ModelOutput, int, int], None] = lambda output, read, rejected: None,
) -> ShardScores:
    """Score the samples of one shard, in order, with bounded memory.

    Args:
        items: the shard's samples and rejections, in shard order.
        shard: its id.
        plan: geometry, tokenizer, batch size and depth.
        client: computes the batches.
        observe: called after each batch with its output and the pairs read and rejected since.

    Returns:
        All rows of the shard, embeddings included where the client returns them.
    """
    scores = ShardScores(shard, plan.costly, captions=plan.captions)
    waiting: deque[_Pending] = deque()
    batch: list[tuple[int, Pixels, str]] = []
    seen = [0, 0]

    def send() -> None:
        pixels = np.stack([p for _, p, _ in batch])
        tokens = plan.tokenize([c for _, _, c in batch])
        waiting.append(_Pending([r for r, _, _ in batch], client.submit(pixels, tokens)))
        batch.clear()

    def receive() -> None:
        pending = waiting.popleft()
        output = client.collect(pending.handle)
        scores.fill(pending.rows, output)
        observe(output, *seen)
        seen[:] = [0, 0]

    for item in items:
        prepared = _prepare(item, plan, scores)
        seen[0] += 1
        seen[1] += prepared is None
        if prepared is not None:
            batch.append(prepared)
        if len(batch) == plan.batch_size:
            send()
        if len(waiting) > plan.depth:
            receive()
    if batch:
        send()
    while waiting:
        receive()
    if any(seen):
        observe(ModelOutput({}), *seen)
    return scores


def _prepare(
    item: Sample | Rejection, plan: BatchPlan, scores: ShardScores
) -> tuple[int, Pixels, str] | None:
    if isinstance(item, Rejection):
        scores.reject(item, item.status, item.detail)
        return None
    try:
        picture = plan.decode(item.image, plan.max_pixels, plan.pixels)
        pixels = to_pixels(picture.pixels, plan.pixels, picture.size)
    except SampleError as exc:
        scores.reject(item, exc.status, exc.detail)
        return None
    return scores.accept(item, picture.size), pixels, item.caption


def embeddings_to_bytes(scores: ShardScores, keys: Sequence[str]) -> bytes:
    """Serialise a shard's embeddings as npz: image, text float16 [n, d] and key, row-aligned."""
    image, text = scores.embeddings(np.float16)
    buffer = io.BytesIO()
    np.savez(buffer, image=image, text=text, key=np.array(list(keys), dtype=np.str_))
    return buffer.getvalue()
