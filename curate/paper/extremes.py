"""Table 1: the images and the texts of highest and of lowest Information Gain."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curate.config import PaperConfig
from curate.paper.figures import contact_sheet
from curate.paper.gains import MODALITIES, Measured
from curate.paper.pairs import Pool
from curate.paper.sample import PaperSample, Section
from curate.paper.tables import Table, show

THUMBNAIL: Final = 192  # pixels; five of them fill the width of a README
PER_ROW: Final = 5  # pictures beside one another

ENDS: Final = ("highest", "lowest")

_NOTE: Final = (
    "KL: exact Information Gain at s = 1, b = 0, nats. Images and texts are not paired. For an"
    " image the caption of its pair is not shown, for it has no part in its score."
)


def extremes(values: npt.ArrayLike, count: int) -> dict[str, npt.NDArray[np.int64]]:
    """Rows of the highest and of the lowest values, the outermost first; ties by position."""
    rising = np.argsort(np.asarray(values), kind="stable")
    falling = np.argsort(-np.asarray(values), kind="stable")
    return {"highest": falling[:count], "lowest": rising[:count]}


def study(sample: PaperSample, measured: Measured, pool: Pool, settings: PaperConfig) -> Section:
    """Find the extremes of a sample and read them back from its shards. Raises ShardError."""
    found = {m: extremes(measured.of(m).kl, settings.extremes) for m in MODALITIES}
    texts = np.concatenate([found["text"][end] for end in ENDS])
    captions = dict(zip(texts.tolist(), pool.captions(sample.table.take(texts)), strict=True))
    rows = []
    for modality in MODALITIES:
        for end in ENDS:
            for rank, at in enumerate(found[modality][end].tolist(), 1):
                place = {n: sample.table[n][at].as_py() for n in ("shard", "index", "key")}
                rows.append(
                    {"modality": modality, "end": end, "rank": rank}
                    | {"kl": float(measured.of(modality).kl[at]), **place}
                    | {"text": captions[at] if modality == "text" else None}
                )
    title = f"Highest and lowest Information Gain, {sample.name} ({sample.model['name']})"
    return Section(
        name="table1",
        title="Table 1: highest and lowest images and texts",
        reading=_reading(sample, measured, found),
        tables=(Table.of("table1", title, _NOTE, rows),),
        figures={"table1": contact_sheet(_pictures(sample, measured, found["image"], pool))},
    )


def _pictures(
    sample: PaperSample, measured: Measured, found: dict[str, Any], pool: Pool
) -> list[tuple[str, Any]]:
    chosen = np.concatenate([found[end] for end in ENDS])
    thumbnails = iter(pool.thumbnails(sample.table.take(chosen), THUMBNAIL))
    sheet = []
    for end in ENDS:
        shown = [
            (next(thumbnails), f"KL {show(float(measured.image.kl[at]))}") for at in found[end]
        ]
        for first in range(0, len(shown), PER_ROW):
            heading = f"{end.capitalize()} Information Gain (nats)" if first == 0 else ""
            sheet.append((heading, shown[first : first + PER_ROW]))
    return sheet


def _reading(sample: PaperSample, measured: Measured, found: dict[str, Any]) -> str:
    spans = ", ".join(
        f"for {m}s from {show(float(kl.min()))} to {show(float(kl.max()))} nats"
        f" (median {show(float(np.median(kl)))})"
        for m, kl in ((m, measured.of(m).kl) for m in MODALITIES)
    )
    words = sample.table["caption_words"].to_numpy()
    medians = {end: float(np.median(words[found["text"][end]])) for end in ENDS}
    return (
        f"Among {len(sample):,} pairs the Information Gain runs {spans}; the highest texts have"
        f" {show(medians['highest'])} words, the lowest {show(medians['lowest'])} (medians)."
    )
