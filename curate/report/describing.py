"""What columns are called, and what they mean, in a reader's words."""

from __future__ import annotations

from typing import Final, NamedTuple

from curate.schema import ALL_SCORES


class Described(NamedTuple):
    """Unit (empty where there is none) and meaning of a column."""

    unit: str
    meaning: str


_INFORMATIVENESS: Final = (
    "how far the {a} moves the distribution of {b} from its prior, by the quadratic form; low:"
    " it says next to nothing"
)
_GAIN: Final = "the Information Gain KL(p(.|{a}) || p(.)) against {of}"

_MEANINGS: Final = {
    "image_informativeness": Described("nats", _INFORMATIVENESS.format(a="image", b="texts")),
    "text_informativeness": Described("nats", _INFORMATIVENESS.format(a="caption", b="images")),
    "clip_score": Described("", "inner product of the normalised embeddings of the pair"),
    "image_norm": Described("", "norm of the image's embedding before normalisation"),
    "text_norm": Described("", "norm of the caption's embedding before normalisation"),
    "image_information_gain": Described(
        "nats", _GAIN.format(a="image", of="the Reference's sample")
    ),
    "text_information_gain": Described(
        "nats", _GAIN.format(a="caption", of="the Reference's sample")
    ),
    "image_information_gain_landmarks": Described(
        "nats", _GAIN.format(a="image", of="the Reference's landmarks")
    ),
    "text_information_gain_landmarks": Described(
        "nats", _GAIN.format(a="caption", of="the Reference's landmarks")
    ),
    "vas": Described("", "variance alignment of the image with the target set"),
    "text_vas": Described("", "variance alignment of the caption with the target set"),
    "cross_vas": Described("", "variance alignment of the pair with the target set"),
    "normsim_2": Described("", "similarity to the images of the target set, 2-norm"),
    "normsim_inf": Described("", "similarity to the nearest image of the target set"),
    "negcliploss": Described("", "CLIP score less what other pairs take from it"),
    "caption_english": Described("", "1 where English is the caption's most likely language"),
    "width": Described("pixels", "width of the image"),
    "height": Described("pixels", "height of the image"),
    "shorter_side": Described("pixels", "shorter side of the image"),
    "aspect_ratio": Described("", "longer side over the shorter one"),
    "caption_chars": Described("characters", "length of the caption"),
    "caption_words": Described("words", "words of the caption"),
}


def describe(column: str) -> Described:
    """Unit and meaning of a column; one that metadata brought is only called that."""
    return _MEANINGS.get(column, Described("", "carried over from the pool's metadata"))


def label_of(column: str) -> str:
    """A column's name as text: `clip_score` is "CLIP score"."""
    words = column.replace("_", " ")
    return words.replace("clip", "CLIP", 1) if words.startswith("clip") else words


def is_score(column: str) -> bool:
    """Whether a model had to say it."""
    return column in ALL_SCORES


def of_text(column: str) -> bool:
    """Whether a column is of captions alone, so that equal captions have equal values."""
    return column.startswith(("text_", "caption_"))


def of_image(column: str) -> bool:
    """Whether a column is of images alone, so that equal images have equal values."""
    return column.startswith(("image_", "normsim_")) or column in (
        "vas",
        "width",
        "height",
        "shorter_side",
        "aspect_ratio",
    )
