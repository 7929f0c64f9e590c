"""The actor that holds the model: batches in, score columns out."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import Any, Final

import ray
import torch
from ray.exceptions import ObjectLostError, RayError

from curate.batch_size import CPU_BATCH, PROBE_PAIRS, CudaProbe, fitting_batch
from curate.config import Config, ModelConfig
from curate.encoder import Encoder, ModelInfo, Pixels, SharedModel
from curate.errors import ResourceError
from curate.halving import Compute, in_halves
from curate.held import Held, read_held
from curate.in_process import embedding, scoring
from curate.loading import Tokens, import_models
from curate.outputs import Store
from curate.pipeline.embed_client import Watched, noted
from curate.pipeline.lanes import Lanes, finish_loading
from curate.pipeline.metrics import BATCH_SECONDS, Exporter
from curate.scorer import Scorer
from curate.scoring import ModelOutput
from curate.work_times import EMBEDDING, SPLIT, BusyTime

LOGGER: Final = logging.getLogger(__name__)


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
        self._lanes = Lanes()
        self._busy = BusyTime()
        self._split = 0
        self._warned = False

    def info(self) -> ModelInfo:
        """Load the model if need be and describe it. Raises ModelError."""
        return self._loaded().info

    def tokenizer(self) -> bytes | None:
        """Load the model if need be; its tokenizer, for `thaw_tokenizer`. Raises ModelError."""
        return self._loaded().tokenizer()

    def share(self) -> SharedModel:
        """Load the model if need be, for others to take over. Raises ModelError."""
        return self._loaded().share()

    def fitting_batch(self, embedders: int, at_once: int) -> int:
        """Pairs per batch that the device has room for; see `curate.batch_size.fitting_batch`.

        Raises:
            ModelError: the model cannot be loaded.
            ResourceError: not even a few pairs fit.
        """
        encoder = self._loaded()
        if encoder.info.device == "cpu":
            return CPU_BATCH
        try:
            return fitting_batch(CudaProbe(encoder, embedders), embedders, at_once)
        except torch.OutOfMemoryError as exc:
            raise ResourceError(
                f"the device has no room for a batch of {max(PROBE_PAIRS)} pairs beside the model"
                f" ({exc}); lower compute.embedders_per_gpu, leave the device to this run, use one"
                " with more memory, or give compute.batch_size as a number"
            ) from exc

    def _loaded(self) -> Encoder:
        with self._loading:
            if self._encoder is None:
                self._encoder = Encoder(self._config, self._fetch())
                finish_loading(self._encoder.info.device)
            return self._encoder

    def _fetch(self) -> SharedModel | None:
        if not self._shared:
            return None
        import_models()  # while the other loads them: what is shared needs their classes
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
                finish_loading(device)
            return self._scorer[1]

    def embed(self, pixels: Pixels, tokens: Tokens, watched: Watched | None = None) -> ModelOutput:
        """Embed a batch; no scores but the norms. Raises ResourceError."""
        compute = embedding(self._loaded())
        with noted(watched):
            return self._computed(compute, pixels, tokens)

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
        compute = scoring(encoder, scorer, keep_embeddings=keep_embeddings)
        with noted(watched), self._exporter.timed(BATCH_SECONDS):
            return self._computed(compute, pixels, tokens)

    def _computed(self, compute: Compute, pixels: Pixels, tokens: Tokens) -> ModelOutput:
        with self._busy.busy(), self._lanes.lane(self._loaded().info.device):
            output = in_halves(compute, pixels, tokens, self._note_split)
        with self._loading:
            split, self._split = self._split, 0
        return replace(output, spent={EMBEDDING: self._busy.take(), SPLIT: split})

    def _note_split(self, pairs: int, said: str) -> None:
        with self._loading:
            self._split += 1
            if not self._warned:
                LOGGER.warning("a batch of %d pairs is halved: %s", pairs, said)
            self._warned = True
