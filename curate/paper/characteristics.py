"""Table 2: Information Gain against what can be counted of a caption or an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.config import PaperConfig
from curate.paper.figures import Panel, scatter_figure
from curate.paper.gains import INTERVAL_NOTE, Measured, line, row
from curate.paper.language import Surprisal
from curate.paper.sample import PaperSample, Section
from curate.paper.tables import Table, show

LENGTHS: Final = {"caption_chars": "characters", "caption_words": "words"}
SURPRISAL: Final = "-log p"
ATTRIBUTES: Final = "attributes"
UNITS: Final = {
    "characters": "characters of the caption",
    "words": "words of the caption",
    SURPRISAL: "-log p of the caption (nats)",
    ATTRIBUTES: "annotated attributes of the image",
}


@dataclass(frozen=True, eq=False)
class Annotated:
    """Images with annotated attributes: KL against the main pool's texts, and their counts.

    Attributes:
        kl: float64 [n], nats.
        counts: float64 [n]; NaN for images that are not annotated.
    """

    kl: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Characterised:
    """A model's sample with what is known of its captions and images.

    Attributes:
        sample, measured: of the main pool.
        annotated: of Visual Genome; None without.
    """

    sample: PaperSample
    measured: Measured
    annotated: Annotated | None


def study(
    models: Sequence[Characterised], surprisal: Surprisal | None, settings: PaperConfig
) -> Section:
    """Regress Information Gain on each quantity, for each model.

    Args:
        models: of the same pairs, row by row.
        surprisal: of their captions; None without a language model.
        settings: bootstrap and seed.
    """
    panels = [
        [_panel(one, *entry, settings) for entry in _entries(one, surprisal)] for one in models
    ]
    rows = [
        row(
            panel.found,
            model=one.sample.name,
            modality=panel.modality,
            quantity=panel.x_label,
        )
        for one, its in zip(models, panels, strict=True)
        for panel in its
    ]
    title = "R² of Information Gain with what can be counted"
    return Section(
        name="table2",
        title="Table 2: Information Gain and superficial characteristics",
        reading=_reading(rows),
        tables=(Table.of("table2", title, f"KL in nats on each quantity. {INTERVAL_NOTE}", rows),),
        figures={"table2": scatter_figure(panels, height=2.5)},
        missing=_missing(surprisal, settings),
        notes=_notes(models, surprisal),
    )


def _entries(
    one: Characterised, surprisal: Surprisal | None
) -> list[tuple[str, str, npt.NDArray[Any], npt.NDArray[Any]]]:
    """(quantity, modality, its values, KL) of everything that is known."""
    kl = one.measured.text.kl
    found = [
        (name, "text", one.sample.table[column].to_numpy(), kl) for column, name in LENGTHS.items()
    ]
    if surprisal is not None:
        found.append((SURPRISAL, "text", surprisal.nats, kl))
    if one.annotated is not None:
        known = ~np.isnan(one.annotated.counts)
        found.append((ATTRIBUTES, "image", one.annotated.counts[known], one.annotated.kl[known]))
    return found


def _panel(
    one: Characterised,
    quantity: str,
    modality: str,
    values: npt.NDArray[Any],
    kl: npt.NDArray[Any],
    settings: PaperConfig,
) -> Panel:
    return Panel(
        title=one.sample.name,
        x=values,
        y=kl,
        x_label=UNITS[quantity],
        y_label=f"KL of the {modality} (nats)",
        found=line(values, kl, settings),
        modality=modality,
    )


def _reading(rows: Sequence[Mapping[str, Any]]) -> str:
    best = max(rows, key=lambda r: -1.0 if np.isnan(r["r2"]) else r["r2"])
    return (
        f"The best of these predictors, {best['quantity']} ({best['model']}), explains"
        f" {show(100 * best['r2'])} % of the variance of Information Gain"
        f" (95 % interval of R²: {show(best['r2_low'])} to {show(best['r2_high'])}); all R²:"
        f" {', '.join(show(r['r2']) for r in rows)}."
    )


def _missing(surprisal: Surprisal | None, settings: PaperConfig) -> tuple[str, ...]:
    parts = []
    if surprisal is None:
        parts.append("-log p under a language model: not run: set paper.language_model")
    if settings.visual_genome is None:
        parts.append("attributes per image: not run: set paper.visual_genome")
    return tuple(parts)


def _notes(models: Sequence[Characterised], surprisal: Surprisal | None) -> tuple[str, ...]:
    notes = []
    if surprisal is not None:
        start = (
            f"the first token is conditioned on `{surprisal.start}`"
            if surprisal.start
            else "the model knows no start of sequence, so that first tokens are not counted"
        )
        notes.append(
            f"-log p is summed over the tokens of a caption, not averaged; {start}; no end of"
            f" sequence is counted; {surprisal.truncated} of {len(surprisal.nats):,} captions were"
            f" cut to the model's context. Tokens a caption: median"
            f" {show(float(np.median(surprisal.tokens)))}, largest {int(surprisal.tokens.max())}."
        )
    for one in models:
        if one.annotated is not None:
            unknown = int(np.isnan(one.annotated.counts).sum())
            notes.append(
                f"Attributes ({one.sample.name}): {len(one.annotated.counts):,} images of Visual"
                f" Genome, of which {unknown:,} have no entry in its file and are left out; prior"
                f" and candidates are the {len(one.sample):,} texts of the main pool."
            )
    return tuple(notes)
