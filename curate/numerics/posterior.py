"""Link functions: what a contrastive model says about candidates, given a query.

`queries` are the conditioning embeddings u, `candidates` the conditioned ones v. Images and texts
take either role (the paper, section 3.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from curate.errors import NumericsError
from curate.numerics.products import product

FloatArray = npt.NDArray[np.float64]

Link = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class Posterior:
    """How inner products become probabilities.

    Attributes:
        link: `softmax` (CLIP, Eq. 1) or `sigmoid` (SigLIP, normalised over the candidates).
        scale: factor s of the inner product, > 0; 1 in the paper.
        bias: added to the scaled inner product, 0 in the paper. A softmax is blind to it.

    Raises:
        NumericsError: unknown link, or a scale or bias out of its domain.
    """

    link: Link
    scale: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        if self.link not in get_args(Link):
            raise NumericsError(
                f"posterior: link is {self.link!r}; expected one of {get_args(Link)}"
            )
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise NumericsError(f"posterior: scale is {self.scale}; expected a finite number > 0")
        if not math.isfinite(self.bias):
            raise NumericsError(f"posterior: bias is {self.bias}; expected a finite number")


def log_posterior(
    queries: npt.ArrayLike, candidates: npt.ArrayLike, posterior: Posterior
) -> FloatArray:
    """Log-probabilities of the candidates given each query, nats: log p(v_t | u_i).

    Every row sums to one in probability.

    softmax: s <v, u> - logsumexp; sigmoid: log sigmoid(s <v, u> + b) - logsumexp of the same
    (Eq. 1 and the formula after it). Computed in float64 and in logarithms throughout, hence
    free of overflow at any scale.

    Args:
        queries: [n, d].
        candidates: [m, d], m >= 1.
        posterior: the link.

    Returns:
        float64 [n, m]. It is the caller's business to bound n x m.

    Raises:
        NumericsError: wrong shape, NaN or infinity.
    """
    u, v = embedding_matrix(queries, "queries"), embedding_matrix(candidates, "candidates")
    _check_pair(u, v)
    return np.asarray(torch.log_softmax(link_log_weights(u, v, posterior), dim=1).numpy())


def estimate_priors(
    image: npt.ArrayLike,
    text: npt.ArrayLike,
    posterior: Posterior,
    chunk: int = 1024,
    *,
    image_weights: npt.ArrayLike | None = None,
    text_weights: npt.ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Priors of the reference sample: the mean posterior (the paper, section 3.1).

    p(t) = mean over images of p(t | i), and p(i) = mean over texts of p(i | t). All arithmetic
    is float64, the inner products too: at s = 100 a float32 product would be off by 1e-5 in the
    exponent, and float64 costs seconds for 10,000 x 10,000 x 512 on two cores. Memory is
    O(chunk x max(n, m)), never O(n m).

    Args:
        image: [n, d], any float dtype.
        text: [m, d].
        posterior: the link.
        chunk: queries taken at once; changes results by float64 rounding only.
        image_weights: how often each image occurs, [n], > 0; None for once each. An image of
            weight 2 counts as two equal ones, whose priors are added.
        text_weights: the same of the texts, [m].

    Returns:
        (p_image float64 [n], p_text float64 [m]); each sums to one.

    Raises:
        NumericsError: wrong shape, NaN or infinity, or chunk < 1.
    """
    if chunk < 1:
        raise NumericsError(f"posterior: chunk is {chunk}; expected at least 1")
    u, v = embedding_matrix(image, "image"), embedding_matrix(text, "text")
    _check_pair(u, v)
    m_u = checked_weights(image_weights, len(u), "image_weights")
    m_v = checked_weights(text_weights, len(v), "text_weights")
    p_image = _mean_posterior((v, m_v), (u, m_u), posterior, chunk)
    p_text = _mean_posterior((u, m_u), (v, m_v), posterior, chunk)
    return p_image, p_text


def embedding_matrix(x: npt.ArrayLike, name: str) -> torch.Tensor:
    """`x` as a finite float64 CPU tensor [n, d], n, d >= 1.

    Raises:
        NumericsError: wrong shape, or NaN or infinity; the message names `name`.
    """
    array = np.array(x, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise NumericsError(f"{name} has shape {array.shape}; expected [n, d] with n, d >= 1")
    if not np.isfinite(array).all():
        raise NumericsError(f"{name} holds NaN or infinity; drop those rows first")
    return torch.from_numpy(array)


def _check_pair(u: torch.Tensor, v: torch.Tensor) -> None:
    if u.shape[1] != v.shape[1]:
        raise NumericsError(
            f"posterior: embedding widths differ: {u.shape[1]} and {v.shape[1]}; "
            "both sides must come from one model"
        )


def checked_weights(weights: npt.ArrayLike | None, size: int, name: str) -> torch.Tensor:
    """Positive finite numbers as a float64 CPU tensor [size]; ones for None.

    Raises:
        NumericsError: wrong shape, or a number that is not positive and finite.
    """
    array = np.ones(size) if weights is None else np.array(weights, dtype=np.float64)
    if array.shape != (size,) or not np.isfinite(array).all() or not (array > 0).all():
        raise NumericsError(
            f"{name}: shape {array.shape}, expected ({size},) of positive, finite numbers"
        )
    return torch.from_numpy(array)


def link_log_weights(u: torch.Tensor, v: torch.Tensor, posterior: Posterior) -> torch.Tensor:
    """Unnormalised log p(v | u) of tensors [n, d] and [m, d]: [n, m], in their dtype.

    A softmax over each row normalises either link.
    """
    logits = product(u, v.T).mul_(posterior.scale)
    if posterior.link == "softmax":
        return logits
    return torch.nn.functional.logsigmoid(logits.add_(posterior.bias))


def _mean_posterior(
    queries: tuple[torch.Tensor, torch.Tensor],
    candidates: tuple[torch.Tensor, torch.Tensor],
    posterior: Posterior,
    chunk: int,
) -> FloatArray:
    """Weighted mean of p(candidates | query) over the queries; each side is (rows, weights)."""
    (u, m_u), (v, m_v) = queries, candidates
    total = torch.zeros(len(v), dtype=torch.float64)
    for start in range(0, len(u), chunk):
        rows = link_log_weights(u[start : start + chunk], v, posterior).add_(torch.log(m_v))
        total += m_u[start : start + chunk] @ torch.softmax(rows, dim=1)
    return np.asarray((total / m_u.sum()).numpy())
