"""How well an embedding lies along those of a target set: VAS and NormSim.

Both compare with the normalised embeddings t_1 .. t_m of a set that resembles what the trained
model is meant for. VAS takes the target's uncentred second moment, O(d^2) however large the target
is; NormSim with p = infinity takes its nearest member.

Sources: Wang et al., Variance Alignment Score, arXiv 2402.02055; Wang et al., CLIPLoss and
Norm-Based Data Selection Methods, arXiv 2405.19547.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from curate.errors import NumericsError
from curate.numerics.products import product

Float64 = npt.NDArray[np.float64]

CHUNK_BYTES: Final = 64 * 2**20
"""Bytes of one [n, k] array of similarities; larger ones leave the CPU's cache."""


def second_moment(
    blocks: Iterable[tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]],
) -> Float64:
    """Uncentred second moment of rows that come in blocks: S = mean_t x_t y_t^T.

    With x = y = u this is the S of VAS, with x = u and y = v that of its cross-modal form.

    Args:
        blocks: pairs (x, y) of [k, d], row-aligned; at least one row in all.

    Returns:
        float64 [d, d], summed in float64, O(m d^2).

    Raises:
        NumericsError: the shapes do not fit, or there is no row.
    """
    total, rows = np.zeros(0), 0
    for x, y in blocks:
        if x.ndim != 2 or x.shape != y.shape or (rows and x.shape[1] != len(total)):
            raise NumericsError(f"second moment: blocks {x.shape} and {y.shape}; expected [k, d]")
        part = x.astype(np.float64).T @ y.astype(np.float64)
        total, rows = (total + part if rows else part), rows + len(x)
    if not rows:
        raise NumericsError("second moment: there are no rows")
    return total / rows


def variance_alignment(x: torch.Tensor, moment: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """VAS of pairs: x_i^T S y_i, the inner product of S with the outer product of the pair.

    With x = y = image embeddings this is the score the paper filters by; with texts, or with an
    image and its text and the cross moment, its other forms (arXiv 2402.02055, Section 3).

    Args:
        x, y: [n, d], L2-normalised, row-aligned.
        moment: S, [d, d], same dtype and device: see `second_moment`.

    Returns:
        [n], dtype and device of x; O(d^2) each. In [0, 1] for x = y, [-1, 1] otherwise.

    Raises:
        NumericsError: the shapes do not fit.
    """
    d = moment.shape[0]
    if moment.shape != (d, d) or x.ndim != 2 or x.shape != y.shape or x.shape[1] != d:
        raise NumericsError(
            f"variance alignment: {tuple(x.shape)}, moment {tuple(moment.shape)},"
            f" {tuple(y.shape)}; expected [n, d], [d, d], [n, d]"
        )
    return ((x @ moment) * y).sum(dim=1)


def norm_similarity_2(alignment: torch.Tensor, size: int) -> torch.Tensor:
    """NormSim with p = 2 from VAS: sqrt(sum_t <u, t>^2) = sqrt(m u^T S u).

    No second pass over the target is needed (arXiv 2405.19547, Section 3.2). It orders pairs as
    VAS does.

    Args:
        alignment: VAS of images with the target images' moment, [n].
        size: m, how many the target holds.

    Returns:
        [n], dtype and device of the input, >= 0.
    """
    return (alignment.clamp(min=0) * size).sqrt()


def norm_similarity_inf(
    image: torch.Tensor, target: torch.Tensor, chunk_bytes: int = CHUNK_BYTES
) -> torch.Tensor:
    """NormSim with p = infinity: max_t |<u_i, t>|, the similarity with the nearest target image.

    Of the absolute values, as in the authors' code, which takes `torch.norm(..., p=inf)`; between
    images, whose similarities are positive in practice, it makes no difference.

    Args:
        image: u, [n, d], L2-normalised.
        target: t, [m, d], L2-normalised, m > 0, same dtype and device.
        chunk_bytes: bound of one [n, k] array; the target is taken k rows at a time.

    Returns:
        [n], dtype and device of the input; O(m d) each.

    Raises:
        NumericsError: the shapes do not fit, or chunk_bytes < 1.
    """
    if target.ndim != 2 or not len(target) or image.ndim != 2 or image.shape[1] != target.shape[1]:
        raise NumericsError(
            f"NormSim: images {tuple(image.shape)}, target {tuple(target.shape)}; expected [n, d]"
            " and [m, d] with m > 0"
        )
    if chunk_bytes < 1:
        raise NumericsError(f"NormSim: chunk_bytes is {chunk_bytes}; expected >= 1")
    rows = max(1, chunk_bytes // max(1, len(image) * image.element_size()))
    found = image.new_zeros(len(image))
    for start in range(0, len(target), rows):
        similar = product(image, target[start : start + rows].T)
        found = torch.maximum(found, similar.abs_().amax(dim=1))
    return found
