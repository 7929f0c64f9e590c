"""Errors of References against sample size: against theory, naive sums and `curate fit`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import reference
from curate.config import ReferenceConfig
from curate.encoder import ModelInfo
from curate.errors import NumericsError
from curate.numerics.posterior import Posterior
from curate.paper.reference_error import (
    CLOSE,
    TYPICAL,
    Draw,
    draw_sizes,
    fit_sides,
    powers,
    summarise,
    usable_sizes,
)
from curate.pixels import PixelSpec

SOFTMAX = Posterior("softmax")


def pairs(n: int, d: int = 6, seed: int = 0) -> tuple[Any, Any]:
    """Image and text embeddings of n pairs that agree, in two cones."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, d)) * np.linspace(1, 0.3, d)
    sides = (shared + 0.5 * rng.normal(size=(n, d)) + offset for offset in (1.0, -1.0))
    image, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in sides)
    return image.astype(np.float32), text.astype(np.float32)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_sides_are_those_of_curate_fit(link: Any) -> None:
    image, text = pairs(60)
    info = ModelInfo(
        name="tiny",
        fingerprint="f" * 64,
        link=link,
        logit_scale=9.0,
        logit_bias=-3.0,
        dim=6,
        pixels=PixelSpec((32, 32)),
        context_length=16,
        device="cpu",
        precision="fp32",
    )
    fitted = reference.fit(image, text, ReferenceConfig(), info)[0]
    sides = fit_sides(image, text, Posterior(link))
    for name in ("image", "text"):
        np.testing.assert_array_equal(sides[name].mean, getattr(fitted, name).mean)
        np.testing.assert_array_equal(sides[name].metric, getattr(fitted, name).metric)


def test_spread_is_the_root_of_the_scatter() -> None:
    image, text = pairs(40)
    logits = np.exp(image.astype(float) @ text.astype(float).T)
    prior = (logits / logits.sum(axis=1, keepdims=True)).mean(axis=0)
    centred = text - prior @ text
    expected = math.sqrt(prior @ (centred**2).sum(axis=1))
    assert fit_sides(image, text, SOFTMAX)["text"].spread == pytest.approx(expected, rel=1e-6)


def test_the_error_of_the_mean_is_the_root_of_n_whatever_the_share_of_all_pairs() -> None:
    # |mean - population mean|^2 / trace(covariance) is 1 / n on average; at n = N / 2 an error
    # against all pairs alone would come out as 0.71 of that. So with priors that are all but
    # uniform, as at a small scale: priors of the sample's own add to the error.
    image, text = pairs(200)
    flat = Posterior("softmax", scale=1e-3)
    found = list(draw_sizes(image, text, flat, [25, 50, 100], draws=40, seed=1))
    for size in (25, 50, 100):
        squares = [draw.mean**2 for at, _, draw in found if at == size]
        assert len(squares) == 160
        assert math.sqrt(np.mean(squares) * size) == pytest.approx(1, rel=0.08)


def test_every_draw_is_against_all_pairs_and_its_twin() -> None:
    image, text = pairs(64)
    found = list(draw_sizes(image, text, SOFTMAX, [8, 32], draws=3))
    assert [(size, name) for size, name, _ in found[:4]] == [(8, "image")] * 2 + [(8, "text")] * 2
    assert len(found) == 2 * 3 * 2 * 2
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert first[2].spearman_apart == second[2].spearman_apart
        assert -1 <= first[2].spearman_apart <= 1
        assert 0 <= first[2].lowest <= 1
    # Halves of the whole err by the same, with opposite signs.
    halves = [draw for size, _, draw in found if size == 32]
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        assert first.mean == pytest.approx(second.mean, rel=0.05)  # but for the priors


def test_draws_depend_on_seed_and_size_alone() -> None:
    image, text = pairs(60)
    alone = list(draw_sizes(image, text, SOFTMAX, [20], draws=2, seed=3))
    among = list(draw_sizes(image, text, SOFTMAX, [10, 20, 30], draws=2, seed=3))
    assert alone == [entry for entry in among if entry[0] == 20]
    assert alone != list(draw_sizes(image, text, SOFTMAX, [20], draws=2, seed=4))


def test_other_pairs_may_be_scored() -> None:
    image, text = pairs(60)
    own = list(draw_sizes(image, text, SOFTMAX, [20], draws=1))
    same = list(draw_sizes(image, text, SOFTMAX, [20], draws=1, scored=(image, text)))
    other = list(draw_sizes(image, text, SOFTMAX, [20], draws=1, scored=pairs(80, seed=9)))
    assert own == same
    for (_, _, a), (_, _, b) in zip(own, other, strict=True):
        assert (a.mean, a.covariance, a.operator) == (b.mean, b.covariance, b.operator)
        assert a.spearman != b.spearman


def test_larger_samples_are_better_in_every_way() -> None:
    image, text = pairs(600)
    rows = summarise(list(draw_sizes(image, text, SOFTMAX, [30, 120, 300], draws=6)))
    for name in ("image", "text"):
        mine = [row for row in rows if row["modality"] == name]
        assert [row["pairs"] for row in mine] == [30, 120, 300]
        for measure in ("mean", "covariance", "operator"):
            values = [row[measure] for row in mine]
            assert values == sorted(values, reverse=True), measure
        for measure in ("spearman", "lowest", "spearman_apart", "lowest_apart"):
            values = [row[measure] for row in mine]
            assert values == sorted(values), measure
    for row in powers(rows):
        if row["measure"] in ("mean error", "covariance error", "operator error"):
            assert row["exponent"] == pytest.approx(-0.5, abs=0.15), row


def made_up(power: float, constant: float, sizes: list[int]) -> list[tuple[int, str, Draw]]:
    found = []
    for size in sizes:
        error = constant * size**power
        rank = 1 - error
        found += [(size, "image", Draw(error, error, error, rank, rank, rank, rank))] * 2
    return found


def test_powers_are_recovered() -> None:
    rows = powers(summarise(made_up(-0.5, 3.0, [100, 400, 1600])))
    assert len(rows) == 5
    for row in rows:
        assert row["exponent"] == pytest.approx(-0.5, abs=1e-9)
        assert row[f"at {TYPICAL} pairs"] == pytest.approx(0.03, rel=1e-9)


def test_what_has_no_power_is_not_a_number() -> None:
    for found in (made_up(-0.5, 3.0, [100]), made_up(-0.5, 0.0, [100, 400])):
        assert all(math.isnan(row["exponent"]) for row in powers(summarise(found)))


def test_a_single_draw_has_no_deviation() -> None:
    (row,) = summarise(made_up(-0.5, 3.0, [100])[:1])
    assert row["draws"] == 1
    assert row["mean"] == pytest.approx(0.3)
    assert math.isnan(row["mean_sd"])


@given(st.lists(st.integers(1, 500), min_size=1), st.integers(2, 1000))
def test_usable_sizes_leave_room_for_two(sizes: list[int], n: int) -> None:
    if n < 2 * min(sizes):
        with pytest.raises(NumericsError, match=r"paper\.sample_sizes"):
            usable_sizes(sizes, n)
        return
    found = usable_sizes(sizes, n)
    assert found == sorted(set(found))
    assert {s for s in sizes if 2 * s <= n} <= set(found)
    assert all(2 * size <= n for size in found)
    assert max(found) * CLOSE >= min(n // 2, max(sizes))


def test_known_usable_sizes() -> None:
    assert usable_sizes((500, 1000, 2000, 4000, 8000), 8630) == [500, 1000, 2000, 4000]
    assert usable_sizes((500, 1000, 2000, 4000, 8000), 6000) == [500, 1000, 2000, 3000]
    assert usable_sizes((500,), 20_000) == [500]
    with pytest.raises(NumericsError, match="no two disjoint"):
        usable_sizes((), 100)
