"""The Ray actors that embed: embedders hold the model, workers read, decode and commit."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import torch
from ray.exceptions import ObjectLostError, RayError

from curate.config import Config, ModelConfig
from curate.encoder import Embeddings, Encoder, ModelInfo, Pixels, SharedModel
from curate.errors import CurateError, ResourceError, ShardError, WorkerError
from curate.held import Held, read_held
from curate.loading import Tokens, load_tokenizer
from curate.manifest import RunDir
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.pipeline.attempts import attempt
from curate.pipeline.embed_client import LeastLoaded, Watched, noted
from curate.pipeline.light import Batch, describe_root, shards_of, tell
from curate.pipeline.metrics import BATCH_SECONDS, SHARD_SECONDS, Exporter
from curate.pipeline.sample_stage import sampled
from curate.samples import SamplePolicy
from curate.schema import IMAGE_NORM, TEXT_NORM
from curate.scorer import Scorer
from curate.scoring import BatchPlan, Float32, ModelOutput
from curate.shard_tasks import ScoreTask, embed_chosen, score_shard
from curate.shards import Shard

LOGGER: Final = logging.getLogger(__name__)

BATCHES_IN_FLIGHT: Final = 3
"""Per worker: one in the model, one on its way, one waiting. More only fills the object store."""


@dataclass(frozen=True)
class ReferenceHandle:
    """The broadcast Reference, and the files to read it from should the object be lost.

    The object reference travels inside a tuple, so that Ray passes it on instead of fetching it
    for every call.
    """

    identity: str
    objects: tuple[Any, ...]
    store: Store
    folder: str
    config: Config

    def fetch(self) -> Held:
        """Fetch the Reference and what goes with it, from the object store or from the files."""
        try:
            fetched: Held = ray.get(self.objects[0])
        except ObjectLostError:
            return read_held(self.store, self.folder, self.config)
        return fetched

    def scorer(self, device: str) -> Scorer:
        """Build the scorer on a device."""
        return self.fetch().scorer(device)


class Embedder:
    """Holds the model. A restarted actor loads it again at its first batch."""

    def __init__(self, config: ModelConfig, threads: int, shared: tuple[Any, ...] = ()) -> None:
        """Wait for the first batch.

        Args:
            config: of the model.
            threads: of torch.
            shared: the object of the model that another embedder loaded, if there is one: Ray
                brings it to each node once, and embedders on CPUs compute from those very pages.
        """
        torch.set_num_threads(threads)
        self._config = config
        self._shared = shared
        self._encoder: Encoder | None = None
        self._scorer: tuple[str, Scorer] | None = None
        # Calls may overlap on a GPU, and two models may not fit.
        self._loading = threading.Lock()
        self._exporter = Exporter("score")

    def info(self) -> ModelInfo:
        """Load the model if need be and describe it. Raises ModelError."""
        return self._loaded().info

    def share(self) -> SharedModel:
        """Load the model if need be, for others to take over. Raises ModelError."""
        return self._loaded().share()

    def _loaded(self) -> Encoder:
        with self._loading:
            if self._encoder is None:
                self._encoder = Encoder(self._config, self._fetch())
            return self._encoder

    def _fetch(self) -> SharedModel | None:
        if not self._shared:
            return None
        try:
            found: SharedModel = ray.get(self._shared[0])
        except RayError:  # its node is gone; the files are still where they were
            LOGGER.warning("the shared model is lost: reading its files", exc_info=True)
            return None
        return found

    def _scoring(self, reference: ReferenceHandle, device: str) -> Scorer:
        with self._loading:
            if self._scorer is None or self._scorer[0] != reference.identity:
                self._scorer = reference.identity, reference.scorer(device)
            return self._scorer[1]

    def embed(self, pixels: Pixels, tokens: Tokens, watched: Watched | None = None) -> ModelOutput:
        """Embed a batch; no scores but the norms. Raises ResourceError."""
        encoder = self._loaded()
        with noted(watched):
            embeddings = _encode(encoder, pixels, tokens)
        norms = {IMAGE_NORM: embeddings.image_norm, TEXT_NORM: embeddings.text_norm}
        return ModelOutput(
            scores={name: _host(values) for name, values in norms.items()},
            image=_host(embeddings.image),
            text=_host(embeddings.text),
        )

    def score(
        self,
        pixels: Pixels,
        tokens: Tokens,
        reference: ReferenceHandle,
        keep_embeddings: bool,
        watched: Watched | None = None,
    ) -> ModelOutput:
        """Embed and score a batch; embeddings return as float16, and only if asked for.

        Raises ResourceError.
        """
        encoder = self._loaded()
        scorer = self._scoring(reference, encoder.info.device)
        with noted(watched), self._exporter.timed(BATCH_SECONDS):
            embeddings = _encode(encoder, pixels, tokens)
            scores = scorer(embeddings.image, embeddings.text)
            scores |= {IMAGE_NORM: embeddings.image_norm, TEXT_NORM: embeddings.text_norm}
            return ModelOutput(
                scores={name: _host(values) for name, values in scores.items()},
                image=_host(embeddings.image.half()) if keep_embeddings else None,
                text=_host(embeddings.text.half()) if keep_embeddings else None,
            )


def _encode(encoder: Encoder, pixels: Pixels, tokens: Tokens) -> Embeddings:
    try:
        return encoder.encode(pixels, tokens)
    except torch.OutOfMemoryError as exc:
        raise ResourceError(
            f"the device ran out of memory with a batch of {len(pixels)} pairs ({exc}); lower"
            " compute.batch_size, or use a GPU with more memory"
        ) from exc


def _host(values: torch.Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = values.cpu().numpy()
    return array


@dataclass(frozen=True)
class WorkerJob:
    """What every worker that embeds needs."""

    run: Store
    model: ModelInfo
    policy: SamplePolicy
    batch_size: int
    embedders: tuple[Any, ...]
    tally: Any


@dataclass(frozen=True)
class ScoreJob:
    """What scoring needs besides."""

    worker: WorkerJob
    identity: str
    reference: ReferenceHandle
    save_embeddings: bool
    preview: Node | None


@dataclass(frozen=True)
class SampleJob:
    """What taking the Reference's sample needs besides."""

    worker: WorkerJob
    seed: int
    threshold: int
    costly: tuple[str, ...]


def _task(job: WorkerJob, costly: tuple[str, ...] = (), **fields: Any) -> ScoreTask:
    plan = BatchPlan(
        pixels=job.model.pixels,
        tokenize=load_tokenizer(job.model.name, job.model.context_length),
        max_pixels=job.policy.image_pixels,
        batch_size=job.batch_size,
        depth=BATCHES_IN_FLIGHT,
        costly=costly,
    )
    return ScoreTask(policy=job.policy, plan=plan, **fields)


class ScoreWorker:
    """Scores and commits shards; one row per shard in, one row per shard out."""

    def __init__(self, job: ScoreJob) -> None:
        self._job = job
        self._exporter = Exporter("score")
        self._run = RunDir(job.worker.run)
        self._task = _task(
            job.worker,
            job.reference.config.costly_scores,
            identity=job.identity,
            save_embeddings=job.save_embeddings,
            preview=job.preview,
        )

    def __call__(self, batch: Batch) -> Batch:
        """Score the shards of a batch; an unreadable one is recorded and the rest goes on."""
        errors = [self._score(shard) for shard in shards_of(batch)]
        return {"id": batch["id"], "error": np.array(errors, dtype=object)}

    def _score(self, shard: Shard) -> str:
        job = self._job.worker
        client = LeastLoaded(
            shard,
            job.embedders,
            job.tally,
            "score",
            self._job.reference,
            self._job.save_embeddings,
        )
        try:
            with attempt(job.tally, shard.id, shard.url), self._exporter.timed(SHARD_SECONDS):
                counts = score_shard(
                    self._run, shard, self._task, client, lambda c: tell(job.tally, c)
                )
        except ShardError as exc:
            self._run.fail(shard, str(exc))
            job.tally.add.remote({"shards": 1, "failed": 1})
            return str(exc)
        except CurateError:
            raise
        except Exception as exc:
            raise WorkerError(f"{shard.url}: a worker failed: {describe_root(exc)}") from exc
        job.tally.add.remote({"shards": 1})
        job.tally.finish.remote(counts)
        return ""


class SampleWorker:
    """Embeds the chosen samples of shards."""

    def __init__(self, job: SampleJob) -> None:
        self._job = job
        self._task = _task(job.worker, job.costly, identity="")

    def __call__(self, batch: Batch) -> Batch:
        """Return, per shard, an Arrow stream of its rows and an npz of its embeddings."""
        return sampled(batch, shards_of(batch), self._sample)

    def _sample(self, shard: Shard) -> tuple[pa.Table, Float32, Float32]:
        job, worker = self._job, self._job.worker
        with attempt(worker.tally, shard.id, shard.url):
            scores = embed_chosen(
                shard,
                self._task,
                job.seed,
                job.threshold,
                LeastLoaded(shard, worker.embedders, worker.tally, "embed"),
                lambda c: tell(worker.tally, c),
            )
        worker.tally.add.remote({"shards": 1})
        return scores.to_table(), *scores.embeddings(np.float32)
