"""Similarity of a pair, from the same embeddings: the baseline users compare with."""

from __future__ import annotations

from typing import Final

import torch

from curate.errors import NumericsError

SAFE_NORMS: Final = (1e-15, 1e15)
"""Norms between which the squares of float32 keep the precision of float32: those of smaller
components may vanish, but then beside a sum that is 1e8 times as large."""


def normalise(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """L2-normalise the rows of `x`.

    Extreme magnitudes neither overflow nor vanish: rows whose squares might are taken in float64.
    A zero row stays zero. A row that holds NaN or infinity gets a norm that is not finite: the
    caller's sign to reject it.

    Args:
        x: [n, d], any floating dtype.

    Returns:
        (unit float32 [n, d], norms float32 [n]), on the device of x.

    Raises:
        NumericsError: x is not a floating [n, d].
    """
    if x.ndim != 2 or not x.is_floating_point():
        raise NumericsError(f"normalise: x is {x.dtype} {tuple(x.shape)}; expected float [n, d]")
    if x.is_cuda or x.dtype == torch.float64:  # to look at norms would wait for the device
        return _normalise_widely(x)
    narrow = x.float()
    norms = torch.linalg.vector_norm(narrow, dim=1)
    safe = (norms >= SAFE_NORMS[0]) & (norms <= SAFE_NORMS[1])
    if bool(safe.all()):
        return narrow / norms[:, None], norms
    unit = torch.empty_like(narrow)
    unit[safe] = narrow[safe] / norms[safe, None]
    unit[~safe], norms[~safe] = _normalise_widely(x[~safe])
    return unit, norms


def _normalise_widely(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    wide = x.double()
    norms = torch.linalg.vector_norm(wide, dim=1)
    divisor = torch.where(norms == 0, torch.ones_like(norms), norms)
    return (wide / divisor[:, None]).float(), norms.float()


def clip_score(image_unit: torch.Tensor, text_unit: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of each pair: <u_i, v_i> of normalised rows, in [-1, 1] up to rounding.

    Args:
        image_unit: [n, d], L2-normalised.
        text_unit: [n, d], L2-normalised, row-aligned.

    Returns:
        [n], dtype and device of the inputs.

    Raises:
        NumericsError: the shapes differ or are not [n, d].
    """
    if image_unit.ndim != 2 or image_unit.shape != text_unit.shape:
        raise NumericsError(
            f"clip_score: image {tuple(image_unit.shape)} and text {tuple(text_unit.shape)}; "
            "expected the same [n, d]"
        )
    return (image_unit * text_unit).sum(dim=1)
