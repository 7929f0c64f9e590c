"""Batches find another embedder when theirs is lost, unless they are what kills."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray_workers import Summing

from curate.errors import ConfigError, ShardError, WorkerError
from curate.pipeline.attempts import MOST_ATTEMPTS, MOST_SET_ASIDE, counted_attempts
from curate.pipeline.embed_client import LeastLoaded
from curate.shards import Shard

pytestmark = pytest.mark.ray


def _batch(first: int = 1, token: int = 1) -> tuple[Any, Any]:
    pixels = np.ones((2, 3, 3, 3), dtype=np.uint8)
    pixels[0, 0, 0, 0] = first
    return pixels, np.full((2, 4), token, dtype=np.int32)


def _sums(first: int) -> list[float]:
    return [26.0 + first + 4, 27.0 + 4]


@pytest.fixture
def attempts(local_ray: None) -> Iterator[Any]:
    with counted_attempts() as counting:
        yield counting


@pytest.fixture
def embedders(local_ray: None, tmp_path: Path) -> Iterator[tuple[Any, ...]]:
    import ray

    actor = ray.remote(Summing).options(num_cpus=0, max_restarts=-1)
    started = tuple(actor.remote(str(tmp_path)) for _ in range(2))
    ray.get([embedder.pid.remote() for embedder in started])
    yield started
    for embedder in started:
        ray.kill(embedder)


def _client(embedders: tuple[Any, ...], attempts: Any, name: str = "a") -> LeastLoaded:
    return LeastLoaded(Shard(name, f"/pool/{name}.tar", None), embedders, attempts, "score")


def test_batches_are_spread_and_answered(embedders: tuple[Any, ...], attempts: Any) -> None:
    client = _client(embedders, attempts)
    calls = [client.submit(*_batch(number)) for number in range(4)]
    assert sorted(call.at for call in calls) == [0, 0, 1, 1]
    for number, call in enumerate(calls):
        assert client.collect(call).scores["sum"].tolist() == _sums(number)


def test_the_batches_of_a_killed_embedder_go_to_the_others(
    embedders: tuple[Any, ...], attempts: Any
) -> None:
    import ray

    client = _client(embedders, attempts)
    os.kill(ray.get(embedders[0].pid.remote()), signal.SIGKILL)
    calls = [client.submit(*_batch(number)) for number in range(6)]
    for number, call in enumerate(calls):
        assert client.collect(call).scores["sum"].tolist() == _sums(number)


def test_a_pool_that_is_all_gone_is_waited_for(embedders: tuple[Any, ...], attempts: Any) -> None:
    import ray

    client = _client(embedders[:1], attempts)
    os.kill(ray.get(embedders[0].pid.remote()), signal.SIGKILL)
    assert client.collect(client.submit(*_batch(3))).scores["sum"].tolist() == _sums(3)


def test_a_batch_that_kills_sets_its_shard_aside_and_harms_no_other(
    embedders: tuple[Any, ...], attempts: Any, tmp_path: Path
) -> None:
    bad, good = _client(embedders, attempts, "bad"), _client(embedders, attempts, "good")
    poison = bad.submit(*_batch(Summing.POISON))
    calls = [good.submit(*_batch(number)) for number in range(4)]
    with pytest.raises(ShardError, match=r"/pool/bad\.tar: 3 embedders died over the same batch"):
        bad.collect(poison)
    for number, call in enumerate(calls):
        assert good.collect(call).scores["sum"].tolist() == _sums(number)
    # The first death is not noted: it may have been somebody else's fault.
    assert len((tmp_path / "deaths").read_text()) == MOST_ATTEMPTS + 1


def test_shards_set_aside_one_after_the_other_end_the_run(attempts: Any) -> None:
    import ray

    from curate.pipeline.attempts import given_up

    def errors(count: int) -> list[type]:
        return [type(given_up(attempts, f"shard {i}", "why")) for i in range(count)]

    assert errors(MOST_SET_ASIDE - 1) == [ShardError] * (MOST_SET_ASIDE - 1)
    ray.get(attempts.succeed.remote())
    assert errors(MOST_SET_ASIDE) == [ShardError] * (MOST_SET_ASIDE - 1) + [WorkerError]


def test_what_an_embedder_raises_arrives_as_it_was(
    embedders: tuple[Any, ...], attempts: Any
) -> None:
    client = _client(embedders, attempts)
    with pytest.raises(ConfigError, match=r"^a negative token$"):
        client.collect(client.submit(*_batch(token=-1)))
