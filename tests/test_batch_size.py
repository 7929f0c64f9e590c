"""The batch size: what fits, and that a run keeps to what it has settled on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.batch_size import (
    BATCH_SIZE,
    GPU_BATCH,
    MEMORY_SHARE,
    CudaProbe,
    fitting_batch,
    largest_batch,
    probe_batch,
    settle,
    settled,
)
from curate.encoder import Embeddings, Encoder
from curate.errors import OutputError
from curate.outputs import Store
from curate.text_tower import lengths

MB = 1_000_000
sizes = st.floats(0, 1e12)


class Fake:
    """A device where a batch takes so much whatever its size, and so much for each pair."""

    def __init__(self, free: int, fixed: int, per_pair: int) -> None:
        self._free, self._fixed, self._per_pair = free, fixed, per_pair

    def free(self) -> int:
        return self._free

    def peak(self, pairs: int) -> int:
        return self._fixed + pairs * self._per_pair


@given(sizes, sizes, sizes, st.integers(1, 4096), st.integers(1, 3))
def test_the_largest_power_of_two_that_fits(
    per_pair: float, fixed: float, budget: float, most: int, at_once: int
) -> None:
    size = largest_batch(per_pair, fixed, budget, most, at_once)
    powers = [2**i for i in range(13) if 2**i <= most]
    fitting = [n for n in powers if at_once * (fixed + n * per_pair) <= budget]
    assert size == max(fitting, default=1)


@pytest.mark.parametrize(
    ("free", "embedders", "size"),
    [
        (80_000 * MB, 1, GPU_BATCH),
        (80_000 * MB, 4, GPU_BATCH),
        (8_000 * MB, 1, 128),  # 2 * (200 + 128 * 20) = 5,520 of 6,400 MB
        (8_000 * MB, 2, 64),  # 2 * (200 + 64 * 20) = 2,960 of 3,200 MB
        (100 * MB, 1, 1),
        (-5 * MB, 2, 1),
    ],
)
def test_memory_is_measured_and_shared(free: int, embedders: int, size: int) -> None:
    assert MEMORY_SHARE == 0.8
    assert fitting_batch(Fake(free, 200 * MB, 20 * MB), embedders, at_once=2) == size


def test_a_device_that_measures_nonsense_gets_the_most() -> None:
    assert fitting_batch(Fake(1000, 10, 0), 1, 1) == GPU_BATCH
    assert fitting_batch(Fake(1000, 10, -3), 1, 1) == GPU_BATCH


def test_what_is_measured_are_the_costliest_pairs(tiny_encoder: Encoder) -> None:
    pixels, tokens = probe_batch(tiny_encoder, 16)
    assert pixels.shape == (16, *tiny_encoder.info.pixels.size, 3)
    assert len({row.tobytes() for row in tokens}) == 16
    assert set(lengths(tokens, pad=0).tolist()) == {tiny_encoder.info.context_length}
    assert tiny_encoder.encode(pixels, tokens).text.shape == (16, tiny_encoder.info.dim)


class FakeCuda:
    """What a device reports whose batches take 300 bytes, and 7 for each pair."""

    def __init__(self, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.peak = 0
        encode = encoder.encode

        def measured(pixels: Any, tokens: Any) -> Embeddings:
            self.calls.append(f"encode {len(pixels)}")
            self.peak = max(self.peak, 1000 + 300 + 7 * len(pixels))
            return encode(pixels, tokens)

        monkeypatch.setattr(encoder, "encode", measured)
        for name in ("empty_cache", "synchronize", "reset_peak_memory_stats"):
            monkeypatch.setattr(torch.cuda, name, self.noting(name))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1000)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.peak)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (9000, 20_000))

    def noting(self, name: str) -> Callable[..., None]:
        def note(*device: Any) -> None:
            self.calls.append(name)
            if name == "reset_peak_memory_stats":
                self.peak = 0

        return note


def test_a_gpu_is_measured_by_the_second_of_two_equal_batches(
    tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = FakeCuda(tiny_encoder, monkeypatch)
    probe = CudaProbe(tiny_encoder, embedders=3)
    assert probe.peak(4) == 328
    steps = ["encode 4", "synchronize", "reset_peak_memory_stats", "encode 4", "synchronize"]
    assert device.calls == steps
    assert probe.free() == 9000 - 2 * 1000  # the others have not loaded their models yet
    assert device.calls[-1] == "empty_cache"
    # A third of 80 % of 7,000 is 1,866; 2 * (300 + 64 * 7) are 1,496.
    assert fitting_batch(probe, 3, at_once=2) == 64


def unasked() -> int:
    pytest.fail("the size is settled already")


def test_a_run_keeps_to_what_it_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(str(tmp_path))
    assert settled(store) is None
    assert settle(store, "auto", lambda: 64) == 64
    assert (settled(store), settle(store, "auto", unasked)) == (64, 64)
    before = (tmp_path / BATCH_SIZE).read_bytes()
    with caplog.at_level(logging.WARNING):
        assert settle(store, 64, unasked) == 64
        assert not caplog.records
        assert settle(store, 16, unasked) == 16  # a number is taken as it is
    assert "compute.batch_size=16, but this run began with 64" in caplog.text
    assert (tmp_path / BATCH_SIZE).read_bytes() == before
    assert settle(Store(str(tmp_path / "other")), 5, unasked) == 5
    assert settle(Store(str(tmp_path / "other")), "auto", unasked) == 5


@pytest.mark.parametrize("text", ["[]", '{"pairs": 0}', '{"pairs": true}', '{"pairs": "8"}', "{"])
def test_a_damaged_size_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / BATCH_SIZE).write_text(text)
    with pytest.raises(OutputError, match=BATCH_SIZE):
        settle(Store(str(tmp_path)), "auto", unasked)
