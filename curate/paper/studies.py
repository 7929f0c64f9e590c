"""The further studies: which there are. Each is a pure function of samples.

A study takes the samples (the main model first, then those of `paper.compare`), the labelled pairs
of the same models (empty unless `paper.labelled` is set) and the settings, and returns a `Section`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from curate.config import PaperConfig
from curate.paper.sample import Labelled, PaperSample, Section
from curate.paper.sample_size import sample_size
from curate.paper.temperatures import temperatures

Study = Callable[[Sequence[PaperSample], Mapping[str, Labelled], PaperConfig], Section]

STUDIES: Final[tuple[Study, ...]] = (temperatures, sample_size)
"""In the order of the report."""
