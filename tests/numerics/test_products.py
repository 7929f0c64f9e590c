"""Products by oneDNN against float64, and where they are left to torch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from curate.numerics import products
from curate.numerics.products import STEP, affine, linear, product, takes, works

needs_onednn = pytest.mark.skipif(not works(), reason="torch was built without oneDNN")

TOLERANCE = 2e-5
"""Of sums of some 64 float32 terms of unit variance."""


def _numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@needs_onednn
@given(
    st.lists(st.integers(1, 5), min_size=0, max_size=3),
    st.integers(1, 70),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([None, "none", "tanh"]),
)
def test_a_linear_product_is_that_of_float64(
    leading: list[int], terms: int, width: int, biased: bool, gelu: str | None
) -> None:
    x, weight = _numbers(*leading, terms), _numbers(width, terms, seed=1)
    bias = _numbers(width, seed=2) if biased else None
    found = linear(x, weight, bias, gelu)
    wanted = functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
    if gelu is not None:
        wanted = functional.gelu(wanted, approximate=gelu)
    assert found.dtype == torch.float32
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=TOLERANCE)


@needs_onednn
def test_slices_and_transposes_are_taken() -> None:
    weight, x = _numbers(48, 32), _numbers(3, 7, 64)[..., ::2]
    for part in (weight[16:32], weight.T.contiguous().T):
        found = linear(x, part, None)
        torch.testing.assert_close(found, functional.linear(x, part), rtol=0, atol=TOLERANCE)


@given(
    st.integers(0, 3 * STEP),
    st.integers(1, 70),
    st.integers(0, 40),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_products_are_those_of_float64(
    n: int, d: int, r: int, transposed: bool, dtype: torch.dtype
) -> None:
    x, factor, offset = _numbers(n, d), _numbers(d, r, seed=1), _numbers(r, seed=2)
    x, factor, offset = x.to(dtype), factor.to(dtype), offset.to(dtype)
    if transposed:
        factor = factor.T.contiguous().T
    wanted = x.double() @ factor.double()
    for found, right in (
        (product(x, factor), wanted),
        (affine(x, factor, offset), wanted - offset),
    ):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), right.double(), rtol=1e-5, atol=TOLERANCE)


@needs_onednn
def test_blocks_of_any_size_come_in_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()

    def watched(x: torch.Tensor, weight: torch.Tensor, bias: None) -> torch.Tensor:
        seen.add(len(x))
        return linear(x, weight, bias)

    monkeypatch.setattr(products, "linear", watched)
    factor = _numbers(4, 3)
    for n in range(100):
        assert product(_numbers(n, 4), factor).shape == (n, 3)
    assert seen == {STEP, 2 * STEP, 3 * STEP}


@pytest.mark.parametrize("n", [3, STEP, STEP + 3])
def test_a_factor_is_not_changed(n: int) -> None:
    x, factor, offset = _numbers(n, 4), _numbers(4, 5), _numbers(5)
    before = x.clone(), factor.clone(), offset.clone()
    affine(x, factor, offset)
    assert all(map(torch.equal, (x, factor, offset), before))


@needs_onednn
def test_what_is_taken() -> None:
    x, weight = _numbers(2, 4), _numbers(3, 4)
    assert takes(x, weight)
    assert not takes(x.double(), weight.double())
    assert not takes(x.half(), weight.half())
    assert not takes(x[:0], weight)
    assert not takes(x, weight.clone().requires_grad_())
    assert not takes(x.clone().requires_grad_(), weight)
    with torch.no_grad():
        assert takes(x.clone().requires_grad_(), weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes(x, weight)
    assert not takes(x.to("meta"), weight.to("meta"))


def test_gradients_pass_through_products() -> None:
    x, factor = _numbers(2, 4).requires_grad_(), _numbers(4, 3)
    (found,) = torch.autograd.grad(product(x, factor).sum(), x)
    torch.testing.assert_close(found, factor.sum(dim=1).expand(2, 4))


@pytest.mark.parametrize("error", [RuntimeError, AttributeError])
def test_a_torch_without_it_multiplies_by_itself(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def missing(*_: object) -> torch.Tensor:
        raise error("no operator _linear_pointwise")

    monkeypatch.setattr(products, "linear", missing)
    monkeypatch.setattr(products, "works", works.__wrapped__)
    x, factor, offset = _numbers(2, 4), _numbers(4, 3), _numbers(3)
    assert not products.works()
    assert torch.equal(product(x, factor), x @ factor)
    assert torch.equal(affine(x, factor, offset), x @ factor - offset)


def test_wrong_products_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "linear", lambda x, w, b, gelu: functional.linear(x, w) + 0.1)
    assert not works.__wrapped__()
