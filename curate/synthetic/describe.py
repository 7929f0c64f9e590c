"""From what was drawn to a caption: sentences, alternative texts, titles and lists of words."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

NUMBERS = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
]
IRREGULAR = {
    "person": "people",
    "child": "children",
    "fish": "fish",
    "man": "men",
    "woman": "women",
    "leaf": "leaves",
    "shelf": "shelves",
    "cactus": "cacti",
    "sheep": "sheep",
    "knife": "knives",
}


@dataclass(frozen=True)
class Scene:
    """What a drawing shows.

    Attributes:
        subject: a noun phrase with its article, e.g. "a red house beside two trees".
        title: the same in a few words without an article, e.g. "red house".
        setting: where or when, starting with a preposition, e.g. "under a cloudy sky"; may be "".
        details: whole sentences that say more, without a full stop.
    """

    subject: str
    title: str
    setting: str = ""
    details: tuple[str, ...] = ()


def tidy(words: str) -> str:
    """Single spaces, no blank before a comma or full stop."""
    return re.sub(r" ([,.;:])", r"\1", " ".join(words.split()))


def a(words: str) -> str:
    """``words`` with the indefinite article that their first letter asks for."""
    words = tidy(words)
    vowel = words[:1].lower() in "aeiou" and not words.lower().startswith(("uni", "one", "eu"))
    return f"{'an' if vowel else 'a'} {words}"


def plural(noun: str) -> str:
    """The plural of an English noun, judged by its last word."""
    head, _, last = noun.rpartition(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


def count(number: int, noun: str) -> str:
    """ "three green trees" for (3, "green tree"); the article for one."""
    noun = tidy(noun)
    if number == 1:
        return a(noun)
    word = NUMBERS[number] if number < len(NUMBERS) else str(number)
    return f"{word} {plural(noun)}"


def listing(parts: list[str]) -> str:
    """ "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def capital(words: str) -> str:
    """The first letter made a capital, the rest left alone."""
    return words[:1].upper() + words[1:]


def _title_case(words: str) -> str:
    small = {"a", "an", "the", "and", "of", "in", "on", "at", "with", "under", "by", "to", "over"}
    parts = words.split()
    return " ".join(
        w if (w in small and i) or not w[:1].isalpha() else capital(w) for i, w in enumerate(parts)
    )


_MEDIA = (
    "{medium} of {x}",
    "{medium} of {x}",
    "{medium} showing {x}",
    "{x}, {medium}",
    "{medium}: {x}",
    "{medium} that shows {x}",
    "{medium} depicting {x}",
)
_PLAIN = (
    "{x}",
    "{x}.",
    "{X}",
    "{X}.",
    "{X}.",
    "A picture of {x}",
    "an image of {x}",
    "a drawing of {x}",
    "Drawing of {x}.",
    "Illustration of {x}",
    "an illustration showing {x}",
    "The illustration shows {x}.",
    "This picture shows {x}.",
    "A simple scene with {x}.",
    "{x}, illustration",
    "There is {x} in the picture.",
)


def write_caption(rng: np.random.Generator, scene: Scene, medium: str) -> str:
    """One of many captions that fit the scene.

    Args:
        rng: decides template, length and order.
        scene: what was drawn.
        medium: the technique as a noun phrase without article ("watercolour painting"), or "".
    """
    full = tidy(f"{scene.subject} {scene.setting}")
    details = list(scene.details)
    rng.shuffle(details)
    form = float(rng.random())
    if form < 0.13:
        return _title(rng, scene, medium)
    if form < 0.22:
        return tidy(f"{scene.title}, {scene.setting}".strip(", ")) if scene.setting else full
    shown = full if float(rng.random()) < 0.8 else scene.subject
    if medium and float(rng.random()) < 0.6:
        template = _MEDIA[int(rng.integers(len(_MEDIA)))]
        text = template.format(medium=medium, x=shown)
        text = a(text) if text.startswith(medium) and ":" not in text else text
    elif scene.subject.startswith(("a ", "an ")):
        text = _PLAIN[int(rng.integers(len(_PLAIN)))].format(x=shown, X=capital(shown))
    else:
        # "There is three cats": the last template needs a singular subject.
        text = _PLAIN[int(rng.integers(len(_PLAIN) - 1))].format(x=shown, X=capital(shown))
    extra = int(rng.integers(0, 3)) if float(rng.random()) < 0.55 else 0
    for detail in details[:extra]:
        text = f"{capital(text.rstrip('.'))}. {capital(detail)}."
    return tidy(text)


def _title(rng: np.random.Generator, scene: Scene, medium: str) -> str:
    title = _title_case(scene.title)
    choice = int(rng.integers(6))
    if choice == 0 and medium:
        return f"{title} - {medium}"
    if choice == 1 and scene.setting:
        return _title_case(tidy(f"{scene.title} {scene.setting}"))
    if choice == 2:
        return f"{title} | {'clip art' if float(rng.random()) < 0.5 else 'stock illustration'}"
    if choice == 3:
        return f'"{title}", {medium or "drawing"}'
    if choice == 4:
        return f"{title}: {tidy(scene.subject)}"
    return _title_case(tidy(scene.subject))
