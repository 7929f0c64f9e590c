"""The Reference's sample: seeded, exact in size, the same in whatever order pairs are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories import sample_members, tar_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ShardError
from curate.samples import SamplePolicy
from curate.sampling import choose_threshold, hash_samples, sample_hash, sampling_order
from curate.shards import Shard

PAIRS = [(f"{shard:05d}", f"{key:09d}") for shard in range(8) for key in range(50)]


def chosen(pairs: list[tuple[str, str]], samples: int, seed: int) -> set[tuple[str, str]]:
    hashes = np.array([sample_hash(seed, *pair) for pair in pairs], dtype=np.int64)
    threshold = choose_threshold(hashes, samples)
    return {pair for pair, value in zip(pairs, hashes, strict=True) if value <= threshold}


@settings(max_examples=30, deadline=None)
@given(st.permutations(PAIRS), st.integers(2, 500), st.integers(0, 2**64))
def test_order_and_partition_do_not_matter(
    order: list[tuple[str, str]], samples: int, seed: int
) -> None:
    found = chosen(list(order), samples, seed)
    assert found == chosen(PAIRS, samples, seed)
    assert len(found) == min(samples, len(PAIRS))


def test_seeds_choose_differently_and_evenly() -> None:
    times = dict.fromkeys(PAIRS, 0)
    for seed in range(200):
        for pair in chosen(PAIRS, 100, seed):
            times[pair] += 1
    # Each pair is taken 50 times on average, binomial with a deviation of 6.1: five of them.
    assert min(times.values()) > 50 - 31
    assert max(times.values()) < 50 + 31
    by_shard = [sum(n for (s, _), n in times.items() if s == shard) for shard, _ in PAIRS[::50]]
    assert max(by_shard) - min(by_shard) < 400
    assert chosen(PAIRS, 100, 1) != chosen(PAIRS, 100, 2)


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    assert chosen(PAIRS, 20, 3) < chosen(PAIRS, 60, 3)


def test_shard_and_key_do_not_run_into_each_other() -> None:
    hashes = {sample_hash(0, "1", "23"), sample_hash(0, "12", "3"), sample_hash(0, "123", "")}
    assert len(hashes) == 3
    assert sample_hash(1, "2", "x") != sample_hash(12, "", "x")
    assert 0 <= sample_hash(0, "a", "\udc80 odd") < 2**63


@pytest.mark.parametrize("samples", [2, 5, 6, 100])
def test_the_threshold_is_the_last_that_fits(samples: int) -> None:
    hashes = np.array([9, 1, 7, 3, 5], dtype=np.int64)
    threshold = choose_threshold(hashes, samples)
    assert int((hashes <= threshold).sum()) == min(samples, 5)
    assert choose_threshold(hashes[:0], samples) == 2**63 - 1


def test_a_shard_gives_the_hashes_of_its_whole_samples(tmp_path: Path) -> None:
    members = sample_members("a") + sample_members("b")[:1] + sample_members("c")
    path = tmp_path / "00003.tar"
    path.write_bytes(tar_bytes(members))
    shard = Shard("00003", str(path), path.stat().st_size)
    found = hash_samples(shard, SamplePolicy(), 5)
    assert found.dtype == np.int64
    assert found.tolist() == [sample_hash(5, "00003", "a"), sample_hash(5, "00003", "c")]
    with pytest.raises(ShardError, match="none"):
        hash_samples(Shard("none", str(tmp_path / "none.tar"), None), SamplePolicy(), 5)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 99))
def test_shards_are_shuffled_by_seed_and_not_by_listing(order: list[int], seed: int) -> None:
    shards = [Shard(f"{i:05d}", f"/x/{i}.tar", None) for i in range(12)]
    assert sampling_order([shards[i] for i in order], seed) == sampling_order(shards, seed)
    orders = [tuple(s.id for s in sampling_order(shards, seed)) for seed in range(20)]
    assert len(set(orders)) == 20
