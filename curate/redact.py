"""Secrets in URLs: kept out of messages, and refused where they would be written down.

A run writes the URLs of its inputs into its manifest, markers and config.yaml, so that it can open
them again. A password in one would lie there in the clear: `find_password` is what the
configuration and lists of shards are checked with. `redact` is for everything that is shown.
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


def redact(text: str) -> str:
    """The text with passwords and signatures in its URLs replaced by `***`."""
    if "://" not in text:
        return text
    text = _WEB_USER.sub(rf"\1{HIDDEN}@", text)
    text = _PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


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
