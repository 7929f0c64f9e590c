"""oneDNN's layers against torch's own, alone and in models, and where they give way to them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import tiny_clip
from torch import nn

from curate import onednn
from curate.config import ModelConfig
from curate.encoder import Encoder, fingerprint
from curate.numerics.products import works
from curate.onednn import Attention, Linear, LinearGelu, use_onednn
from curate.shared_model import freeze, thaw

pytestmark = pytest.mark.skipif(not works(), reason="torch was built without oneDNN")

TOLERANCE = 2e-5
"""Of sums of some 64 float32 terms of unit variance."""


def _numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- attention --------------------------------------------------------------------------------


def _pair(**options: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs: Any = (
        nn.MultiheadAttention(32, 4, batch_first=True, **options).eval().requires_grad_(False)
    )
    ours = copy.deepcopy(theirs)
    ours.__class__ = Attention
    return theirs, ours


MASKS: dict[str, Callable[[], torch.Tensor | None]] = {
    "none": lambda: None,
    "causal": lambda: torch.full((7, 7), float("-inf")).triu_(1),
    "of each head": lambda: _numbers(3 * 4, 7, 7, seed=3),
    "bool": lambda: torch.ones(7, 7, dtype=torch.bool).triu_(1),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("bias", [True, False])
def test_self_attention_is_that_of_torch(mask: str, bias: bool) -> None:
    theirs, ours = _pair(bias=bias)
    x = _numbers(3, 7, 32, seed=1)
    with torch.inference_mode():
        wanted = theirs(x, x, x, need_weights=False, attn_mask=MASKS[mask]())
        found = ours(x, x, x, need_weights=False, attn_mask=MASKS[mask]())
    assert found[1] is None
    torch.testing.assert_close(found[0], wanted[0], rtol=0, atol=TOLERANCE)


def test_attention_to_another_sequence_is_that_of_torch() -> None:
    theirs, ours = _pair()
    x, other = _numbers(3, 2, 32, seed=1), _numbers(3, 7, 32, seed=2)
    with torch.inference_mode():
        wanted, _ = theirs(x, other, other, need_weights=False)
        found, _ = ours(x, other, other, need_weights=False)
    torch.testing.assert_close(found, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, {"need_weights": True}),
        ({}, {"need_weights": False, "key_padding_mask": torch.zeros(3, 7, dtype=torch.bool)}),
        ({"add_zero_attn": True}, {"need_weights": False}),
        ({"add_bias_kv": True}, {"need_weights": False}),
    ],
)
def test_other_calls_of_attention_are_left_to_torch(
    options: dict[str, Any], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = _pair(**options)
    monkeypatch.setattr(Attention, "_attend", None)
    x = _numbers(3, 7, 32, seed=1)
    with torch.inference_mode():
        wanted, found = theirs(x, x, x, **arguments), ours(x, x, x, **arguments)
    assert torch.equal(found[0], wanted[0])


# --- where it gives way -----------------------------------------------------------------------


def _layer(approximate: str | None = None) -> tuple[Any, Any]:
    torch.manual_seed(0)
    parts = [nn.Linear(8, 4)] + ([nn.GELU(approximate)] if approximate else [])
    theirs = nn.Sequential(*parts)
    ours = copy.deepcopy(theirs)
    use_onednn(ours)
    return theirs, ours


@pytest.mark.parametrize("approximate", [None, "none", "tanh"])
def test_gradients_autocast_other_dtypes_and_no_rows_are_left_to_torch(
    approximate: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = _layer(approximate)
    monkeypatch.setattr(onednn, "linear", None)
    assert type(ours[0]) in (Linear, LinearGelu)
    x = _numbers(5, 8)
    ours(x).sum().backward()
    assert ours[0].weight.grad is not None
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(x), theirs(x))
    with torch.inference_mode():
        assert ours(x[:0]).shape == (0, 4)
        assert torch.equal(ours.double()(x.double()), theirs.double()(x.double()))


def test_a_torch_without_it_keeps_its_own_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.onednn.works", lambda: False)
    model = tiny_clip()
    before = [type(module) for module in model.modules()]
    use_onednn(model)
    assert [type(module) for module in model.modules()] == before


def test_layers_of_derived_classes_are_left_alone() -> None:
    class Derived(nn.Linear):
        pass

    model = nn.Sequential(Derived(4, 4), nn.GELU(), nn.Linear(4, 4))
    use_onednn(model)
    assert [type(module) for module in model] == [Derived, nn.GELU, Linear]


# --- whole models -----------------------------------------------------------------------------


TIMM = {
    "timm_model_name": "vit_tiny_patch16_224",
    "timm_pool": "token",
    "timm_proj": "mlp",
    "image_size": 224,
}


@pytest.mark.parametrize("vision", [{}, TIMM])
def test_a_model_embeds_as_before_under_the_same_names(vision: dict[str, Any]) -> None:
    model = tiny_clip(**vision)
    size = model.visual.image_size
    frames = _numbers(3, 3, *(size if isinstance(size, tuple) else (size, size)))
    tokens = torch.randint(1, 40000, (3, 16), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = model.encode_image(frames, normalize=True), model.encode_text(tokens, True)
        weights = fingerprint(model)
        use_onednn(model)
        kinds = [type(module) for module in model.modules()]
        assert nn.Linear not in kinds
        assert nn.MultiheadAttention not in kinds
        assert nn.GELU not in kinds
        assert LinearGelu in kinds
        assert fingerprint(model) == weights
        copied: Any = thaw(freeze(model), "cpu")
        for one in (model, copied):
            found = one.encode_image(frames, normalize=True), one.encode_text(tokens, True)
            for ours, theirs in zip(found, wanted, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("precision", "used"), [("fp32", True), ("bf16", False)])
def test_the_encoder_uses_it_in_float32(tiny_model: str, precision: Any, used: bool) -> None:
    encoder = Encoder(ModelConfig(name=tiny_model, device="cpu", precision=precision))
    assert any(isinstance(module, Linear) for module in encoder._model.modules()) is used
