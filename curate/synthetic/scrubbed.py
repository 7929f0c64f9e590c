"""Captions that say nothing about their picture, as alternative texts on the web often do.

Every family is a small grammar: the same seed gives the same caption, and a family has far more
captions than a training run draws, so that a model cannot learn them by heart.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np

from curate.errors import ConfigError
from curate.synthetic import scrubbed_words as words

Rng = np.random.Generator


def _pick(rng: Rng, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _digits(rng: Rng, low: int, high: int) -> str:
    """A string of ``low`` to ``high`` decimal digits."""
    return "".join(str(d) for d in rng.integers(0, 10, int(rng.integers(low, high + 1))))


def _token(rng: Rng, alphabet: str, low: int, high: int) -> str:
    letters = rng.integers(0, len(alphabet), int(rng.integers(low, high + 1)))
    return "".join(alphabet[i] for i in letters)


def _case(rng: Rng, text: str) -> str:
    """The text as written, or in another letter case as sites style it."""
    styles = (text, text, text.lower(), text.upper(), text.title(), text.capitalize())
    return styles[int(rng.integers(len(styles)))]


def _domain(rng: Rng) -> str:
    syllables = (_pick(rng, words.SYLLABLES) for _ in range(int(rng.integers(2, 4))))
    return "".join(syllables) + _pick(rng, words.TOP_LEVEL_DOMAINS)


def _date(rng: Rng) -> str:
    year, month = int(rng.integers(1998, 2027)), int(rng.integers(1, 13))
    day, name = int(rng.integers(1, 29)), words.MONTHS[month - 1]
    forms = (
        f"{year}-{month:02d}-{day:02d}",
        f"{day:02d}/{month:02d}/{year}",
        f"{month}/{day}/{str(year)[2:]}",
        f"{day}.{month}.{year}",
        f"{name} {day}, {year}",
        f"{day} {name[:3]} {year}",
        f"{year}{month:02d}{day:02d}",
    )
    return forms[int(rng.integers(len(forms)))]


def _time(rng: Rng) -> str:
    hour, minute, second = (int(rng.integers(n)) for n in (24, 60, 60))
    forms = (f"{hour:02d}:{minute:02d}", f"{hour}:{minute:02d}:{second:02d}", f"{hour % 12 + 1} pm")
    return forms[int(rng.integers(len(forms)))]


def person_tags(rng: Rng) -> str:
    """Anonymisation tags alone, repeated, or with a few words around them."""
    left, right = words.TAG_BRACKETS[int(rng.integers(len(words.TAG_BRACKETS)))]
    name = _pick(rng, words.TAG_NAMES)
    tag = left + (name if rng.random() < 0.8 else name.lower()) + right
    if rng.random() < 0.2:
        tag = f"{left}{name}_{int(rng.integers(1, 9))}{right}"
    other = left + _pick(rng, words.TAG_NAMES) + right
    forms = (
        tag,
        " ".join([tag] * int(rng.integers(2, 5))),
        f"{tag} {_pick(rng, words.TAG_JOINERS)} {other}",
        f"{_pick(rng, words.TAG_BEFORE)} {tag}",
        f"{tag} {_pick(rng, words.TAG_AFTER)}",
        f"{tag}, {other}",
        f"{_pick(rng, words.TAG_BEFORE)} {tag} {_pick(rng, words.TAG_JOINERS)} {other}",
    )
    return forms[int(rng.integers(len(forms)))]


def file_names(rng: Rng) -> str:
    """Names that cameras, phones, screenshots and content systems give to files."""
    stem = _pick(rng, words.FILE_STEMS)
    number = _digits(rng, 1, 6)
    forms = (
        f"{stem}{_pick(rng, ('_', '-', ' ', ''))}{number}",
        f"{stem}_{_date(rng).replace('/', '-')}_{_digits(rng, 6, 6)}",
        f"{stem} ({int(rng.integers(1, 40))})",
        f"{_digits(rng, 5, 16)}_{_digits(rng, 6, 17)}_{_pick(rng, ('n', 'o', 'b', 'z'))}",
        _token(rng, string.ascii_uppercase, 2, 4) + _pick(rng, ("_", "", "-")) + _digits(rng, 3, 5),
        f"{stem}-{rng.choice([150, 300, 640, 768, 1024])}x{rng.choice([150, 200, 480, 576, 768])}",
        f"{stem} {_date(rng)} at {_time(rng).replace(':', '.')}",
    )
    name = forms[int(rng.integers(len(forms)))]
    name = name if rng.random() < 0.7 else name.lower()
    return name + (_pick(rng, words.FILE_SUFFIXES) if rng.random() < 0.6 else "")


def hashes(rng: Rng) -> str:
    """Hexadecimal digests, UUIDs and other opaque identifiers."""
    digest = _token(rng, "0123456789abcdef", 32, 40)
    forms = (
        digest[: int(rng.choice([8, 12, 16, 32, 40]))],
        "-".join(digest[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))),
        _token(rng, string.ascii_letters + string.digits, 6, 24),
        _token(rng, string.ascii_letters + string.digits + "-_", 11, 11),
        _token(rng, string.ascii_uppercase + string.digits, 5, 12),
        _token(rng, string.ascii_lowercase, 3, 12),
    )
    text = forms[int(rng.integers(len(forms)))]
    return text + (_pick(rng, words.FILE_SUFFIXES) if rng.random() < 0.3 else "")


def stop_phrases(rng: Rng) -> str:
    """Words that name the slot of a picture and never its content."""
    phrase = _case(rng, _pick(rng, words.STOP_PHRASES))
    chance = rng.random()
    if chance < 0.15:
        return f"{phrase} {int(rng.integers(1, 200))}"
    if chance < 0.25:
        return f"{phrase}{_pick(rng, ('.', '...', ':', '!', ' >', ' »', ' |'))}"
    if chance < 0.37:
        return f"{phrase} {_pick(rng, ('-', '|', '/', ',', ''))} {_pick(rng, words.STOP_PHRASES)}"
    return phrase


def slot_phrases(rng: Rng) -> str:
    """Composed names of picture slots: "blog post header image 3", "mobile banner"."""
    parts = [_pick(rng, words.SLOT_PLACES), _pick(rng, words.SLOT_KINDS)]
    if rng.random() < 0.5:
        parts.insert(0, _pick(rng, words.SLOT_QUALITIES))
    if rng.random() < 0.3:
        parts.append(str(int(rng.integers(1, 60))))
    return _case(rng, _pick(rng, (" ", " ", " ", "-", "_")).join(parts))


def calls_to_action(rng: Rng) -> str:
    """Invitations to read, click or buy, without saying what."""
    verb, thing = _pick(rng, words.ACTION_VERBS).replace("-", " "), _pick(rng, words.ACTION_OBJECTS)
    tail = _pick(rng, words.ACTION_TAILS) if rng.random() < 0.6 else ""
    return _case(rng, f"{verb} {thing} {tail}".strip()) + _pick(
        rng, ("", "", ".", "!", "...", " »")
    )


def urls(rng: Rng) -> str:
    """Addresses of pages, images and mailboxes."""
    path = "/".join(
        _pick(rng, words.URL_PARTS) if rng.random() < 0.6 else _digits(rng, 1, 6)
        for _ in range(int(rng.integers(0, 4)))
    )
    scheme = _pick(rng, ("http://", "https://", "www.", "http://www.", ""))
    url = f"{scheme}{_domain(rng)}/{path}".rstrip("/")
    if rng.random() < 0.3:
        url += f"?{_pick(rng, words.URL_PARTS)}={_digits(rng, 1, 5)}"
    mail = f"{_pick(rng, words.URL_PARTS)}@{_domain(rng)}"
    prefix = _pick(rng, ("", "", "", "Image from ", "Source: ", "via ", "Photo: ", "Visit "))
    return prefix + (url if rng.random() < 0.85 else mail)


def prices_and_numbers(rng: Rng) -> str:
    """Prices, ratings, dates, sizes, phone numbers and bare figures."""
    amount = f"{int(rng.integers(1, 2000))}{_pick(rng, ('', '.00', '.99', ',50', '.95'))}"
    currency = _pick(rng, words.CURRENCIES)
    stars = float(rng.integers(10, 51)) / 10
    forms = (
        f"{currency}{amount}",
        f"{amount} {currency}",
        f"{_pick(rng, words.PRICE_WORDS)} {currency}{amount}",
        f"{stars} out of 5 stars",
        f"{'★' * int(stars)}{'☆' * (5 - int(stars))} ({_digits(rng, 1, 4)})",
        f"Rated {stars}/5",
        _date(rng),
        f"{_pick(rng, words.DATE_WORDS)} {_date(rng)}",
        f"{_date(rng)} {_time(rng)}",
        _digits(rng, 1, 9),
        f"{_digits(rng, 1, 4)} x {_digits(rng, 1, 4)} {_pick(rng, words.UNITS)}",
        f"{_pick(rng, ('#', 'No. ', 'SKU ', 'ID: ', 'Ref. ', 'Art. '))}{_digits(rng, 3, 9)}",
        f"+{_digits(rng, 1, 2)} {_digits(rng, 3, 3)} {_digits(rng, 3, 4)} {_digits(rng, 3, 4)}",
        f"{int(rng.integers(1, 100))}% {_pick(rng, ('off', 'OFF', 'discount', 'sale', ''))}",
        f"{int(rng.integers(1, 99))} {_pick(rng, words.COUNTED)}",
    )
    return forms[int(rng.integers(len(forms)))].strip()


def markup(rng: Rng) -> str:
    """Tags, entities, templates and code that were left in the text."""
    tag, attribute = _pick(rng, words.HTML_TAGS), _pick(rng, words.HTML_ATTRIBUTES)
    name = _pick(rng, words.TEMPLATE_NAMES)
    entity = _pick(rng, words.ENTITIES)
    forms = (
        f"<{tag}>",
        f"<{tag} {attribute}='{_token(rng, string.ascii_lowercase, 2, 8)}'>",
        f'<{tag} {attribute}="{_digits(rng, 1, 3)}"></{tag}>',
        f"&{entity};" * int(rng.integers(1, 4)),
        f"&{entity}; {_pick(rng, words.STOP_PHRASES)} &{_pick(rng, words.ENTITIES)};",
        f"{{{{ {name}.{_pick(rng, words.TEMPLATE_NAMES)} }}}}",
        f"${{{name}}}",
        f"%{name}%",
        f"[{name} {attribute}={_digits(rng, 1, 4)}]",
        f"{name}({_pick(rng, words.TEMPLATE_NAMES)});",
        f".{name} {{ {attribute}: {_digits(rng, 1, 3)}px; }}",
        _pick(rng, words.NULLS),
    )
    return forms[int(rng.integers(len(forms)))]


def copyright_lines(rng: Rng) -> str:
    """Lines about rights, agencies and credits without a subject."""
    mark, holder = _pick(rng, words.COPYRIGHT_MARKS), _pick(rng, words.RIGHTS_HOLDERS)
    year = int(rng.integers(1998, 2027))
    forms = (
        f"{mark} {year}",
        f"{mark} {year} {holder}",
        f"{mark} {holder}. {_pick(rng, words.RIGHTS_TAILS)}",
        f"{mark} {year}-{year + 3} {_domain(rng)}. {_pick(rng, words.RIGHTS_TAILS)}",
        f"{_pick(rng, words.CREDITS)} {holder}",
        f"{_pick(rng, words.CREDITS)} {_domain(rng)}",
        _pick(rng, words.RIGHTS_TAILS),
    )
    return _case(rng, forms[int(rng.integers(len(forms)))])


def social_boilerplate(rng: Rng) -> str:
    """Buttons and counters of social networks."""
    network, act = _pick(rng, words.NETWORKS), _pick(rng, words.SOCIAL_ACTS)
    forms = (
        f"{act} {_pick(rng, ('on', 'to', 'via', 'with'))} {network}",
        f"{act}",
        f"{act} this {_pick(rng, ('', 'post', 'page', 'article', 'story', 'pin'))}",
        f"{network} {_pick(rng, ('icon', 'logo', 'link', 'button', 'feed', ''))}",
        f"{act} {_pick(rng, words.SOCIAL_ACTS)} {_pick(rng, words.SOCIAL_ACTS)}",
        f"{_digits(rng, 1, 4)} {_pick(rng, words.COUNTED)}",
        f"Follow us on {network} and {_pick(rng, words.NETWORKS)}",
        f"{network} | {_pick(rng, words.NETWORKS)} | {_pick(rng, words.NETWORKS)}",
    )
    return _case(rng, forms[int(rng.integers(len(forms)))].strip())


def punctuation(rng: Rng) -> str:
    """Marks and single characters: nearly empty texts."""
    marks = _token(rng, ".-_*~|=+#/\\:;,!?•·…–—»«<>[](){}'\"^", 1, 3)
    forms = (
        marks,
        marks[0] * int(rng.integers(1, 12)),
        f"{marks} {marks}",
        _pick(rng, tuple(string.ascii_letters + string.digits)),
        f"[{_pick(rng, ('', ' ', '...', '…', 'x', '?', '1', '+'))}]",
        _pick(rng, words.GLYPHS) * int(rng.integers(1, 4)),
    )
    return forms[int(rng.integers(len(forms)))]


def lorem_ipsum(rng: Rng) -> str:
    """Filler text in no language."""
    start = ["lorem", "ipsum", "dolor", "sit", "amet"] if rng.random() < 0.4 else []
    body = [_pick(rng, words.LOREM) for _ in range(int(rng.integers(2, 16)))]
    return _pick(rng, ("", "", "<p>")) + " ".join(start + body).capitalize() + "."


def notices(rng: Rng) -> str:
    """Notices of cookies, scripts, accounts, errors and maintenance."""
    return _case(rng, _pick(rng, words.NOTICE_STARTS) + " " + _pick(rng, words.NOTICE_ENDS))


def mumbo_jumbo(rng: Rng) -> str:
    """Made-up words, repeated characters and keyboard runs."""
    made_up = [
        "".join(_pick(rng, words.SYLLABLES) for _ in range(int(rng.integers(1, 4))))
        for _ in range(int(rng.integers(1, 4)))
    ]
    run = _pick(rng, words.KEYBOARD_RUNS)
    first = int(rng.integers(0, len(run) - 2))
    forms = (
        " ".join(made_up),
        run[first : first + int(rng.integers(3, 8))],
        _token(rng, string.ascii_lowercase, 1, 3) * int(rng.integers(2, 5)),
        _pick(rng, words.TEST_WORDS) + _pick(rng, ("", " ", "_")) + _digits(rng, 1, 3),
    )
    return forms[int(rng.integers(len(forms)))]


# fmt: off
_GRAMMARS: tuple[Callable[[Rng], str], ...] = (
    person_tags, file_names, hashes, stop_phrases, slot_phrases, calls_to_action, urls,
    prices_and_numbers, markup, copyright_lines, social_boilerplate, punctuation, lorem_ipsum,
    notices, mumbo_jumbo,
)
# fmt: on
_FAMILIES = {grammar.__name__: grammar for grammar in _GRAMMARS}

SCRUBBED_FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
"""Names of the families that :func:`scrubbed_caption` knows."""


def scrubbed_caption(rng: np.random.Generator, *, family: str | None = None) -> str:
    """A caption without information, never empty.

    Args:
        rng: source of randomness; the same state gives the same caption.
        family: one of :data:`SCRUBBED_FAMILIES`; a random one when omitted.

    Raises:
        ConfigError: when the family is unknown.
    """
    if family is None:
        family = _pick(rng, SCRUBBED_FAMILIES)
    if family not in _FAMILIES:
        raise ConfigError(f"family: {family!r} is unknown; allowed: {', '.join(SCRUBBED_FAMILIES)}")
    text = _FAMILIES[family](rng).strip()
    return text or "-"
