"""A Reference over arrays: fitted, saved, loaded, and asked for scores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from pydantic import ValidationError

from curate import reference_files
from curate.api.model import Model, problems_of
from curate.config import ReferenceConfig
from curate.embedding_pools.rows import PIECE_ROWS, normalised, score_piece
from curate.embedding_pools.source import Precomputed
from curate.errors import ConfigError, NumericsError, ReferenceFileError
from curate.fidelity import with_fidelity
from curate.held import Held, hold_sample, score_sample
from curate.members import derive_uid
from curate.numerics.posterior import Link
from curate.outputs import Store
from curate.reference import EmbeddingModel, Sample, SampleEmbeddings, fit
from curate.reference import Reference as Fitted
from curate.schema import (
    CAPTION,
    CAPTION_CHARS,
    CAPTION_ENGLISH,
    COSTLY_COLUMNS,
    OK,
    REJECTIONS,
    SAMPLED_CAPTION,
    SCORE_COLUMNS,
    scores_schema,
)

Rows = npt.ArrayLike | torch.Tensor

DEFAULT_LINK: Final[Link] = "softmax"


class Reference:
    """Means and covariances of a sample of pairs, which every score is taken against.

    Make one with `Reference.fit` or `Reference.load`; `reference/` of a run directory is one.
    """

    def __init__(self, fitted: Fitted, sample: Sample | SampleEmbeddings | None = None) -> None:
        """Use `fit` or `load`.

        Args:
            fitted: what scores take.
            sample: what it was fitted on, where that is there.
        """
        self._fitted = fitted
        self._sample = sample

    def __repr__(self) -> str:
        told = self.description
        return f"<curate.Reference of {told['samples']:,} pairs, {told['dim']} dimensions>"

    @property
    def description(self) -> dict[str, Any]:
        """What it was fitted with, and what its scores are worth, as in reference.json."""
        return dict(self._fitted.description)

    @property
    def identity(self) -> str:
        """The sha256 of reference.npz: equal identities give equal scores."""
        return self._fitted.identity

    # --- making one ---------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        images: Rows,
        texts: Rows,
        *,
        model: Model | None = None,
        link: Link | None = None,
        captions: Sequence[str | None] | None = None,
        keys: Sequence[str] | None = None,
        prior: Literal["model", "uniform"] = "model",
        covariance: Literal["corrected", "paper"] = "corrected",
        temperature: Literal["model"] | float = 1.0,
        trace_share: float = 1.0,
        landmarks: Literal["auto"] | int | None = None,
        seed: int = 0,
    ) -> Reference:
        """Fit a Reference on the embeddings of pairs. Deterministic.

        Rows that are zero, NaN or infinite, as those of rejected pairs, are left out.

        Args:
            images: [n, d] of any float type. Thousands of pairs are enough, tens of thousands take
                minutes; choose them at random from the pool.
            texts: likewise, row i from the same pair as row i of the images.
            model: whose embeddings these are: a `Scorer` takes no Reference of another one.
            link: without a model, how its logits become probabilities: softmax (CLIP) by default.
            captions: of the pairs, for explanations; kept beside the Reference.
            keys: likewise.
            prior: `model`, or `uniform` weights; this and the next as in the configuration.
            covariance: `corrected` for the slope of a sigmoid, or as in the `paper`.
            temperature: a logit scale, or the `model`'s own scale and bias.
            trace_share: share of the covariance's trace that informativeness keeps.
            landmarks: clusters per modality, which the landmark scores need; None for none.
            seed: of the clusters.

        Raises:
            ConfigError: settings do not go together.
            ReferenceFileError: too few rows can be used.
            NumericsError: the arrays do not go together.
        """
        if model is not None and link is not None:
            raise ConfigError("Reference.fit: a model tells its link itself; remove link")
        try:
            config = ReferenceConfig(
                prior=prior,
                covariance=covariance,
                temperature=temperature,
                trace_share=trace_share,
                landmarks="auto" if landmarks is None else landmarks,
                seed=seed,
            )
        except ValidationError as exc:
            raise ConfigError(f"Reference.fit: {problems_of(exc)}") from exc
        u, v = _pair(images, texts)
        unit = normalised(u, v)
        kept = np.flatnonzero(unit.faults == "")
        rows = torch.from_numpy(kept)
        described: EmbeddingModel = (
            _arrays(link or DEFAULT_LINK, u.shape[1]) if model is None else model.info
        )
        fitted, embeddings = fit(
            unit.image[rows].numpy(),
            unit.text[rows].numpy(),
            config,
            described,
            landmarks=landmarks is not None,
        )
        fitted = with_fidelity(fitted, embeddings)
        table = _bare_table(kept, len(u), keys, captions)
        return cls(fitted, score_sample(Held(fitted), embeddings, table))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Reference:
        """Load a Reference from a folder or URL: that of `save`, or `reference/` of a run.

        Raises:
            ReferenceFileError: it is missing, incomplete or damaged.
        """
        store = Store(fspath(path))
        fitted = reference_files.load(store, "")
        if not store.exists(reference_files.SAMPLE):
            return cls(fitted)
        embeddings = reference_files.load_sample(store, "", fitted)
        if not store.exists(reference_files.SAMPLE_SCORES):
            return cls(fitted, embeddings)
        captions = reference_files.load_sample_captions(store, "", fitted)
        table = reference_files.load_sample_table(store, "")
        return cls(
            fitted, Sample(embeddings, table, None if captions is None else captions[CAPTION])
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Save it to a folder or URL, which `reference.path` of a configuration may name.

        Raises:
            ReferenceFileError: the folder holds another one.
            OutputError: it cannot be written.
        """
        store = Store(fspath(path))
        if store.exists(reference_files.DESCRIPTION):
            if reference_files.load(store, "").identity == self.identity:
                return
            raise ReferenceFileError(f"{store} holds another Reference; choose another folder")
        if isinstance(self._sample, Sample):
            reference_files.save(store, "", self._fitted, self._sample)
        else:
            gone = {reference_files.SAMPLE_CHECKSUM, reference_files.CAPTIONS_CHECKSUM}
            kept = {k: v for k, v in self.description.items() if k not in gone}
            reference_files.save_fitted(
                store, "", Fitted(self._fitted.image, self._fitted.text, kept)
            )

    # --- scores -------------------------------------------------------------------------------

    def held(self, scores: Sequence[str] = ()) -> Held:
        """The Reference with what the listed scores need besides.

        Raises:
            ConfigError: a score is unknown, or listed twice.
        """
        if unknown := sorted(set(scores) - {*SCORE_COLUMNS, *COSTLY_COLUMNS}):
            known = ", ".join((*SCORE_COLUMNS, *COSTLY_COLUMNS))
            raise ConfigError(f"scores: no {', '.join(map(repr, unknown))}; known are {known}")
        costly = tuple(name for name in COSTLY_COLUMNS if name in scores)
        sample = self._sample.embeddings if isinstance(self._sample, Sample) else self._sample
        return hold_sample(self._fitted, sample, costly)

    def score(self, images: Rows, texts: Rows, scores: Sequence[str] = ()) -> pa.Table:
        """Score embeddings of pairs.

        Args:
            images: [n, d] of any float type; they need not be normalised.
            texts: likewise, row by row.
            scores: those that cost more, to be computed as well.

        Returns:
            One row per pair: `status`, `error`, and the scores as in a run, float32:
            informativeness in nats, `clip_score`, norms, and the listed ones. Null where a row is
            not `ok`.

        Raises:
            ConfigError: a score is unknown, or takes more than embeddings.
            ReferenceFileError: a score needs landmarks or a sample that is not there.
            NumericsError: the arrays do not go together.
        """
        if CAPTION_ENGLISH in scores:
            raise ConfigError(f"scores: {CAPTION_ENGLISH} takes captions; use curate.Scorer")
        u, v = _pair(images, texts)
        if u.shape[1] != self.description["dim"]:
            raise ReferenceFileError(
                f"embeddings of {u.shape[1]} dimensions, the Reference has"
                f" {self.description['dim']}: both must come from one model"
            )
        held = self.held(scores)
        scorer = held.scorer("cpu")
        names = (*SCORE_COLUMNS, *held.costly)
        parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
        faults = []
        for first in range(0, len(u), PIECE_ROWS):
            image, text = u[first : first + PIECE_ROWS], v[first : first + PIECE_ROWS]
            piece = score_piece(image, text, np.ones(len(image), bool), scorer)
            faults += piece.faults.tolist()
            for name in names:
                parts[name].append(piece.values[name])
        return _scored(parts, faults)


def _scored(parts: dict[str, list[npt.NDArray[Any]]], faults: Sequence[str]) -> pa.Table:
    bad = np.array([bool(fault) for fault in faults], dtype=bool)
    columns = {
        "status": pa.array([fault or OK for fault in faults], pa.string()),
        "error": pa.array([REJECTIONS.get(fault) for fault in faults], pa.string()),
    }
    for name, pieces in parts.items():
        values = np.concatenate([np.zeros(0, np.float32), *pieces])
        columns[name] = pa.array(values, pa.float32(), mask=bad)
    return pa.table(columns)


def _pair(images: Rows, texts: Rows) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    u, v = (_floats(rows, name) for rows, name in ((images, "images"), (texts, "texts")))
    if u.shape != v.shape:
        raise NumericsError(
            f"images have shape {u.shape} and texts {v.shape}; expected the same [n, d], row by row"
        )
    return u, v


def _floats(rows: Rows, name: str) -> npt.NDArray[Any]:
    if isinstance(rows, torch.Tensor):
        rows = rows.detach().cpu().float().numpy()
    array = np.asarray(rows)
    if array.ndim != 2 or array.shape[1] == 0 or not np.issubdtype(array.dtype, np.floating):
        raise NumericsError(
            f"{name}: an array of {array.dtype} and shape {array.shape}; expected floats [n, d]"
        )
    return array


def _arrays(link: Link, dim: int) -> Precomputed:
    fingerprint = hashlib.sha256(f"arrays {link} {dim}".encode()).hexdigest()
    return Precomputed("arrays", fingerprint, link, None, 0.0, dim)


def _bare_table(
    kept: npt.NDArray[np.int64],
    rows: int,
    keys: Sequence[str] | None,
    captions: Sequence[str | None] | None,
) -> pa.Table:
    """Identified rows of the sample, as `score_sample` takes them."""
    for name, given in (("keys", keys), ("captions", captions)):
        if given is not None and len(given) != rows:
            raise NumericsError(f"{len(given)} {name} for {rows} pairs; give one for each")
    named = [str(at) if keys is None else str(keys[at]) for at in kept.tolist()]
    schema = scores_schema(located=False)
    told: dict[str, Any] = {
        "shard": ["arrays"] * len(kept),
        "index": kept.astype(np.int32),
        "key": named,
        "uid": [derive_uid("arrays", key) for key in named],
        "uid_derived": [True] * len(kept),
        "status": [OK] * len(kept),
    }
    table = pa.table(
        {
            field.name: pa.array(told[field.name], field.type)
            if field.name in told
            else pa.nulls(len(kept), field.type)
            for field in schema
        }
    )
    if captions is None:
        return table
    texts = [captions[at] for at in kept.tolist()]
    cut = [None if text is None else text[:CAPTION_CHARS] for text in texts]
    return table.append_column(SAMPLED_CAPTION, pa.array(cut, pa.string()))
