"""Scrubbed captions: never empty, decided by the seed, far more than a run can learn by heart."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ConfigError
from curate.synthetic.scrubbed import SCRUBBED_FAMILIES, scrubbed_caption


def captions(family: str, count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [scrubbed_caption(rng, family=family) for _ in range(count)]


@pytest.mark.parametrize("family", SCRUBBED_FAMILIES)
def test_a_family_is_large(family: str) -> None:
    assert len(set(captions(family, 1000))) >= 450


@given(seed=st.integers(0, 2**32 - 1), family=st.sampled_from(SCRUBBED_FAMILIES))
@settings(deadline=None)
def test_a_seed_decides_a_caption_that_is_not_empty(seed: int, family: str) -> None:
    (first,), (again,) = captions(family, 1, seed), captions(family, 1, seed)
    assert first == again
    assert first.strip() == first != ""
    assert first.encode("utf-8").decode("utf-8") == first


def test_families_are_drawn_alike_when_left_open() -> None:
    rng = np.random.default_rng(5)
    drawn = {scrubbed_caption(rng) for _ in range(3000)}
    assert len(drawn) >= 2500
    assert any(re.search(r"[<\[{;]PERSON", text) for text in drawn)


@pytest.mark.parametrize(
    ("family", "pattern", "share"),
    [
        ("person_tags", r"(?i)(<|\[|\{|&lt;)[a-z_]+(_\d)?(>|\]|\}|&gt;)", 1.0),
        ("file_names", r"\d", 0.95),
        ("urls", r"[a-z]\.[a-z]{2,}", 1.0),
        ("prices_and_numbers", r"\d|★", 0.99),
    ],
)
def test_a_family_keeps_its_form(family: str, pattern: str, share: float) -> None:
    texts = captions(family, 500)
    assert np.mean([re.search(pattern, text) is not None for text in texts]) >= share


def test_an_unknown_family_is_refused_with_the_alternatives() -> None:
    with pytest.raises(ConfigError, match=r"family: 'poems' is unknown.*person_tags"):
        scrubbed_caption(np.random.default_rng(0), family="poems")
