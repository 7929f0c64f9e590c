"""Captions without their padding: the same embeddings from a fraction of the work.

open_clip pads every caption to the full context, 77 tokens where most captions have 10 to 20. In a
causal tower that is pooled at the end-of-text token nothing of that padding reaches the result, nor
where it is masked: a batch may be cut to its longest caption. Whether a model allows it is not
concluded from its class: it is tried on the loaded weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from curate.loading import Tokenize, Tokens, to_device
from curate.numerics.similarity import normalise

CUT_TOLERANCE: Final = 1e-5
"""Largest difference of a component of a unit embedding, cut against whole, in float32. Towers that
allow it differ by 1e-7 to 3e-6, from the order of sums; those that do not by 1e-2 and more."""

PROBES: Final = (
    "a",
    "a dog",
    "a photo of two dogs that run along a beach in the evening",
    " ".join(["seven small words make this caption long"] * 4),
    " ".join(["word"] * 300),
)
"""Captions of several lengths that a loaded model is tried on; the last one fills every context."""

CPU_GROUP: Final = 8
"""Captions of like length that go through the tower together on a CPU."""

CPU_STEP: Final = 4
"""Tokens that lengths are rounded up to on a CPU. oneDNN makes a kernel for every shape, in up to
6 ms and of up to 2 MB: full groups of rounded lengths have few shapes, and memory stays flat."""

GPU_GROUP: Final = 64
"""On a GPU, where every group is a sequence of small kernels."""

_OF_POSITIONS: Final = ("positional_embedding", "attn_mask")
"""What a tower of open_clip holds for each position of the context."""


@dataclass(frozen=True, slots=True)
class Cut:
    """That a text tower may be cut.

    Attributes:
        pad: token that fills captions up.
        sliced: whether its positions and mask must be cut as well; else it looks at the input.
    """

    pad: int
    sliced: bool


def lengths(tokens: Tokens, pad: int) -> npt.NDArray[np.int64]:
    """Columns [n] up to which each row holds more than padding, and one of that if there is one.

    The one is kept because a tokenizer may pad with its own end-of-text token, which is pooled.
    """
    width = tokens.shape[1]
    behind = np.argmax((tokens != pad)[:, ::-1], axis=1)
    used = np.where((tokens != pad).any(axis=1), width - behind, 0)
    kept: npt.NDArray[np.int64] = np.minimum(used + 1, width)
    return kept


class TextTower:
    """Encodes captions, each distinct one of a batch once, in groups of like length."""

    def __init__(self, model: Any, cut: Cut | None) -> None:
        """Wrap the text side of a model.

        Args:
            model: a model of open_clip, on its device.
            cut: how it may be cut; None if it may not.
        """
        self._model = model
        self._cut = cut
        self._device = next(model.parameters()).device
        on_cpu = self._device.type == "cpu"
        self._group, self._step = (CPU_GROUP, CPU_STEP) if on_cpu else (GPU_GROUP, 1)
        self._shortened: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {}

    def __call__(self, tokens: Tokens) -> torch.Tensor:
        """Embed captions, int32 [n, context]; returns [n, d], not normalised."""
        if self._cut is None or not len(tokens):
            return self._whole(to_device(tokens, self._device).long())
        # Equal captions are common (`<PERSON>`, alt texts of shops) and have equal embeddings.
        distinct, places = np.unique(tokens, axis=0, return_inverse=True)
        used = lengths(distinct, self._cut.pad)
        order = np.argsort(used, kind="stable")
        more, groups = self._groups(order)
        parts = [self._encode(distinct[rows], self._length(used[rows[-1]])) for rows in groups]
        where = more + np.argsort(order)[places.reshape(-1)]
        return torch.cat(parts)[torch.from_numpy(where).to(self._device)]

    def _groups(self, order: npt.NDArray[np.int64]) -> tuple[int, list[npt.NDArray[np.int64]]]:
        """Groups of rows, and how often the first row is there once more to make the first full."""
        more = 0
        if self._step > 1 and len(order) > self._group:
            more = -len(order) % self._group  # of the shortest caption, which costs least
            order = np.concatenate([np.repeat(order[:1], more), order])
        return more, [order[at : at + self._group] for at in range(0, len(order), self._group)]

    def _length(self, used: np.int64) -> int:
        return -(-int(used) // self._step) * self._step

    def _encode(self, tokens: Tokens, length: int) -> torch.Tensor:
        length = min(length, tokens.shape[1])
        encode = self._shortened.get(length)
        if encode is None:
            encode = self._shortened[length] = _shortened(self._model, self._cut, length)
        return encode(to_device(tokens[:, :length], self._device).long())

    def _whole(self, ids: torch.Tensor) -> torch.Tensor:
        encoded: torch.Tensor = self._model.encode_text(ids)
        return encoded


def _shortened(model: Any, cut: Cut | None, length: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The text side of a model, for captions of `length` tokens; it shares all weights."""
    if cut is None or not cut.sliced:
        encode: Callable[[torch.Tensor], torch.Tensor] = model.encode_text
        return encode
    # open_clip keeps the text tower in a module of its own, or in the model itself (class CLIP).
    tower = getattr(model, "text", None)
    short = copy.copy(model if tower is None else tower)
    short._parameters, short._buffers = dict(short._parameters), dict(short._buffers)
    positions = short.positional_embedding[:length]
    short._parameters["positional_embedding"] = torch.nn.Parameter(positions, requires_grad=False)
    if short._buffers.get("attn_mask") is not None:
        short._buffers["attn_mask"] = short.attn_mask[:length, :length]
    encode = short.encode_text if tower is None else short
    return encode


@torch.inference_mode()
def find_cut(model: Any, tokenize: Tokenize) -> Cut | None:
    """Try whether, and how, a model's captions may be cut without changing what comes out.

    Args:
        model: a model of open_clip, in float32.
        tokenize: its tokenizer.
    """
    tokens = tokenize(PROBES)
    pad = int(tokens[0, -1])
    if lengths(tokens[:1], pad)[0] == tokens.shape[1]:
        return None  # even the shortest caption is not padded
    whole = _unit(model.encode_text(to_device(tokens, next(model.parameters()).device).long()))
    for cut in (Cut(pad, sliced=True), Cut(pad, sliced=False)):
        if _same(model, cut, tokens, whole):
            return cut
    return None


def _same(model: Any, cut: Cut, tokens: Tokens, whole: torch.Tensor) -> bool:
    # One by one, each at its own length, and together, at the length of the longest.
    tower = TextTower(model, cut)
    used = lengths(tokens, cut.pad)
    try:
        alone = torch.cat(
            [tower._encode(tokens[i : i + 1], int(used[i])) for i in range(len(tokens))]
        )
        together = tower._encode(tokens[:-1], int(used[:-1].max()))
    except (RuntimeError, AttributeError, IndexError, TypeError):
        return False  # this tower is of another make
    difference = max(
        float((_unit(alone) - whole).abs().max()), float((_unit(together) - whole[:-1]).abs().max())
    )
    return difference <= CUT_TOLERANCE


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return normalise(rows.float())[0]
