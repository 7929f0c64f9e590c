"""Placeholders: every design draws, the same seed gives the same pixels, no two seeds do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ConfigError
from curate.synthetic.placeholder_texts import (
    LATIN_MESSAGES,
    OWN_TYPEFACE,
    Typeface,
    installed_typefaces,
    wrap,
)
from curate.synthetic.placeholders import MIN_SIDE, PLACEHOLDER_DESIGNS, draw_placeholder


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_there_are_many_designs_with_distinct_names() -> None:
    assert len(PLACEHOLDER_DESIGNS) >= 60
    assert len(set(PLACEHOLDER_DESIGNS)) == len(PLACEHOLDER_DESIGNS)


@pytest.mark.parametrize("design", PLACEHOLDER_DESIGNS)
def test_a_seed_decides_every_pixel(design: str) -> None:
    first, again = (draw_placeholder(rng(4), (60, 48), design=design) for _ in range(2))
    assert first.mode == "RGB"
    assert first.size == (60, 48)
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize("design", PLACEHOLDER_DESIGNS)
def test_seeds_give_different_pictures(design: str) -> None:
    pictures = {draw_placeholder(rng(s), (48, 48), design=design).tobytes() for s in range(12)}
    assert len(pictures) >= 11


@given(
    seed=st.integers(0, 2**32 - 1),
    design=st.sampled_from(PLACEHOLDER_DESIGNS),
    width=st.integers(MIN_SIDE, 200),
    height=st.integers(MIN_SIDE, 200),
)
@settings(deadline=None, max_examples=120)
def test_any_size_can_be_drawn(seed: int, design: str, width: int, height: int) -> None:
    assert draw_placeholder(rng(seed), (width, height), design=design).size == (width, height)


def test_sizes_and_designs_vary_when_left_open() -> None:
    pictures = [draw_placeholder(rng(1, s)) for s in range(40)]
    assert len({picture.size for picture in pictures}) >= 30
    assert len({picture.tobytes() for picture in pictures}) == 40


def test_other_typefaces_change_texts() -> None:
    typefaces = [face for face in installed_typefaces() if face != OWN_TYPEFACE]
    if not typefaces:
        pytest.skip("matplotlib, whose fonts training uses, is not installed")
    own = draw_placeholder(rng(2), (120, 80), design="text_plain")
    other = draw_placeholder(rng(2), (120, 80), design="text_plain", typefaces=(typefaces[0],))
    assert own.tobytes() != other.tobytes()


def test_pillows_own_font_gets_ascii_only() -> None:
    spelt = [OWN_TYPEFACE.spell(text) for text in LATIN_MESSAGES]
    assert all(text.isascii() and text.strip() for text in spelt)
    assert OWN_TYPEFACE.spell("não há imagem") == "nao ha imagem"


def test_a_font_file_keeps_accents() -> None:
    face = next((face for face in installed_typefaces() if face.path is not None), None)
    if face is None:
        pytest.skip("matplotlib, whose fonts training uses, is not installed")
    assert isinstance(face, Typeface)
    assert face.spell("não") == "não"


def test_wrapping_keeps_words_and_bounds_lines() -> None:
    lines = wrap("image not available at this time", 10).split("\n")
    assert " ".join(lines) == "image not available at this time"
    assert max(len(line) for line in lines) <= 10


def test_an_unknown_design_is_refused_with_the_alternatives() -> None:
    with pytest.raises(ConfigError, match=r"design: 'photo' is unknown.*camera_off"):
        draw_placeholder(rng(0), design="photo")


def test_a_size_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="size: 7x40 is too small"):
        draw_placeholder(rng(0), (7, 40))
