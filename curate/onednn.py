"""Matrix products of float32 transformers through oneDNN, on CPUs.

torch gives `linear` in float32 to MKL, which leaves half of the vector width of processors that
Intel did not make unused: 109 GFLOP/s on a core of an AMD EPYC with AVX-512, where oneDNN does 240
(and 125 where it is held to AVX2). The weights stay where they are, shared between processes, and
results differ as those of any other order of sums do: by some 1e-7 of a unit embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import torch
from torch.nn import functional

TOLERANCE: Final = 1e-4
"""Largest difference of trial products (64 terms of unit variance) from torch's own."""


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    gelu: str | None = None,
) -> torch.Tensor:
    """The product x W^T + b by oneDNN, on the CPU. It has no gradient.

    Args:
        x: float32 [..., k].
        weight: float32 [m, k].
        bias: float32 [m].
        gelu: whether a GELU follows, and torch's name for how it is approximated.

    Returns:
        float32 [..., m].
    """
    after: tuple[str, list[float], str] = ("none", [], "") if gelu is None else ("gelu", [], gelu)
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, *after)
    return product


def _takes(x: torch.Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


class Linear(torch.nn.Linear):
    """A linear layer whose products oneDNN computes, where it can."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map [..., k] to [..., m]."""
        if not _takes(input):
            return super().forward(input)
        return linear(input, self.weight, self.bias)


class LinearGelu(torch.nn.Linear):
    """The same with the GELU that follows it, done while the product is still in the registers.

    Attributes:
        approximate: as that of `torch.nn.GELU`.
    """

    approximate: str

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map [..., k] to [..., m]."""
        if not _takes(input):
            return functional.gelu(super().forward(input), approximate=self.approximate)
        return linear(input, self.weight, self.bias, self.approximate)


class Attention(torch.nn.MultiheadAttention):
    """Attention whose projections oneDNN computes, for the calls that towers make."""

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        """Attend as `torch.nn.MultiheadAttention` does, with its arguments and results."""
        mask = kwargs.get("attn_mask")
        asked = {name for name, argument in kwargs.items() if argument is not None}
        usual = (
            key is value
            and query.dim() == 3
            and not args
            and asked <= {"need_weights", "attn_mask"}
            and kwargs.get("need_weights") is False
            and (mask is None or mask.is_floating_point())
        )
        if not (usual and self._is_plain() and _takes(query)):
            return super().forward(query, key, value, *args, **kwargs)
        return self._attend(query, key, mask), None

    def _is_plain(self) -> bool:
        return (
            self.batch_first
            and self._qkv_same_embed_dim
            and self.bias_k is None
            and not self.add_zero_attn
            and not self.training
        )

    def _attend(
        self, queries: torch.Tensor, source: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        count, asking, width = queries.shape
        if queries is source:
            query, key, value = self._project(source, 0, 3)
        else:
            (query,), (key, value) = self._project(queries, 0, 1), self._project(source, 1, 3)
        if mask is not None and mask.dim() == 3:
            mask = mask.view(count, self.num_heads, asking, source.shape[1])
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        rows = mixed.transpose(1, 2).reshape(count, asking, width)
        return linear(rows, self.out_proj.weight, self.out_proj.bias)

    def _project(self, x: torch.Tensor, start: int, end: int) -> tuple[torch.Tensor, ...]:
        # Queries, keys and values are rows 0, 1 and 2 times d and on; each [n, heads, length, d/h].
        chosen = slice(start * self.embed_dim, end * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[chosen]
        packed = linear(x, self.in_proj_weight[chosen], bias)
        count, length, _ = x.shape
        split = packed.view(count, length, end - start, self.num_heads, self.head_dim)
        return split.permute(2, 0, 3, 1, 4).unbind()


def works() -> bool:
    """Try whether this build of torch computes products by oneDNN, and the right ones."""
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


def use_onednn(model: torch.nn.Module) -> None:
    """Have the linear and attention layers of a model computed by oneDNN, where that works.

    Layers of classes derived from torch's are left as they are. Tensors and their names stay.
    """
    if not works():
        return
    for owner, first, second in list(_gelus(model)):
        layer = getattr(owner, first)
        # Classes are changed in place: tied weights stay tied, and names what they were.
        layer.__class__ = LinearGelu
        layer.approximate = getattr(owner, second).approximate
        setattr(owner, second, torch.nn.Identity())
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = Linear
        elif type(module) is torch.nn.MultiheadAttention:
            module.__class__ = Attention


def _gelus(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, str, str]]:
    """Linear layers that are followed by a GELU: what holds both, and their names in it."""
    for module in model.modules():
        if type(module) is torch.nn.Sequential:
            neighbours = list(pairwise(name for name, _ in module.named_children()))
        elif type(module).__name__ == "Mlp" and type(module).__module__.startswith("timm."):
            neighbours = [("fc1", "act")]
        else:
            continue
        for first, second in neighbours:
            kinds = (type(getattr(module, first, None)), type(getattr(module, second, None)))
            if kinds == (torch.nn.Linear, torch.nn.GELU):
                yield module, first, second
