"""Secrets: kept out of messages, and refused in URLs that would be written down.

A run writes the URLs of its inputs into its manifest, markers and config.yaml, so that it can open
them again. A password in one would lie there in the clear: `find_password` is what the
configuration and lists of shards are checked with. `redact` is for everything that is shown or
logged: what a driver's error repeats of its settings and headers, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

HIDDEN: Final = "***"

NO_PASSWORDS: Final = (
    "a URL with a password would be written into the outputs of the run; give it to the storage's"
    " driver instead, by its environment variables or its own files (fsspec's configuration,"
    " .netrc, AWS_*, GOOGLE_APPLICATION_CREDENTIALS)"
)

_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]{0,31}://"
# `abfs://container@account` and `hf://datasets/org/name@revision` carry no secret, whereas of http
# even a name alone may be a token.
_PASSWORD: Final = re.compile(rf"({_SCHEME}[^\s/?#:@'\"]*):[^\s/?#'\"]*@")
_WEB_USER: Final = re.compile(r"(https?://)[^\s/?#'\"]+@", re.IGNORECASE)
_QUERY: Final = re.compile(
    r"([?&;](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|sig"
    r"|(?:access_?|api_?|auth_?|refresh_?)?(?:token|key|secret)|password)=)[^&;#\s'\"]+",
    re.IGNORECASE,
)
# A name and a value, as environments, JSON, reprs and headers have them: `AWS_SECRET_ACCESS_KEY=x`,
# `{'SessionToken': 'x'}`, `Authorization: Basic x`. `tokens: 77` and `tokenizer: x` are no secrets.
_NAMED: Final = re.compile(
    r"(\b\w*(?:secret|token|password|passwd|passphrase|signature|credential|authorization"
    r"|(?:api|access|account|private)[_-]?key)(?:[_-]\w*|(?:access)?key(?:id)?|id)?"
    r"\\?['\"]?\s*[=:]\s*\\?)"
    r"(?:\*{3}(?!\w)|\"[^\"]*\"|'[^']*'|['\"]?(?:(?:bearer|basic)\s+)?[^\s'\",;&]+)",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{12,}", re.IGNORECASE)
# Hugging Face, AWS, GitHub, Google: keys that are known by their form, wherever they stand.
_KNOWN: Final = re.compile(
    r"\bhf_[A-Za-z0-9]{8,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bgh[a-z]_[A-Za-z0-9]{20,}"
    r"|\bAIza[0-9A-Za-z_-]{30,}|\bya29\.[0-9A-Za-z_-]{20,}"
)
_PRIVATE_KEY: Final = re.compile(
    r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def redact(text: str) -> str:
    """The text with `***` in place of what looks like a credential."""
    if "://" in text:
        text = _WEB_USER.sub(rf"\1{HIDDEN}@", text)
        text = _PASSWORD.sub(rf"\1:{HIDDEN}@", text)
        text = _QUERY.sub(rf"\1{HIDDEN}", text)
    text = _PRIVATE_KEY.sub(rf"\1{HIDDEN}", text)
    text = _NAMED.sub(rf"\1{HIDDEN}", text)
    return _KNOWN.sub(HIDDEN, _BEARER.sub(rf"\1 {HIDDEN}", text))


def has_password(url: str) -> bool:
    """Whether a URL, or a link of a chain of them, names a password or a token before its host."""
    return _WEB_USER.search(url) is not None or _PASSWORD.search(url) is not None


def find_password(tree: Mapping[str, Any]) -> str | None:
    """The first setting of a plain mapping, dotted, whose text holds a URL with a password."""
    return next((place for place, text in _texts(tree, ()) if has_password(text)), None)


def _texts(value: Any, place: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield ".".join(place), value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*place, str(key)))
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for inner in value:
            yield from _texts(inner, place)
