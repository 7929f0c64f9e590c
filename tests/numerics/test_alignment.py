"""VAS and NormSim against sums over the target, one member at a time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import cone

from curate.errors import NumericsError
from curate.numerics.alignment import (
    norm_similarity_2,
    norm_similarity_inf,
    second_moment,
    variance_alignment,
)


def embeddings(n: int, d: int = 5, seed: int = 0) -> tuple[Any, Any]:
    image, text = cone(n, d, seed, offset=0.5, spectrum=0.2)
    return image.astype(np.float32), text.astype(np.float32)


def similarities(u: Any, target: Any) -> list[float]:
    return [math.fsum(float(a) * float(b) for a, b in zip(u, t, strict=True)) for t in target]


def on(device: torch.device, *arrays: Any) -> list[torch.Tensor]:
    return [torch.tensor(x, dtype=torch.float32, device=device) for x in arrays]


def test_vas_is_a_mean_over_the_target(device: torch.device) -> None:
    (image, text), (t, s) = embeddings(6, seed=1), embeddings(13)
    for x, y, target_x, target_y in (
        (image, image, t, t),
        (text, text, s, s),
        (image, text, t, s),
    ):
        moment = second_moment([(target_x, target_y)])
        x_, moment_, y_ = on(device, x, moment, y)
        expected = [
            np.mean(np.array(similarities(a, target_x)) * np.array(similarities(b, target_y)))
            for a, b in zip(x, y, strict=True)
        ]
        found = variance_alignment(x_, moment_, y_)
        np.testing.assert_allclose(found.cpu(), expected, rtol=1e-5, atol=1e-7)


def test_norm_similarities_are_norms_over_the_target(device: torch.device) -> None:
    image, target = embeddings(6, seed=1)[0], embeddings(13)[0]
    target[4] = -image[2]  # the nearest in absolute value, as the authors' code takes it
    u, t, moment = on(device, image, target, second_moment([(target, target)]))
    every = [similarities(row, target) for row in image]
    two = norm_similarity_2(variance_alignment(u, moment, u), len(target))
    np.testing.assert_allclose(
        two.cpu(), [math.sqrt(math.fsum(s * s for s in row)) for row in every], rtol=1e-5
    )
    inf = norm_similarity_inf(u, t)
    np.testing.assert_allclose(inf.cpu(), [max(map(abs, row)) for row in every], rtol=1e-6)
    torch.testing.assert_close(inf, torch.linalg.vector_norm(u @ t.T, ord=math.inf, dim=1))
    assert float(inf[2]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("chunk_bytes", [1, 4 * 6 * 4, 2**20])
def test_chunks_change_nothing(chunk_bytes: int) -> None:
    u, t = (torch.from_numpy(embeddings(n, seed=n)[0]) for n in (6, 13))
    whole = norm_similarity_inf(u, t)
    torch.testing.assert_close(norm_similarity_inf(u, t, chunk_bytes), whole, rtol=1e-6, atol=0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 20), max_size=4), st.integers(0, 100))
def test_a_moment_does_not_depend_on_its_blocks(cuts: list[int], seed: int) -> None:
    x, y = embeddings(20, seed=seed)
    edges = [0, *sorted(cuts), 20]
    blocks = [(x[a:b], y[a:b]) for a, b in itertools.pairwise(edges)]
    expected = sum(np.outer(a.astype(float), b) for a, b in zip(x, y, strict=True)) / 20
    np.testing.assert_allclose(second_moment(blocks), expected, rtol=1e-9, atol=1e-12)


def test_no_images_give_no_scores() -> None:
    none = torch.zeros(0, 5)
    moment = torch.from_numpy(second_moment([embeddings(4)])).float()
    assert variance_alignment(none, moment, none).shape == (0,)
    assert norm_similarity_inf(none, torch.ones(3, 5)).shape == (0,)


def test_what_does_not_fit_is_refused() -> None:
    x = np.ones((3, 5), np.float32)
    for blocks in ([], [(x[:0], x[:0])], [(x, x[:2])], [(x, x), (x[:, :4], x[:, :4])]):
        with pytest.raises(NumericsError, match="second moment"):
            second_moment(blocks)
    u = torch.ones(3, 5)
    for moment, y in ((torch.ones(4, 4), u), (torch.ones(5, 4), u), (torch.ones(5, 5), u[:2])):
        with pytest.raises(NumericsError, match="variance alignment"):
            variance_alignment(u, moment, y)
    for target in (torch.ones(2, 4), torch.ones(0, 5), torch.ones(5)):
        with pytest.raises(NumericsError, match="NormSim"):
            norm_similarity_inf(u, target)
    with pytest.raises(NumericsError, match="chunk_bytes"):
        norm_similarity_inf(u, u, 0)
