"""The embedder, without Ray: what it returns, how long it was busy, and what becomes of memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from curate.batch_size import CPU_BATCH
from curate.config import ModelConfig
from curate.encoder import Embeddings, Encoder
from curate.errors import ResourceError
from curate.pipeline import lanes
from curate.pipeline.embedder import Embedder
from curate.pipeline.lanes import Lanes, finish_loading
from curate.work_times import EMBEDDING, SPLIT

PAIRS = 9


@pytest.fixture
def embedder(tiny_model: str) -> Embedder:
    return Embedder(ModelConfig(name=tiny_model, device="cpu"), torch.get_num_threads())


@pytest.fixture
def batch(tiny_encoder: Encoder) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    side, context = tiny_encoder.info.pixels.size[0], tiny_encoder.info.context_length
    pixels = rng.integers(0, 256, (PAIRS, side, side, 3), dtype=np.uint8)
    return pixels, rng.integers(1, 400, (PAIRS, context), dtype=np.int32)


def holding(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every device room for so many pairs."""
    encode = Encoder.encode

    def limited(self: Encoder, pixels: Any, tokens: Any) -> Embeddings:
        if len(pixels) > pairs:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(self, pixels, tokens)

    monkeypatch.setattr(Encoder, "encode", limited)


def test_batches_that_do_not_fit_are_halved_counted_and_warned_of_once(
    embedder: Embedder,
    batch: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = embedder.embed(*batch)
    assert whole.spent[SPLIT] == 0
    holding(4, monkeypatch)
    with caplog.at_level(logging.WARNING):
        found = [embedder.embed(*batch) for _ in range(2)]
    # 9 pairs as 5 and 4, the 5 as 3 and 2.
    assert [output.spent[SPLIT] for output in found] == [2, 2]
    assert all(output.spent[EMBEDDING] >= 0 for output in found)
    for output in found:
        np.testing.assert_allclose(output.image, whole.image, atol=1e-6)
        np.testing.assert_allclose(output.text, whole.text, atol=1e-6)
        for name, values in whole.scores.items():
            np.testing.assert_allclose(output.scores[name], values, rtol=1e-5)
    (record,) = caplog.records
    assert record.getMessage() == "a batch of 9 pairs is halved: CUDA out of memory"


def test_a_pair_that_does_not_fit_is_an_error_with_its_remedy(
    embedder: Embedder, batch: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    holding(0, monkeypatch)
    with pytest.raises(ResourceError, match=r"single pair .*compute\.embedders_per_gpu"):
        embedder.embed(*batch)


def test_cpus_are_not_measured(embedder: Embedder) -> None:
    assert embedder.fitting_batch(1, 1) == CPU_BATCH


def test_on_a_cpu_there_are_no_lanes() -> None:
    pool = Lanes()
    with pool.lane("cpu"), pool.lane("cpu"):
        finish_loading("cpu")
    with pytest.raises(KeyError), pool.lane("cpu"):
        raise KeyError


class Streams:
    """Stands for torch.cuda: streams are numbers, and one of them is current."""

    def __init__(self) -> None:
        self.made = 0
        self.current: list[int] = [0]

    def Stream(self, device: str) -> int:
        assert device == "cuda"
        self.made += 1
        return self.made

    @contextmanager
    def stream(self, stream: int) -> Iterator[None]:
        self.current.append(stream)
        yield
        self.current.remove(stream)


def test_lanes_are_used_again_but_by_one_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Streams()
    monkeypatch.setattr(lanes, "CUDA", cuda)
    pool = Lanes()
    for _ in range(3):
        with pool.lane("cuda"):
            assert cuda.current == [0, 1]
    with pool.lane("cuda"), pool.lane("cuda"):
        assert cuda.current == [0, 1, 2]
    assert (cuda.made, cuda.current) == (2, [0])
    with pool.lane("cpu"):
        assert cuda.current == [0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: none here")
def test_batches_at_the_same_time_have_streams_of_their_own() -> None:
    pool, streams = Lanes(), set()
    for _ in range(3):
        with pool.lane("cuda"):
            streams.add(torch.cuda.current_stream().cuda_stream)
    assert len(streams) == 1
    with pool.lane("cuda"):
        first = torch.cuda.current_stream()
        with pool.lane("cuda"):
            assert torch.cuda.current_stream() != first
