"""The Reference: means, metrics and landmarks of a sample of pairs, fitted once and frozen.

Scores of different runs compare exactly when they were made with the same Reference. Its state is
O(d^2), whatever the size of the sample: a few megabytes, broadcast once to every embedder.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.clustering import kmeans_labels
from curate.config import ReferenceConfig
from curate.errors import ConfigError, ReferenceFileError
from curate.numerics.correction import Quadratic, fit_quadratic
from curate.numerics.informativeness import factorise
from curate.numerics.landmarks import Landmarks, fit_landmarks
from curate.numerics.posterior import Link, Posterior, estimate_priors

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

FORMAT_VERSION: Final = 1
MIN_SAMPLES: Final = 2

_NORM_TOLERANCE: Final = 5e-3
"""How far a norm may be from one: float16 embeddings of 1,024 dimensions are off by 1e-3."""

LANDMARKS_PER_WIDTH: Final = 4
"""Landmarks per embedding dimension by default: at the embedded model's own temperature R²
against the exact value is 0.97, at four times the cost of the quadratic form."""


class EmbeddingModel(Protocol):
    """What a Reference needs to know of the model whose embeddings it is fitted on."""

    @property
    def name(self) -> str:
        """As configured."""
        ...

    @property
    def fingerprint(self) -> str:
        """The identity of the weights."""
        ...

    @property
    def link(self) -> Link:
        """How logits become probabilities."""
        ...

    @property
    def logit_scale(self) -> float | None:
        """The trained temperature; None if it is not known."""
        ...

    @property
    def logit_bias(self) -> float:
        """The trained bias."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return a JSON-ready mapping, `name` and `fingerprint` among its keys."""
        ...


@dataclass(frozen=True, slots=True)
class Side:
    """What scoring one modality takes.

    Attributes:
        mean: float64 [d], prior-weighted mean of this modality (ubar of Eq. 5).
        metric: float64 [d, d], covariance of the other modality (G of Eq. 5).
        factor: float32 [d, r], L with L L^T = metric, or the configured share of its trace.
        offset: float32 [r], L^T mean.
        landmarks: clusters of the other modality; None where no score asked for them.
    """

    mean: Float64
    metric: Float64
    factor: Float32
    offset: Float32
    landmarks: Landmarks | None = None


SIDE_ARRAYS: Final = ("mean", "metric", "factor", "offset")
LANDMARK_ARRAYS: Final = tuple(Landmarks.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Reference:
    """Two sides, and a description of where they come from (JSON-ready)."""

    image: Side
    text: Side
    description: dict[str, Any]

    @property
    def identity(self) -> str:
        """The sha256 of the saved file: equal identities give equal scores."""
        return hashlib.sha256(to_bytes(self)).hexdigest()

    @property
    def posterior(self) -> Posterior:
        """The link, scale and bias that it was fitted with."""
        described = self.description
        return Posterior(described["link"], scale=described["scale"], bias=described["bias"])


@dataclass(frozen=True, slots=True)
class SampleEmbeddings:
    """The embeddings that a Reference was fitted on, for the exact Information Gain.

    Attributes:
        image, text: float32 [n, d], L2-normalised, row i of both from pair i.
        image_weights, text_weights: float64 [n], p(i) and p(t), each summing to one.
    """

    image: Float32
    text: Float32
    image_weights: Float64
    text_weights: Float64


@dataclass(frozen=True, slots=True)
class Sample:
    """The pairs that a Reference was fitted on.

    Attributes:
        embeddings: and their priors.
        table: one row per pair, in shard order: identifiers and every rule column.
        captions: string [n], cut to CAPTION_CHARS; None where the pool tells none.
    """

    embeddings: SampleEmbeddings
    table: pa.Table
    captions: pa.ChunkedArray | None = None


def posterior_of(config: ReferenceConfig, model: EmbeddingModel) -> Posterior:
    """Choose link, scale and bias: the paper's s = 1, b = 0, the model's own, or given ones.

    Raises:
        ConfigError: the model's own is asked for and not known.
    """
    chosen = config.temperature
    if chosen == "model":
        if model.logit_scale is None:
            raise ConfigError(
                "reference.temperature is `model`, but nothing tells that of"
                f" {model.name!r}; give the logit scale that it was trained to, a number"
            )
        return Posterior(model.link, scale=model.logit_scale, bias=model.logit_bias)
    if isinstance(chosen, float):
        return Posterior(model.link, scale=chosen, bias=0.0)
    return Posterior(model.link, scale=chosen.scale, bias=chosen.bias)


def fit(
    image: Float32,
    text: Float32,
    config: ReferenceConfig,
    model: EmbeddingModel,
    *,
    landmarks: bool = False,
) -> tuple[Reference, SampleEmbeddings]:
    """Fit a Reference on the embeddings of a sample of pairs (Theorem 4.1, Eq. 5).

    Args:
        image, text: float32 [n, d], L2-normalised, row i of both from pair i.
        config: prior, covariance and temperature.
        model: whose embeddings these are.
        landmarks: whether to cluster both modalities for the landmark scores.

    Returns:
        The Reference, and the embeddings with the priors p(i), p(t).

    Raises:
        ReferenceFileError: fewer than two pairs are left, or an embedding is not normalised: zero,
            NaN or infinite.
    """
    n, d = image.shape
    if n < MIN_SAMPLES:
        raise ReferenceFileError(
            f"only {n} usable pairs were found to fit the Reference on; widen reference.shards or"
            " look at the rejections of these shards"
        )
    for name, rows in (("image", image), ("text", text)):
        _check_normalised(rows, name)
    posterior = posterior_of(config, model)
    if config.prior == "model":
        priors = estimate_priors(image, text, posterior)
    else:
        priors = np.full(n, 1.0 / n), np.full(n, 1.0 / n)
    sample = SampleEmbeddings(image, text, *priors)
    clusters = 0
    if landmarks:
        wanted = config.landmarks
        clusters = LANDMARKS_PER_WIDTH * d if wanted == "auto" else wanted
    description = {
        "format_version": FORMAT_VERSION,
        "model": model.describe() | {"device": None},
        "samples": n,
        "dim": d,
        "prior": config.prior,
        "covariance": config.covariance,
        "link": posterior.link,
        "scale": posterior.scale,
        "bias": posterior.bias,
        "trace_share": config.trace_share,
        "landmarks": min(clusters, n),
        "seed": config.seed,
    }
    own = (image, priors[0]), (text, priors[1])
    image_side, of_image = _side(*own, posterior, config, clusters)
    text_side, of_text = _side(*own[::-1], posterior, config, clusters)
    description["correction"] = {
        "image": {"blend": of_image.blend, "unit": of_image.unit},
        "text": {"blend": of_text.blend, "unit": of_text.unit},
    }
    return Reference(image_side, text_side, description), sample


def _check_normalised(rows: Float32, name: str) -> None:
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))
    if len(wrong):
        raise ReferenceFileError(
            f"{len(wrong)} {name} embeddings of the sample are not normalised; the first, row"
            f" {wrong[0]}, has norm {norms[wrong[0]]}: drop zero and non-finite embeddings and"
            " divide the others by their norms"
        )


def _side(
    queries: tuple[Float32, Float64],
    candidates: tuple[Float32, Float64],
    posterior: Posterior,
    config: ReferenceConfig,
    clusters: int,
) -> tuple[Side, Quadratic]:
    """Fit the side of the queries' modality, given (rows, prior) of both."""
    (u, p_u), (v, p_v) = queries, candidates
    # Only the mean posterior is a prior that the exact value can be taken against.
    known = config.prior == "model"
    quadratic = fit_quadratic(u, v, p_u, p_v, posterior, config.covariance, calibrate=known)
    factor = factorise(quadratic.metric, config.trace_share).matrix
    landmarks = None
    if clusters:
        labels = kmeans_labels(v, p_v, clusters, config.seed)
        landmarks = fit_landmarks(u, v, p_v, labels, posterior)
    side = Side(
        mean=quadratic.mean,
        metric=quadratic.metric,
        factor=factor.astype(np.float32),
        offset=(factor.T @ quadratic.mean).astype(np.float32),
        landmarks=landmarks,
    )
    return side, quadratic


def to_bytes(reference: Reference) -> bytes:
    """Serialise as npz, without pickles; equal References give equal bytes."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, side in (("image", reference.image), ("text", reference.text)):
        arrays |= {f"{name}_{field}": getattr(side, field) for field in SIDE_ARRAYS}
        if side.landmarks is not None:
            arrays |= {
                f"{name}_landmarks_{field}": getattr(side.landmarks, field)
                for field in LANDMARK_ARRAYS
            }
    fingerprint = np.array(reference.description["model"]["fingerprint"])
    buffer = io.BytesIO()
    np.savez(buffer, **{"fingerprint": fingerprint} | arrays)  # type: ignore[arg-type]  # names are ours
    return buffer.getvalue()


def check_model(reference: Reference, model: EmbeddingModel) -> None:
    """Refuse a Reference of other weights. Raises ReferenceFileError naming both."""
    fitted = reference.description["model"]
    if fitted["fingerprint"] != model.fingerprint:
        raise ReferenceFileError(
            f"the Reference was fitted with model {fitted['name']!r} (weights"
            f" {fitted['fingerprint'][:12]}), this run uses {model.name!r} (weights"
            f" {model.fingerprint[:12]}): scores would mean nothing. Fit one with this model"
        )
