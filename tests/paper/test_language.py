"""-log p against sums of log-softmax written out, one caption at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curate.errors import ModelError
from curate.paper.language import LanguageModel

CAPTIONS = ["a red cat", "thing", "so so so w1 w2 w3", "", "never seen", "a " * 30]


def by_hand(folder: Path, caption: str) -> tuple[float, int]:
    """Minus the sum of log-softmax in Python floats; the words themselves are the tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    words = [vocabulary.get(word, vocabulary["<unk>"]) for word in caption.split()][:11]
    ids = [vocabulary["<s>"], *words]
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0].tolist()
    total = 0.0
    for at, token in enumerate(words):
        top = max(logits[at])
        norm = top + math.log(math.fsum(math.exp(x - top) for x in logits[at]))
        total -= logits[at][token] - norm
    return total, len(words)


def test_it_is_the_sum_of_log_softmax(tiny_language_model: Path) -> None:
    found = LanguageModel(str(tiny_language_model)).surprisal(CAPTIONS, batch=4)
    expected = [by_hand(tiny_language_model, caption) for caption in CAPTIONS]
    np.testing.assert_allclose(found.nats, [nats for nats, _ in expected], rtol=1e-5, atol=1e-9)
    assert found.tokens.tolist() == [tokens for _, tokens in expected]
    assert found.start == "<s>"
    assert found.truncated == 1  # the context holds twelve tokens, the start included


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batches_and_padding_change_nothing(tiny_language_model: Path, batch: int) -> None:
    model = LanguageModel(str(tiny_language_model))
    alone = np.concatenate([model.surprisal([caption]).nats for caption in CAPTIONS])
    np.testing.assert_allclose(model.surprisal(CAPTIONS, batch).nats, alone, rtol=1e-5, atol=1e-9)
    turned = model.surprisal(CAPTIONS[::-1], batch).nats[::-1]
    np.testing.assert_allclose(turned, alone, rtol=1e-5, atol=1e-9)


def test_without_a_start_the_first_token_is_not_counted(tiny_language_model: Path) -> None:
    model = LanguageModel(str(tiny_language_model))
    model._tokenizer.bos_token = None
    found = model.surprisal(["a red cat", "thing"])
    assert found.start == ""
    assert found.tokens.tolist() == [2, 0]
    assert found.nats[1] == 0.0


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"paper\.language_model=.*cannot be loaded"):
        LanguageModel(str(tmp_path))
