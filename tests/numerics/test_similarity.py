from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate.errors import NumericsError
from curate.numerics.similarity import clip_score, normalise


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    )
)
def test_normalise_equals_the_naive_norm(x):
    unit, norms = normalise(torch.from_numpy(x))
    assert unit.dtype == norms.dtype == torch.float32
    for row, found, norm in zip(x.tolist(), unit.tolist(), norms.tolist(), strict=True):
        expected = math.sqrt(math.fsum(value * value for value in row))
        assert norm == pytest.approx(expected, rel=1e-6, abs=1e-45)
        if expected == 0:
            assert found == [0.0] * len(row)
        else:
            assert found == pytest.approx([v / expected for v in row], rel=1e-6, abs=1e-45)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_normalise_takes_any_float(device, dtype):
    x = torch.randn(5, 700, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    unit, norms = normalise(x)
    expected = x.double().square().sum(dim=1).sqrt()
    torch.testing.assert_close(norms.double(), expected, rtol=3e-7, atol=0)
    torch.testing.assert_close(unit.double() * expected[:, None], x.double(), rtol=2e-7, atol=0)


def test_zero_and_nonfinite_rows():
    x = torch.tensor([[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [3.0, 4.0]])
    unit, norms = normalise(x)
    assert unit[0].tolist() == [0, 0]
    assert norms[0] == 0
    assert not torch.isfinite(norms[1:3]).any()
    assert norms[3] == 5
    torch.testing.assert_close(unit[3], torch.tensor([0.6, 0.8]))


def test_clip_score_equals_the_naive_product(device):
    rng = np.random.default_rng(0)
    image, _ = normalise(torch.from_numpy(rng.normal(size=(50, 512))))
    text, _ = normalise(torch.from_numpy(rng.normal(size=(50, 512))))
    found = clip_score(image.to(device), text.to(device)).cpu()
    for score, u, v in zip(found.tolist(), image.tolist(), text.tolist(), strict=True):
        exact = math.fsum(a * b for a, b in zip(u, v, strict=True))
        assert score == pytest.approx(exact, abs=1e-6)
    alone = torch.cat([clip_score(image[i : i + 1], text[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(found, alone, rtol=0, atol=1e-7)


def test_refuses_bad_input():
    with pytest.raises(NumericsError, match="expected float"):
        normalise(torch.zeros(3))
    with pytest.raises(NumericsError, match="int64"):
        normalise(torch.zeros(3, 3, dtype=torch.int64))
    with pytest.raises(NumericsError, match="the same"):
        clip_score(torch.zeros(3, 2), torch.zeros(2, 2))
