"""negCLIPLoss against the formula in float64 loops, and against the textbook CLIP loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from naive import cone
from torch.nn.functional import cross_entropy

from curate.errors import NumericsError
from curate.numerics.clip_loss import NegClipLoss, batch_order

SETTINGS: dict[str, Any] = {"batches": 4, "temperature": 0.05, "seed": 3}


def pairs(n: int, d: int = 6, seed: int = 0) -> tuple[Any, Any]:
    image, text = cone(n, d, seed, offset=1.0, spectrum=0.3)
    return image.astype(np.float32), text.astype(np.float32)


def naive(sample: Any, image: Any, text: Any, batches: int, temperature: float, seed: int) -> Any:
    """One pair, one batch, one term at a time."""

    def dot(a: Any, b: Any) -> float:
        return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))

    scores = []
    for u, v in zip(image, text, strict=True):
        own, found = dot(u, v), []
        for batch in batch_order(len(sample[0]), batches, seed):
            texts = [own, *(dot(u, sample[1][j]) for j in batch)]
            images = [own, *(dot(sample[0][j], v) for j in batch)]
            rows, columns = (
                math.log(math.fsum(math.exp(s / temperature) for s in similar))
                for similar in (texts, images)
            )
            found.append(own - temperature / 2 * (rows + columns))
        scores.append(math.fsum(found) / len(found))
    return np.array(scores)


@pytest.mark.parametrize("batches", [1, 3, 23])
@pytest.mark.parametrize("temperature", [1.0, 0.02])
def test_equals_the_formula(device: torch.device, batches: int, temperature: float) -> None:
    sample, (image, text) = pairs(23), pairs(7, seed=1)
    settings = {"batches": batches, "temperature": temperature, "seed": 5}
    loss = NegClipLoss(*sample, **settings, device=device)
    found = loss(torch.from_numpy(image).to(device), torch.from_numpy(text).to(device)).cpu()
    np.testing.assert_allclose(found, naive(sample, image, text, **settings), atol=2e-6)
    assert (found <= 1e-6).all()


def test_one_batch_with_the_pair_in_it_is_the_clip_loss() -> None:
    sample, fresh = pairs(11), pairs(1, seed=2)
    temperature = 0.1
    loss = NegClipLoss(*sample, batches=1, temperature=temperature, seed=0, dtype=torch.float64)
    found = loss(*(torch.from_numpy(x).double() for x in fresh))
    image, text = (
        torch.from_numpy(np.concatenate(x)).double() for x in zip(sample, fresh, strict=True)
    )
    logits, last = image @ text.T / temperature, torch.tensor([11])
    textbook = (cross_entropy(logits[-1:], last) + cross_entropy(logits.T[-1:], last)) / 2
    torch.testing.assert_close(found[0], -temperature * textbook)


def test_neither_chunks_nor_company_change_a_score() -> None:
    sample, (image, text) = pairs(40), map(torch.from_numpy, pairs(17, seed=4))
    whole = NegClipLoss(*sample, **SETTINGS)(image, text)
    for chunk_bytes in (1, 4 * 40 * 5, 2**20):
        cut = NegClipLoss(*sample, **SETTINGS, chunk_bytes=chunk_bytes)(image, text)
        torch.testing.assert_close(cut, whole, rtol=0, atol=1e-6)
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    turned = NegClipLoss(*sample, **SETTINGS)(image[order], text[order])
    torch.testing.assert_close(turned, whole[order], rtol=0, atol=1e-6)
    alone = NegClipLoss(*sample, **SETTINGS)(image[3:4], text[3:4])
    torch.testing.assert_close(alone, whole[3:4], rtol=0, atol=1e-6)


def test_seed_decides_the_batches() -> None:
    sample, rows = pairs(40), tuple(map(torch.from_numpy, pairs(5, seed=4)))
    one, same, other = (
        NegClipLoss(*sample, **(SETTINGS | {"seed": seed}))(*rows) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_batches_share_the_sample_out() -> None:
    order = batch_order(23, 5, 0)
    assert sorted(map(len, order)) == [4, 4, 5, 5, 5]
    assert sorted(np.concatenate(order)) == list(range(23))


def test_a_pair_that_resembles_all_others_scores_below_one_that_stands_apart() -> None:
    sample = pairs(64, d=16)
    common = [x.mean(axis=0, keepdims=True) for x in sample]
    u, v = (torch.from_numpy(x / np.linalg.norm(x)) for x in common)
    apart = torch.zeros(1, 16)
    apart[0] = torch.from_numpy(np.linalg.svd(np.concatenate(sample))[2][-1])
    score = NegClipLoss(*sample, **SETTINGS)
    assert score(u, v) < score(apart, apart)


def test_no_pairs_give_no_scores() -> None:
    assert NegClipLoss(*pairs(8), **SETTINGS)(torch.zeros(0, 6), torch.zeros(0, 6)).shape == (0,)


def test_what_does_not_fit_is_refused() -> None:
    sample = pairs(8)
    for wrong in ({"batches": 9}, {"batches": 0}, {"temperature": 0.0}, {"chunk_bytes": 0}):
        with pytest.raises(NumericsError, match="negCLIPLoss"):
            NegClipLoss(*sample, **(SETTINGS | wrong))
    with pytest.raises(NumericsError, match="same"):
        NegClipLoss(sample[0], sample[1][:3], **SETTINGS)
    loss = NegClipLoss(*sample, **SETTINGS)
    with pytest.raises(NumericsError, match=r"text is torch\.float32 \(2, 6\)"):
        loss(torch.zeros(3, 6), torch.zeros(2, 6))
    with pytest.raises(NumericsError, match="float64"):
        loss(torch.zeros(3, 6, dtype=torch.float64), torch.zeros(3, 6))
