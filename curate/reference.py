"""The Reference: means, metrics and quantiles of a sample of pairs, fitted once and frozen.

Scores of different runs compare exactly when they were made with the same Reference. Its state is
O(d^2), whatever the size of the sample: a few megabytes, broadcast once to every embedder.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from curate.config import ReferenceConfig
from curate.encoder import ModelInfo
from curate.errors import OutputError, ReferenceFileError
from curate.numerics.informativeness import factorise, informativeness, metric_matrix
from curate.numerics.moments import moments_of
from curate.numerics.posterior import Posterior, estimate_priors
from curate.numerics.similarity import clip_score
from curate.outputs import Store
from curate.schema import CLIP_SCORE, IMAGE_INFORMATIVENESS, TEXT_INFORMATIVENESS

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

FORMAT_VERSION: Final = 1
FILE: Final = "reference.npz"
DESCRIPTION: Final = "reference.json"
SAMPLE: Final = "sample.npz"
SAMPLE_SCORES: Final = "sample_scores.parquet"
MIN_SAMPLES: Final = 2


@dataclass(frozen=True, slots=True)
class Side:
    """What scoring one modality takes.

    Attributes:
        mean: float64 [d], prior-weighted mean of this modality (ubar of Eq. 5).
        metric: float64 [d, d], covariance of the other modality (G of Eq. 5).
        factor: float32 [d, r], L with L L^T = metric.
        offset: float32 [r], L^T mean.
    """

    mean: Float64
    metric: Float64
    factor: Float32
    offset: Float32


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


@dataclass(frozen=True, slots=True)
class Sample:
    """The pairs that a Reference was fitted on.

    Attributes:
        image, text: float32 [n, d], L2-normalised.
        image_weights, text_weights: float64 [n], the priors p(i) and p(t), each summing to one.
        table: one row per pair, in shard order: identifiers and every rule column.
    """

    image: Float32
    text: Float32
    image_weights: Float64
    text_weights: Float64
    table: pa.Table


def posterior_of(config: ReferenceConfig, model: ModelInfo) -> Posterior:
    """Choose link, scale and bias: the paper's s = 1, b = 0, the model's own, or a given scale."""
    if config.temperature == "model":
        return Posterior(model.link, scale=model.logit_scale, bias=model.logit_bias)
    return Posterior(model.link, scale=float(config.temperature), bias=0.0)


def fit(
    image: Float32, text: Float32, config: ReferenceConfig, model: ModelInfo
) -> tuple[Reference, Float64, Float64]:
    """Fit a Reference on the embeddings of a sample of pairs (Theorem 4.1, Eq. 5).

    Args:
        image, text: float32 [n, d], L2-normalised, row i of both from pair i.
        config: prior, covariance and temperature.
        model: whose embeddings these are.

    Returns:
        The Reference, and the priors p(i), p(t), float64 [n].

    Raises:
        ReferenceFileError: fewer than two pairs are left.
    """
    n = len(image)
    if n < MIN_SAMPLES:
        raise ReferenceFileError(
            f"only {n} usable pairs were found to fit the Reference on; widen reference.shards or"
            " look at the rejections of these shards"
        )
    posterior = posterior_of(config, model)
    if config.prior == "model":
        image_prior, text_prior = estimate_priors(image, text, posterior)
    else:
        image_prior = text_prior = np.full(n, 1.0 / n)
    image_mean = moments_of(image, image_prior).mean
    text_mean = moments_of(text, text_prior).mean
    image_metric = metric_matrix(text, text_prior, image_mean, posterior, config.covariance)
    text_metric = metric_matrix(image, image_prior, text_mean, posterior, config.covariance)
    description = {
        "format_version": FORMAT_VERSION,
        "model": model.describe() | {"device": None},
        "samples": n,
        "dim": int(image.shape[1]),
        "prior": config.prior,
        "covariance": config.covariance,
        "link": posterior.link,
        "scale": posterior.scale,
        "bias": posterior.bias,
        "seed": config.seed,
    }
    sides = _side(image_mean, image_metric), _side(text_mean, text_metric)
    return Reference(*sides, description), image_prior, text_prior


def _side(mean: Float64, metric: Float64) -> Side:
    factor = factorise(metric).matrix
    return Side(
        mean=mean,
        metric=metric,
        factor=factor.astype(np.float32),
        offset=(factor.T @ mean).astype(np.float32),
    )


class Scorer:
    """A Reference on a device: embeddings in, scores out. O(d r) per embedding."""

    def __init__(self, reference: Reference, device: torch.device | str = "cpu") -> None:
        self._image = self._place(reference.image, device)
        self._text = self._place(reference.text, device)

    @staticmethod
    def _place(side: Side, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(side.offset, device=device), torch.tensor(side.factor, device=device)

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor, text: torch.Tensor) -> dict[str, torch.Tensor]:
        """Score pairs.

        Args:
            image, text: float32 [n, d], L2-normalised, on the scorer's device.

        Returns:
            Column name -> float32 [n]; informativeness in nats (half the quadratic form).
        """
        return {
            IMAGE_INFORMATIVENESS: informativeness(image, *self._image),
            TEXT_INFORMATIVENESS: informativeness(text, *self._text),
            CLIP_SCORE: clip_score(image, text),
        }


# --- files ------------------------------------------------------------------------------------


def to_bytes(reference: Reference) -> bytes:
    """Serialise as npz, without pickles; equal References give equal bytes."""
    buffer = io.BytesIO()
    sides = {"image": reference.image, "text": reference.text}
    arrays = {
        f"{name}_{field}": getattr(side, field)
        for name, side in sides.items()
        for field in ("mean", "metric", "factor", "offset")
    }
    fingerprint = np.array(reference.description["model"]["fingerprint"])
    np.savez(buffer, fingerprint=fingerprint, **arrays)
    return buffer.getvalue()


def save(store: Store, folder: str, reference: Reference, sample: Sample | None) -> None:
    """Write reference.npz, reference.json and, if given, the sample, into a folder of the store.

    The description is written last: a folder without it holds no Reference.
    """
    if sample is not None:
        buffer = io.BytesIO()
        np.savez(
            buffer,
            image=sample.image,
            text=sample.text,
            image_weights=sample.image_weights,
            text_weights=sample.text_weights,
        )
        store.write_bytes(f"{folder}/{SAMPLE}", buffer.getvalue())
        store.write_table(f"{folder}/{SAMPLE_SCORES}", sample.table)
    data = store.write_bytes(f"{folder}/{FILE}", to_bytes(reference))
    store.write_json(f"{folder}/{DESCRIPTION}", reference.description | {"sha256": data.sha256})


def load(store: Store, folder: str) -> Reference:
    """Read a saved Reference.

    Raises:
        ReferenceFileError: it is missing, incomplete, damaged or of another format version.
    """
    place = store.path(folder)
    try:
        description = store.read_json(f"{folder}/{DESCRIPTION}" if folder else DESCRIPTION)
        data = store.read_bytes(f"{folder}/{FILE}" if folder else FILE)
    except FileNotFoundError as exc:
        raise ReferenceFileError(
            f"{place} holds no complete Reference ({exc}); run `curate fit`, or set reference.path"
            " to a folder with reference.npz and reference.json"
        ) from exc
    except (OSError, OutputError) as exc:
        raise ReferenceFileError(f"{place} cannot be read: {exc}; {_REMEDY}") from exc
    version = description.get("format_version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise ReferenceFileError(
            f"{place}/{DESCRIPTION}: format_version is {version!r}, this version reads"
            f" {FORMAT_VERSION}; fit the Reference again"
        )
    if hashlib.sha256(data).hexdigest() != description.pop("sha256", None):
        raise ReferenceFileError(
            f"{place}/{FILE} does not match the checksum in {DESCRIPTION}: it was changed or cut"
            f" short; {_REMEDY}"
        )
    try:
        return _parse(data, description)
    except (LookupError, TypeError, ValueError, OSError, BadZipFile) as exc:
        raise ReferenceFileError(f"{place} holds no Reference: {exc!r}; {_REMEDY}") from exc


_REMEDY: Final = "copy it again or fit the Reference again"


def _parse(data: bytes, description: dict[str, Any]) -> Reference:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        image, text = (
            Side(**{field: arrays[f"{name}_{field}"] for field in Side.__dataclass_fields__})
            for name in ("image", "text")
        )
        if description["model"]["fingerprint"] != str(arrays["fingerprint"]):
            raise ValueError("the two files are of different models")
    return Reference(image, text, description)


def load_sample_table(store: Store, folder: str) -> pa.Table:
    """Read the scores of the sample, which `of: reference` rules take their quantiles from.

    Raises:
        ReferenceFileError: they are missing or damaged.
    """
    relative = f"{folder}/{SAMPLE_SCORES}" if folder else SAMPLE_SCORES
    try:
        return store.read_table(relative)
    except FileNotFoundError as exc:
        raise ReferenceFileError(
            f"{store.path(relative)} is missing: rules with `of: reference` need the sample's"
            " scores; fit the Reference again, or use `of: pool`"
        ) from exc
    except (OSError, OutputError) as exc:
        raise ReferenceFileError(
            f"{store.path(relative)} cannot be read: {exc}; fit the Reference again"
        ) from exc


def check_model(reference: Reference, model: ModelInfo) -> None:
    """Refuse a Reference of other weights. Raises ReferenceFileError naming both."""
    fitted = reference.description["model"]
    if fitted["fingerprint"] != model.fingerprint:
        raise ReferenceFileError(
            f"the Reference was fitted with model {fitted['name']!r} (weights"
            f" {fitted['fingerprint'][:12]}), this run uses {model.name!r} (weights"
            f" {model.fingerprint[:12]}): scores would mean nothing. Fit one with this model"
        )
