"""What every study works on, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import reference_files
from curate.errors import ReferenceFileError
from curate.numerics.posterior import Link, Posterior
from curate.outputs import Store
from curate.paper.tables import Table
from curate.schema import IMAGE_NORM, TEXT_NORM
from curate.workspace import REFERENCE_FOLDER

if TYPE_CHECKING:  # a study may be called where matplotlib is not installed
    from matplotlib.figure import Figure

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PaperSample:
    """A sample of pairs, embedded by one model.

    Attributes:
        name: of the model in the report: `main`, or the key of `paper.compare`.
        model: what `ModelInfo.describe` told, e.g. `name`, `fingerprint`, `dim`.
        link: of the model.
        scale, bias: the model's own temperature s and bias b, as trained.
        image, text: float32 [n, d], L2-normalised, row i of both from pair i.
        image_norm, text_norm: float32 [n], the norms before that.
        table: row-aligned: shard, index, key, uid, caption_chars, caption_words and the rest of
            the score columns.
    """

    name: str
    model: Mapping[str, Any]
    link: Link
    scale: float
    bias: float
    image: Float32
    text: Float32
    image_norm: Float32
    text_norm: Float32
    table: pa.Table

    def __len__(self) -> int:
        return len(self.image)

    def posterior(self, scale: float = 1.0, bias: float = 0.0) -> Posterior:
        """The model's link; at s = 1, b = 0, the paper's setting, unless told otherwise."""
        return Posterior(self.link, scale=scale, bias=bias)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pairs whose noise is known, embedded by the model of a `PaperSample`.

    Attributes:
        sample: the pairs.
        is_bad_image, is_bad_text: bool [n], the ground truth of either modality.
    """

    sample: PaperSample
    is_bad_image: npt.NDArray[np.bool_]
    is_bad_text: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Section:
    """What a study found: a section of the report.

    Attributes:
        name: e.g. `table6`; tables and figures are named after it.
        title: heading, one line.
        reading: one sentence or two, with the numbers that matter.
        tables: in the order of the report.
        figures: name -> figure, written as NAME.png.
        missing: one line for each part that was not run, with the remedy, such as
            "-log p: not run: set paper.language_model".
        notes: how it was measured, one paragraph each; Markdown.
    """

    name: str
    title: str
    reading: str
    tables: tuple[Table, ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def load_sample(store: Store, name: str) -> PaperSample:
    """Read what `curate fit` left in a run directory.

    Raises:
        ReferenceFileError: the sample is missing or damaged.
    """
    fitted = reference_files.load(store, REFERENCE_FOLDER)
    found = reference_files.load_sample(store, REFERENCE_FOLDER, fitted)
    table = reference_files.load_sample_table(store, REFERENCE_FOLDER)
    if not len(found.image) == len(found.text) == table.num_rows:
        raise ReferenceFileError(
            f"{store.path(REFERENCE_FOLDER)} holds {len(found.image)} images, {len(found.text)}"
            f" texts and {table.num_rows} rows; delete it and run again"
        )
    model = fitted.description["model"]
    return PaperSample(
        name=name,
        model=model,
        link=model["link"],
        scale=model["logit_scale"],
        bias=model["logit_bias"],
        image=found.image,
        text=found.text,
        image_norm=table[IMAGE_NORM].to_numpy(),
        text_norm=table[TEXT_NORM].to_numpy(),
        table=table,
    )
