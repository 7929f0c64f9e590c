"""Tables 3 and 4: what normalising embeddings does, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from curate.config import PaperConfig
from curate.numerics.posterior import Posterior
from curate.paper.figures import Panel, scatter_figure
from curate.paper.gains import INTERVAL_NOTE, MODALITIES, Gains, Measured, line, measure, row
from curate.paper.sample import PaperSample, Section
from curate.paper.tables import Table, show

Kind = Literal["un-normalised", "normalised"]

KINDS: Final[tuple[Kind, ...]] = ("un-normalised", "normalised")
SQUARED_NORM: Final = "||u||²"
TITLE_3: Final = "Table 3: norms of un-normalised and normalised embeddings"
TITLE_4: Final = "Table 4: trained and evaluated with and without normalisation"
NORMS: Final = {"paper": "(u-ū)ᵀG(u-ū)", "corrected": "(u-ū)ᵀG(u-ū), corrected G"}

_NOTE: Final = (
    "2·KL on each norm; sigmoid, s = 1, b = 0, priors as means of posteriors. Un-normalised"
    " evaluation takes the embeddings as the model gives them (unit vector times its norm) in"
    " posteriors, priors, means and covariances alike. ||u||² of normalised embeddings is one"
    " and has no line (–); the paper prints 0.00 for it."
)


def embeddings(sample: PaperSample, kind: Kind) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Image and text embeddings, float64 [n, d], of unit length or as the model gave them."""
    image, text = sample.image.astype(np.float64), sample.text.astype(np.float64)
    if kind == "normalised":
        return image, text
    return image * sample.image_norm[:, None], text * sample.text_norm[:, None]


def measures(gains: Gains, evaluated: Kind) -> dict[str, npt.NDArray[np.float64]]:
    """The norms that 2·KL is compared with, by their name in the report: float64 [n]."""
    # Of unit vectors the squared norm is one, not one and a rounding error to regress on.
    squared = gains.squared_norm if evaluated == "un-normalised" else np.ones_like(gains.kl)
    return {SQUARED_NORM: squared} | {NORMS[form]: gains.norms[form] for form in gains.norms}


def study(trained: Mapping[Kind, PaperSample], settings: PaperConfig) -> tuple[Section, Section]:
    """Tables 3 and 4, of two models trained with either kind of embeddings.

    Args:
        trained: how a model was trained -> its sample.
        settings: bootstrap and seed.
    """
    measured = {
        (training, evaluated): measure(*embeddings(sample, evaluated), Posterior("sigmoid"))
        for training, sample in trained.items()
        for evaluated in KINDS
    }
    rows = [
        row(
            line(values, 2 * found.of(modality).kl, settings),
            trained=training,
            evaluated=evaluated,
            modality=modality,
            norm=name,
        )
        for (training, evaluated), found in measured.items()
        for modality in MODALITIES
        for name, values in measures(found.of(modality), evaluated).items()
    ]
    return _table3(rows), _table4(rows, measured, settings)


def _table3(rows: Sequence[Mapping[str, Any]]) -> Section:
    wide = []
    for kind in KINDS:
        own = [r for r in rows if r["trained"] == kind == r["evaluated"]]
        wide.append({"embedding": kind} | {f"{r['modality']} {r['norm']}": r["r2"] for r in own})
    title = "R² of 2·KL with norms, models evaluated as they were trained"
    paper = NORMS["paper"]
    best = ", ".join(f"{w['embedding']} {_pair(w, paper)}" for w in wide)
    return Section(
        name="table3",
        title=TITLE_3,
        reading=f"R² of 2·KL with {paper} (image, text): {best}; with ||u||², un-normalised:"
        f" {_pair(wide[0], SQUARED_NORM)}.",
        tables=(Table.of("table3", title, _NOTE, wide),),
    )


def _pair(wide: Mapping[str, Any], name: str) -> str:
    return ", ".join(show(wide[f"{modality} {name}"]) for modality in MODALITIES)


def _table4(
    rows: Sequence[Mapping[str, Any]],
    measured: Mapping[tuple[Kind, Kind], Measured],
    settings: PaperConfig,
) -> Section:
    title = "2·KL on norms, trained x evaluated x modality"
    by_kind = {
        kind: [r["r2"] for r in rows if r["evaluated"] == kind and r["norm"] == NORMS["paper"]]
        for kind in KINDS
    }
    spans = "; ".join(
        f"{kind} evaluation from {show(min(r2s))} to {show(max(r2s))}"
        for kind, r2s in by_kind.items()
    )
    return Section(
        name="table4",
        title=TITLE_4,
        reading=f"R² of 2·KL with {NORMS['paper']} over both trainings and modalities: {spans}.",
        tables=(Table.of("table4", title, f"{_NOTE} {INTERVAL_NOTE}", rows),),
        figures={
            "table4": _figure(measured, NORMS["paper"], settings),
            "table4-corrected": _figure(measured, NORMS["corrected"], settings),
            "table4-squared-norm": _figure(
                {key: one for key, one in measured.items() if key[1] == "un-normalised"},
                SQUARED_NORM,
                settings,
            ),
        },
    )


def _figure(
    measured: Mapping[tuple[Kind, Kind], Measured], name: str, settings: PaperConfig
) -> Any:
    """Images above, texts below; a column for each way of training and evaluating."""
    panels: list[list[Panel]] = []
    for modality in MODALITIES:
        panels.append([])
        for (training, evaluated), found in measured.items():
            gains = found.of(modality)
            x, y = measures(gains, evaluated)[name], 2 * gains.kl
            panels[-1].append(
                Panel(
                    title=f"{modality}, trained {training},\nevaluated {evaluated}",
                    x=x,
                    y=y,
                    x_label=f"{name} (nats)" if name != SQUARED_NORM else name,
                    y_label=f"2·KL of the {modality} (nats)",
                    found=line(x, y, settings),
                    modality=modality,
                    identity=name != SQUARED_NORM,
                )
            )
    return scatter_figure(panels, height=2.7)
