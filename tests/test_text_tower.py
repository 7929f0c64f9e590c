"""Cut captions embed as whole ones do, and models that would not have it are left whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import text_tower
from curate.config import ModelConfig
from curate.loading import create_model, load_tokenizer
from curate.text_tower import CUT_TOLERANCE, Cut, TextTower, find_cut, lengths

CAPTIONS = [
    "a dog",
    "",
    "two words more than that, and then some",
    "a dog",
    "many words " * 60,
    "<PERSON>",
    "<PERSON>",
    "a cat that sleeps",
    "x",
    "y z",
    "another caption of a middling length",
]


def _load(name: str) -> tuple[Any, Any]:
    model = create_model(ModelConfig(name=name, device="cpu"), "cpu").requires_grad_(False)
    return model, load_tokenizer(name, model.context_length)


@torch.inference_mode()
def _rows(tower: TextTower, tokens: Any) -> Any:
    return tower(tokens).numpy()


# --- lengths ----------------------------------------------------------------------------------


def test_lengths_leave_one_pad() -> None:
    tokens = np.array([[1, 2, 0, 0], [1, 0, 2, 0], [1, 2, 3, 4], [0, 0, 0, 0]], dtype=np.int32)
    assert lengths(tokens, 0).tolist() == [3, 4, 4, 1]


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=9))
def test_what_is_cut_away_is_padding(rows: list[list[int]]) -> None:
    tokens = np.array(rows, dtype=np.int32)
    for row, used in zip(rows, lengths(tokens, 0), strict=True):
        assert not any(row[used:])
        assert 1 <= used <= 6
        assert used == 6 or row[used - 1] == 0


# --- models -----------------------------------------------------------------------------------


def test_the_embedded_model_and_a_small_clip_may_be_cut(tiny_model: str) -> None:
    for name in ("embedded", tiny_model):
        assert find_cut(*_load(name)) is not None


def test_a_tower_that_sees_its_padding_is_left_whole(tiny_model: str) -> None:
    model, tokenize = _load(tiny_model)
    model._buffers["attn_mask"] = None  # every token looks at every other, as in SigLIP
    assert find_cut(model, tokenize) is None
    tokens = tokenize(CAPTIONS)
    with torch.inference_mode():
        whole = model.encode_text(torch.from_numpy(tokens).long()).numpy()
    np.testing.assert_array_equal(_rows(TextTower(model, None), tokens), whole)


@pytest.mark.parametrize("group", [1, 2, 8, 64])
@pytest.mark.parametrize("name", ["embedded", "tiny"])
def test_rows_are_those_of_the_whole_context_in_their_order(
    name: str, group: int, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tower, "CPU_GROUP", group)
    model, tokenize = _load(tiny_model if name == "tiny" else name)
    tokens = tokenize(CAPTIONS)
    ours = _rows(TextTower(model, find_cut(model, tokenize)), tokens)
    theirs = _rows(TextTower(model, None), tokens)
    scale = np.linalg.norm(theirs, axis=1, keepdims=True)
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=CUT_TOLERANCE)
    np.testing.assert_array_equal(ours[0], ours[3])
    np.testing.assert_array_equal(ours[5], ours[6])


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(len(CAPTIONS))), st.integers(0, len(CAPTIONS)))
def test_order_and_neighbours_do_not_matter(order: list[int], count: int) -> None:
    model, tokenize = EMBEDDED
    tower, tokens = TextTower(model, CUT), tokenize(CAPTIONS)
    rows = order[:count]
    np.testing.assert_allclose(
        _rows(tower, tokens[rows]), _rows(tower, tokens)[rows], rtol=0, atol=1e-5
    )


EMBEDDED = _load("embedded")
CUT = find_cut(*EMBEDDED)


def test_equal_captions_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenize = EMBEDDED
    tower = TextTower(model, CUT)
    seen: list[int] = []
    encode = tower._encode

    def counted(tokens: Any, length: int) -> torch.Tensor:
        seen.append(len(tokens))
        return encode(tokens, length)

    monkeypatch.setattr(tower, "_encode", counted)
    assert len(_rows(tower, tokenize(["<PERSON>"] * 30 + ["a dog"]))) == 31
    assert sum(seen) == 2


def test_the_model_itself_is_left_as_it_was() -> None:
    model, tokenize = EMBEDDED
    before = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    _rows(TextTower(model, CUT), tokenize(["a dog"]))
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == before


def test_a_wrong_cut_is_noticed() -> None:
    model, tokenize = EMBEDDED
    tokens = tokenize(text_tower.PROBES)
    with torch.inference_mode():
        whole = text_tower._unit(model.encode_text(torch.from_numpy(tokens).long()))
        assert CUT is not None
        assert text_tower._same(model, CUT, tokens, whole)
        assert not text_tower._same(model, Cut(CUT.pad, sliced=False), tokens, whole)
        assert not text_tower._same(model, CUT, tokens, whole.roll(1, 0))


# --- shapes -----------------------------------------------------------------------------------


def _shapes(tower: TextTower, batches: list[Any], monkeypatch: pytest.MonkeyPatch) -> set[Any]:
    seen = set()
    encode = tower._encode

    def watched(tokens: Any, length: int) -> Any:
        seen.add((len(tokens), length))
        return encode(tokens, length)

    monkeypatch.setattr(tower, "_encode", watched)
    for batch in batches:
        _rows(tower, batch)
    return seen


def test_batches_of_any_size_and_lengths_come_in_few_shapes(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = _load(tiny_model)
    rng = np.random.default_rng(0)
    batches = []
    for count in range(9, 33):
        tokens = np.zeros((count, 16), np.int32)
        for row, length in enumerate(rng.integers(2, 17, count)):
            tokens[row, :length] = rng.integers(1, 40000, length)
        batches.append(tokens)
    tower = TextTower(model, Cut(0, sliced=True))
    assert _shapes(tower, batches, monkeypatch) <= {(8, length) for length in (4, 8, 12, 16)}


def test_rows_come_back_in_their_places_from_groups_that_were_filled_up(tiny_model: str) -> None:
    model, _ = _load(tiny_model)
    rng = np.random.default_rng(1)
    tokens = np.zeros((13, 16), np.int32)
    for row in range(13):
        length = 2 + row % 9
        tokens[row, :length] = rng.integers(1, 40000, length)
        tokens[row, length] = 49407
    tokens[5] = tokens[11]
    tower = TextTower(model, Cut(0, sliced=True))
    with torch.inference_mode():
        whole = model.encode_text(torch.from_numpy(tokens).long())
    np.testing.assert_allclose(_rows(tower, tokens), whole.numpy(), rtol=0, atol=2e-5)
