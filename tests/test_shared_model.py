"""A model that was taken apart and put together computes the same bits, from the same memory."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from curate.config import ModelConfig
from curate.encoder import Encoder
from curate.shared_model import freeze, thaw


class Tied(torch.nn.Module):
    """A weight in two places, a buffer that no state dict holds, several dtypes, an empty one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 3)
        self.second = torch.nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("mask", torch.ones(2, dtype=torch.bool), persistent=False)
        self.register_buffer("brief", torch.full((2, 2), 0.1, dtype=torch.bfloat16))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("empty", torch.empty(0, 4))
        self.turned = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) @ self.turned


def _read_only(model: Any) -> Any:
    frozen = freeze(model)
    for array in frozen.tensors:
        array.flags.writeable = False
    return frozen


def test_every_tensor_comes_back_as_it_was() -> None:
    model = Tied()
    copy = thaw(_read_only(model), "cpu")
    theirs = dict(copy.named_parameters()) | dict(copy.named_buffers())
    ours = dict(model.named_parameters()) | dict(model.named_buffers())
    assert list(theirs) == list(ours)
    for name, tensor in ours.items():
        assert torch.equal(theirs[name], tensor), name
        assert theirs[name].dtype == tensor.dtype
        assert isinstance(theirs[name], torch.nn.Parameter) == isinstance(
            tensor, torch.nn.Parameter
        )
    assert isinstance(copy, Tied)
    assert copy.second.weight is copy.first.weight
    assert not copy.training
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    x = torch.ones(4, 3)
    assert torch.equal(copy(x), model(x))


def test_nothing_is_copied_on_a_cpu() -> None:
    frozen = _read_only(Tied())
    copy = thaw(frozen, "cpu")
    weight = dict(copy.named_parameters())["first.weight"]
    assert weight.data_ptr() in {array.ctypes.data for array in frozen.tensors}


def test_the_skeleton_holds_no_weights(tiny_model: str) -> None:
    shared = Encoder(ModelConfig(name=tiny_model, device="cpu")).share()
    weights = sum(array.nbytes for array in shared.frozen.tensors)
    assert len(shared.frozen.skeleton) < 100_000 < weights


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_an_encoder_that_took_over_a_model_computes_the_same_bits(
    tiny_model: str, size: int
) -> None:
    config = ModelConfig(name=tiny_model, device="cpu")
    first = Encoder(config)
    shared = pickle.loads(pickle.dumps(first.share()))
    second = Encoder(config, shared)
    assert second.info == first.info
    rng = np.random.default_rng(size)
    pixels = rng.integers(0, 256, (size, *first.info.pixels.size, 3), dtype=np.uint8)
    tokens = rng.integers(1, 1000, (size, first.info.context_length), dtype=np.int32)
    ours, theirs = first.encode(pixels, tokens), second.encode(pixels, tokens)
    assert torch.equal(ours.image, theirs.image)
    assert torch.equal(ours.text, theirs.text)
