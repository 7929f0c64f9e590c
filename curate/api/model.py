"""A contrastive model: pictures and captions to embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from curate.api.pairs import items_of, picture_of, without_places
from curate.config import ModelConfig
from curate.encoder import Encoder, ModelInfo
from curate.errors import ConfigError
from curate.in_process import InProcess, batch_plan
from curate.samples import SamplePolicy
from curate.schema import CLIP_SCORE, IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS
from curate.scorer import Scorer
from curate.scoring import ShardScores, score_samples

Float32 = npt.NDArray[np.float32]

OF_A_REFERENCE: Final = (IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS, CLIP_SCORE)
"""Columns that the engine always has, and that a model alone leaves empty."""


@dataclass(frozen=True, eq=False)
class EmbeddedPairs:
    """Embeddings of pairs; `images, texts = pairs` unpacks them.

    Attributes:
        images: float32 [n, d], L2-normalised; NaN where a pair was rejected.
        texts: likewise, row by row.
        table: one row per pair: `status` (`ok` or the reason of a rejection), `error`,
            `image_norm`, `text_norm`, and what is known without a model, such as `width`.
    """

    images: Float32
    texts: Float32
    table: pa.Table

    def __iter__(self) -> Iterator[Float32]:
        return iter((self.images, self.texts))

    @property
    def status(self) -> list[str]:
        """`ok`, or why a pair was rejected, row by row."""
        found: list[str] = self.table["status"].to_pylist()
        return found


class Model:
    """A loaded model. Pickled, it is its name: whoever unpickles it loads it again.

    Args:
        config: which, and on what device.
        limits: what a pair may be; beyond, it is rejected.

    Raises:
        ModelError: it cannot be loaded.
    """

    def __init__(self, config: ModelConfig, limits: SamplePolicy | None = None) -> None:
        self._config = config
        self._limits = limits or SamplePolicy()
        self._encoder = Encoder(config)

    def __reduce__(self) -> tuple[type[Model], tuple[ModelConfig, SamplePolicy]]:
        return type(self), (self._config, self._limits)

    def __repr__(self) -> str:
        info = self.info
        return f"<curate.Model {info.name!r}, {info.dim} dimensions, {info.link}, on {info.device}>"

    @property
    def info(self) -> ModelInfo:
        """Name, fingerprint of the weights, link, temperature, width, geometry, device."""
        return self._encoder.info

    def embed(
        self, images: Sequence[Any], texts: Sequence[str | None], *, batch_size: int | None = None
    ) -> EmbeddedPairs:
        """Embed pairs, decoded, resized and tokenised as the commands do.

        A pair that cannot be used has a status that says why, and NaN for embeddings.

        Args:
            images: PIL images, encoded bytes, paths, uint8 arrays [height, width, 3], or mappings
                with `bytes` or `path`.
            texts: captions, row by row.
            batch_size: pairs at once; by default 32 on a CPU, 256 on a GPU. It changes values by
                rounding only.

        Raises:
            ValueError: there are more images than texts, or fewer.
            TypeError: something is no image or no text at all.
        """
        rows = self.score(images, texts, None, (), batch_size)
        image, text = rows.embeddings(np.float32)
        if image.shape[1] == 0:  # of no pair is there an embedding to take the width from
            image = text = np.full((len(images), self.info.dim), np.nan, np.float32)
        table = without_places(rows.to_table())
        return EmbeddedPairs(image, text, table.drop_columns(list(OF_A_REFERENCE)))

    def score(
        self,
        images: Sequence[Any],
        texts: Sequence[Any],
        scorer: Scorer | None,
        costly: tuple[str, ...],
        batch_size: int | None,
    ) -> ShardScores:
        """Run pairs through the engine; see `curate.Scorer` for scores."""
        chosen = {} if batch_size is None else {"batch_size": batch_size}
        plan = batch_plan(
            self._encoder, self._limits.image_pixels, costly=costly, decode=picture_of, **chosen
        )
        client = InProcess(self._encoder, scorer)
        return score_samples(items_of(images, texts, self._limits), "", plan, client)


def load_model(
    name: str = "embedded",
    *,
    pretrained: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    link: Literal["auto", "softmax", "sigmoid"] = "auto",
    resampling: Literal["torch", "pillow", "scaled"] = "torch",
) -> Model:
    """Load a CLIP or SigLIP model. The arguments are those under `model` in the configuration.

    Args:
        name: `embedded` (the small one inside the package), an open_clip name, `hf-hub:ORG/REPO`,
            or `local-dir:PATH`.
        pretrained: tag or checkpoint file, with an open_clip name.
        device: `auto` takes CUDA where there is one.
        precision: `auto` is float32 on a CPU, bfloat16 on a GPU.
        link: `auto` asks the model.
        resampling: who resizes pictures.

    Raises:
        ConfigError: arguments do not go together.
        ModelError: it cannot be loaded.
    """
    try:
        config = ModelConfig(
            name=name,
            pretrained=pretrained,
            device=device,
            precision=precision,
            link=link,
            resampling=resampling,
        )
    except ValidationError as exc:
        raise ConfigError(f"load_model: {problems_of(exc)}") from exc
    return Model(config)


def problems_of(error: ValidationError) -> str:
    """What is wrong with arguments, on one line."""
    told = error.errors(include_url=False)
    places = (".".join(map(str, one["loc"])) for one in told)
    return "; ".join(
        f"{place}: {one['msg'].removeprefix('Value error, ')}" if place else one["msg"]
        for place, one in zip(places, told, strict=True)
    )
