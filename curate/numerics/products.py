"""Matrix products in float32 through oneDNN, on CPUs.

torch gives them to MKL, which leaves half of the vector width of processors that Intel did not make
unused: 109 GFLOP/s on a core of an AMD EPYC with AVX-512, where oneDNN does 240 (and 125 where it
is held to AVX2). Results differ as those of any other order of sums do. Where torch was built
without oneDNN, and for everything but float32 on a CPU, torch's own products are used.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
from torch.nn import functional

STEP: Final = 32
"""Rows that products are taken of together; what is left goes to torch. oneDNN makes a kernel for
every shape, in a millisecond and with half a megabyte, and files end in blocks of any size."""

TOLERANCE: Final = 1e-4
"""Largest difference of trial products (64 terms of unit variance) from torch's own."""


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    gelu: str | None = None,
) -> torch.Tensor:
    """The product x W^T + b by oneDNN; see `takes`. It has no gradient.

    Args:
        x: float32 [..., k].
        weight: float32 [m, k]; copied first where it is not C-contiguous.
        bias: float32 [m].
        gelu: whether a GELU follows, and torch's name for how it is approximated.

    Returns:
        float32 [..., m].
    """
    after: tuple[str, list[float], str] = ("none", [], "") if gelu is None else ("gelu", [], gelu)
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, *after)
    return product


def takes(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether `linear` is for these: float32 with entries on a CPU, no gradient, no autocast."""
    return (
        x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and works()
    )


def product(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """The product x F of any dtype on any device.

    Args:
        x: [n, d].
        factor: [d, r]; fastest where its transpose is C-contiguous.

    Returns:
        [n, r].
    """
    whole = len(x) - len(x) % STEP if takes(x, factor) else 0
    if not whole:
        return x @ factor
    head = linear(x[:whole], factor.T, None)
    return head if whole == len(x) else torch.cat([head, x[whole:] @ factor])


def affine(x: torch.Tensor, factor: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """The product x F - o, [n, r], of `product`'s x and F and an offset [r]."""
    return product(x, factor).sub_(offset)


@cache
def works() -> bool:
    """Try, once, whether this build of torch computes products by oneDNN, and the right ones."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(8, 64, generator=generator) for _ in range(2))
    bias = torch.randn(8, generator=generator)
    right = functional.linear(x, weight, bias)
    expected: list[tuple[torch.Tensor | None, str | None, torch.Tensor]] = [
        (bias, None, right),
        (None, None, functional.linear(x, weight)),
        *((bias, kind, functional.gelu(right, approximate=kind)) for kind in ("none", "tanh")),
    ]
    try:
        return all(
            float((linear(x, weight, shift, gelu) - wanted).abs().max()) <= TOLERANCE
            for shift, gelu, wanted in expected
        )
    except (RuntimeError, AttributeError):
        return False  # built without it, as for other processors
