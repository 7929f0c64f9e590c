"""Batches that do not fit are computed in halves: same rows, same order, and never in silence."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.encoder import Encoder
from curate.errors import ResourceError
from curate.halving import in_halves, is_out_of_memory
from curate.scoring import ModelOutput

CPU_ALLOCATOR = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you"
    " tried to allocate 9 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


class Small:
    """A device that takes so many pairs at a time; larger batches raise what allocators raise."""

    def __init__(self, fits: int, error: BaseException, encoder: Encoder | None = None) -> None:
        self._fits, self._error, self._encoder = fits, error, encoder
        self.sizes: list[int] = []
        self.released = 0
        self.told: list[int] = []

    def compute(self, pixels: Any, tokens: Any) -> ModelOutput:
        self.sizes.append(len(pixels))
        if len(pixels) > self._fits:
            raise self._error
        if self._encoder is None:
            rows = pixels.reshape(len(pixels), -1).sum(1) + tokens.sum(1)
            return ModelOutput({"row": rows}, spent={"calls": 1})
        found = self._encoder.encode(pixels, tokens)
        norms = {"image_norm": found.image_norm.numpy(), "text_norm": found.text_norm.numpy()}
        return ModelOutput(norms, found.image.numpy(), found.text.numpy())

    def run(self, pixels: Any, tokens: Any) -> ModelOutput:
        def release() -> None:
            self.released += 1

        return in_halves(
            self.compute, pixels, tokens, lambda pairs, said: self.told.append(pairs), release
        )


def batch(pairs: int, side: int = 2, context: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(pairs)
    pixels = rng.integers(0, 256, (pairs, side, side, 3), dtype=np.uint8)
    return pixels, rng.integers(1, 400, (pairs, context), dtype=np.int32)


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([CPU_ALLOCATOR, CUDA, MemoryError]))
def test_halves_are_the_batch_in_its_order(pairs: int, fits: int, error: Any) -> None:
    pixels, tokens = batch(pairs)
    whole = Small(pairs, error).run(pixels, tokens)
    device = Small(fits, error)
    found = device.run(pixels, tokens)
    np.testing.assert_array_equal(found.scores["row"], whole.scores["row"])
    assert (found.image, found.text) == (None, None)
    computed = [size for size in device.sizes if size <= fits]
    assert sum(computed) == pairs
    assert found.spent == {"calls": len(computed)}
    # One halving makes one part more, and each is told of and frees what the attempt left.
    assert len(device.told) == device.released == len(computed) - 1
    assert all(size > fits for size in device.told)


@pytest.mark.parametrize("fits", [1, 3, 7])
def test_a_model_gives_the_same_embeddings_in_halves(tiny_encoder: Encoder, fits: int) -> None:
    side = tiny_encoder.info.pixels.size[0]
    pixels, tokens = batch(11, side, tiny_encoder.info.context_length)
    whole = Small(11, CUDA, tiny_encoder).run(pixels, tokens)
    found = Small(fits, CUDA, tiny_encoder).run(pixels, tokens)
    for name in ("image", "text"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-6)
    for name, values in whole.scores.items():
        np.testing.assert_allclose(found.scores[name], values, rtol=1e-5)


def test_nothing_of_a_failed_attempt_is_alive_when_memory_is_released() -> None:
    left: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def compute(pixels: Any, tokens: Any) -> ModelOutput:
        activations = torch.zeros(3)
        left.append(weakref.ref(activations))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("of a new one: an error keeps the frames it went through")
        return ModelOutput({"row": tokens.sum(1)})

    def release() -> None:
        alive.append(sum(reference() is not None for reference in left))

    in_halves(compute, *batch(8), lambda pairs, said: None, release)
    assert alive == [0, 0, 0]


def test_a_single_pair_that_does_not_fit_is_an_error() -> None:
    device = Small(0, CPU_ALLOCATOR)
    with pytest.raises(ResourceError, match="single pair"):
        device.run(*batch(4))
    assert device.told == [4, 2]


@pytest.mark.parametrize("error", [ValueError("can't allocate memory"), RuntimeError("a bug")])
def test_other_errors_pass(error: Exception) -> None:
    device = Small(1, error)
    with pytest.raises(type(error), match=str(error)):
        device.run(*batch(4))
    assert device.told == []


def test_a_real_allocation_that_fails_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    with pytest.raises(MemoryError) as refused:
        np.empty(1 << 60, dtype=np.uint8)
    assert is_out_of_memory(refused.value)
