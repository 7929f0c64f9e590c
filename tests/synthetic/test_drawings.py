"""Drawings: pure functions of their generator, varied, described in plain words."""

from __future__ import annotations

import io
import re
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from curate.synthetic.canvas import COLOURS
from curate.synthetic.describe import Scene, a, count, listing, plural, tidy, write_caption
from curate.synthetic.drawings import SCENE_KINDS, draw_kind, draw_scene
from curate.synthetic.scenes import COLOUR_ONLY

MILLISECONDS_PER_PICTURE = 15  # of processor time at 256 px; see the note at the test


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.int16)


def test_there_are_many_kinds() -> None:
    assert len(SCENE_KINDS) >= 30
    assert len(set(SCENE_KINDS)) == len(SCENE_KINDS)


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_a_drawing_is_a_pure_function_of_its_generator(kind: str) -> None:
    first, words = draw_kind(np.random.default_rng(7), kind, (96, 80))
    second, same_words = draw_kind(np.random.default_rng(7), kind, (96, 80))
    assert first.tobytes() == second.tobytes()
    assert words == same_words


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_every_kind_draws_in_every_shape_and_varies(kind: str) -> None:
    captions, pictures = set(), set()
    for seed, size in enumerate([(64, 64), (120, 84), (84, 120), (65, 71), (64, 64), (64, 64)]):
        image, caption = draw_kind(np.random.default_rng(seed), kind, size)
        assert image.size == size
        assert image.mode == "RGB"
        assert pixels(image).std() > 4, "a flat picture says nothing"
        assert 3 <= len(caption) <= 300
        captions.add(caption)
        pictures.add(image.tobytes())
    assert len(pictures) == 6
    assert len(captions) >= 4


@pytest.fixture(scope="module")
def captions() -> list[str]:
    """Captions of six hundred random drawings."""
    rng = np.random.default_rng(1)
    return [draw_scene(rng, (32, 32))[1] for _ in range(600)]


def test_captions_are_clean_text(captions: list[str]) -> None:
    for caption in captions:
        assert caption == " ".join(caption.split())
        assert caption.isprintable()
        assert not re.search(r"[ ,][.,]|\.\.|\b(?:a|an) (?:a|an)\b|[{}]|None", caption), caption
        assert not re.search(r"\ba (?!one)[aeio]\w+ ", caption), caption
        assert not re.search(r"\b(?:with|in|on|of|and)[.]?$", caption), caption


def test_captions_vary_and_rarely_repeat(captions: list[str]) -> None:
    words = [len(c.split()) for c in captions]
    assert len(set(captions)) > 0.9 * len(captions)
    assert min(words) <= 4
    assert max(words) >= 20
    assert len({c.split()[0] for c in captions}) > 25


def test_every_style_comes_up(captions: list[str]) -> None:
    told = " ".join(captions).lower()
    for medium in ("watercolo", "pencil", "charcoal", "pixel art", "oil", "sepia", "poster"):
        assert medium in told


def test_default_sizes_are_those_of_small_web_pictures() -> None:
    rng = np.random.default_rng(3)
    sizes = {draw_scene(rng)[0].size for _ in range(40)}
    assert len(sizes) > 10
    assert all(192 <= side <= 320 for size in sizes for side in size)
    assert all(max(size) <= 1.45 * min(size) for size in sizes)


def test_the_colour_that_is_told_is_the_colour_that_is_drawn() -> None:
    """The cloth under playing cards is seen along the upper edge of the picture."""
    channel = {"red": 0, "green": 1, "blue": 2, "navy": 2}
    checked = Counter[str]()
    for seed in range(150):
        image, caption = draw_kind(np.random.default_rng(seed), "playing cards", (64, 64))
        cloth = re.search(r"(red|green|blue|navy) table", caption, re.I)
        if cloth:
            name = cloth[1].lower()
            edge = pixels(image)[:6].reshape(-1, 3).mean(axis=0)
            assert int(edge.argmax()) == channel[name], (seed, caption, edge)
            checked[name] += 1
    assert min(checked[name] for name in channel) >= 5


def test_pictures_without_colour_tell_no_colour() -> None:
    names = "|".join(n for n in COLOURS if n not in ("black", "white", "grey"))
    # An orange is a fruit in grey, too.
    kinds = [kind for kind in SCENE_KINDS if not kind.startswith("fruit")]
    grey = 0
    for seed in range(300):
        kind = kinds[seed % len(kinds)]
        image, caption = draw_kind(np.random.default_rng(seed), kind, (32, 32))
        channels = pixels(image)
        if np.abs(channels - channels.mean(axis=2, keepdims=True)).max() <= 1:
            grey += 1
            assert not re.search(rf"\b(?:{names})\b", caption, re.I), caption
    assert grey > 10


def test_some_kinds_keep_their_colours() -> None:
    for kind in sorted(COLOUR_ONLY):
        for seed in range(12):
            image, _ = draw_kind(np.random.default_rng(seed), kind, (48, 48))
            channels = pixels(image)
            assert np.abs(channels - channels.mean(axis=2, keepdims=True)).max() > 8


def test_counts_are_what_is_drawn() -> None:
    """More candles, more flames: the number in the caption follows the picture."""
    flames: dict[bool, list[int]] = {False: [], True: []}
    for seed in range(120):
        image, caption = draw_kind(np.random.default_rng(seed), "cake", (96, 96))
        upper = pixels(image)[:60]
        yellow = (upper[..., 0] > 215) & (upper[..., 1] > 165) & (upper[..., 2] < 140)
        many = re.search(r"(six|seven|eight) candles", caption)
        none = re.search(r"without candles|with a candle", caption)
        if many or none:
            flames[bool(many)].append(int(yellow.sum()))
    assert min(len(v) for v in flames.values()) >= 5
    assert np.median(flames[True]) > 2 * np.median(flames[False]) + 5


def test_jpegs_look_like_pictures_and_not_like_icons() -> None:
    rng = np.random.default_rng(4)
    sizes = []
    for _ in range(60):
        buffer = io.BytesIO()
        draw_scene(rng, (256, 256))[0].save(buffer, "JPEG", quality=88)
        sizes.append(buffer.tell())
    assert np.median(sizes) > 8_000, "photographs of this size take 10 to 30 kB"


def test_drawing_is_fast() -> None:
    rng = np.random.default_rng(5)
    draw_scene(rng, (256, 256))
    start = time.process_time()
    for _ in range(40):
        draw_scene(rng, (256, 256))
    spent = (time.process_time() - start) / 40 * 1000
    # Three times the goal: other load on the machine slows shared caches.
    assert spent < 3 * MILLISECONDS_PER_PICTURE


def test_unknown_kind() -> None:
    with pytest.raises(KeyError):
        draw_kind(np.random.default_rng(0), "perpetual motion")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("red house", "a red house"),
        ("orange cat", "an orange cat"),
        ("  empty   board ", "an empty board"),
        ("unicorn", "a unicorn"),
        ("hour", "a hour"),  # judged by letters: no scene has a silent h
    ],
)
def test_article(words: str, expected: str) -> None:
    assert a(words) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("house", "houses"),
        ("green cactus", "green cacti"),
        ("cherry", "cherries"),
        ("toy", "toys"),
        ("peach", "peaches"),
        ("fish", "fish"),
        ("shelf", "shelves"),
        ("person", "people"),
    ],
)
def test_plural(noun: str, expected: str) -> None:
    assert plural(noun) == expected


def test_counting_and_listing() -> None:
    assert count(1, "owl") == "an owl"
    assert count(3, "green  tree") == "three green trees"
    assert count(27, "star") == "27 stars"
    assert listing([]) == ""
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert tidy("a  b , c .") == "a b, c."


def test_captions_keep_to_the_scene() -> None:
    scene = Scene("a red kite", "kite", "over a field", ("it has a long tail",))
    rng = np.random.default_rng(0)
    texts = [write_caption(rng, scene, "pencil drawing") for _ in range(300)]
    assert all("kite" in text.lower() for text in texts)
    assert any("pencil drawing" in text for text in texts)
    assert any("Kite over a Field" in text for text in texts)
    assert any("It has a long tail." in text for text in texts)
    assert any(text == "a red kite over a field" for text in texts)
