"""The layers of a transformer whose matrix products oneDNN computes, on CPUs; see `products`.

The weights stay where they are, shared between processes. Embeddings differ from those of torch's
own layers by some 1e-7.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional

from curate.numerics.products import linear, takes, works


class Linear(torch.nn.Linear):
    """A linear layer whose products oneDNN computes, where it can."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map [..., k] to [..., m]."""
        if not takes(input, self.weight):
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
        if not takes(input, self.weight):
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
        if not (usual and self._is_plain() and takes(query, self.in_proj_weight)):
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
