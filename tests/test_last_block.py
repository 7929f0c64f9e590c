"""Towers that need no more than a row of their last block are spared the rest, and no others."""

from __future__ import annotations

import copy
from typing import Any

import open_clip
import pytest
import torch
from models import tiny_clip

from curate.config import ModelConfig
from curate.encoder import Encoder, fingerprint
from curate.last_block import ClassTokenBlock, use_class_token
from curate.shared_model import freeze, thaw


def _frames(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize(
    "vision", [{}, {"ls_init_value": 0.1}, {"layers": 1}, {"final_ln_after_pool": True}]
)
def test_embeddings_are_those_of_the_whole_block(vision: dict[str, Any], count: int) -> None:
    model = tiny_clip(**vision)
    whole = copy.deepcopy(model)
    assert use_class_token(model)
    with torch.inference_mode():
        wanted = whole.encode_image(_frames(count), normalize=True)
        copied: Any = thaw(freeze(model), "cpu")
        for spared in (model, copied):
            found = spared.encode_image(_frames(count), normalize=True)
            torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6)


def test_one_row_is_computed() -> None:
    model = tiny_clip()
    use_class_token(model)
    rows = []
    last = model.visual.transformer.resblocks[-1]
    last.block.mlp.register_forward_hook(
        lambda _module, given, _out: rows.append(given[0].shape[1])
    )
    with torch.inference_mode():
        model.encode_image(_frames())
    assert rows == [1]


@pytest.mark.parametrize(
    "vision", [{"pool_type": "avg"}, {"attentional_pool": True}, {"layers": [1, 1, 1, 1]}]
)
def test_towers_that_use_more_are_left_whole(vision: dict[str, Any]) -> None:
    model = tiny_clip(**vision)
    frames = _frames()
    with torch.inference_mode():
        wanted = model.encode_image(frames)
        assert not use_class_token(model)
        assert torch.equal(model.encode_image(frames), wanted)
    assert not any(isinstance(module, ClassTokenBlock) for module in model.modules())


def test_a_block_of_another_make_is_left_whole() -> None:
    model = tiny_clip()
    del model.visual.transformer.resblocks[-1].ls_1
    model.visual.transformer.resblocks[-1].ls_1 = None
    whole = model.visual.transformer.resblocks[-1]
    whole.forward = lambda x, attn_mask=None: x
    assert not use_class_token(model)
    assert model.visual.transformer.resblocks[-1] is whole


def test_a_mask_is_refused() -> None:
    block = ClassTokenBlock(tiny_clip().visual.transformer.resblocks[-1])
    with pytest.raises(NotImplementedError, match="mask"):
        block(torch.zeros(1, 5, 64), attn_mask=torch.zeros(5, 5))


def test_the_encoder_uses_it_and_names_the_weights_as_before(tiny_model: str) -> None:
    encoder = Encoder(ModelConfig(name=tiny_model, device="cpu"))
    assert isinstance(encoder._model.visual.transformer.resblocks[-1], ClassTokenBlock)
    plain = open_clip.create_model(tiny_model)
    assert encoder.info.fingerprint == fingerprint(plain)
