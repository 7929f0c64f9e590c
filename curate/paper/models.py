"""Table 6: 2·KL against the norm, on any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from curate.config import PaperConfig
from curate.paper.figures import Panel, scatter_figure
from curate.paper.gains import FORMS, INTERVAL_NOTE, MODALITIES, Measured, line, row
from curate.paper.sample import PaperSample, Section
from curate.paper.tables import Table, show

_NOTE: Final = (
    "2·KL on (u-ū)ᵀG(u-ū), both in nats, at s = 1, b = 0, each model with its own link. `paper`"
    " takes G as in Eq. 5, `corrected` weighs each candidate by its sensitivity, (1 - sigmoid),"
    " and fixes the unit; with softmax both are the same. A slope of one says that the norm has the"
    " right unit."
)


def study(models: Sequence[tuple[PaperSample, Measured]], settings: PaperConfig) -> Section:
    """Regress 2·KL on the norm for each model, modality and form.

    Args:
        models: samples with what was measured at s = 1, b = 0.
        settings: bootstrap and seed.
    """
    rows, figures = [], {}
    for sample, measured in models:
        found = {
            (form, m): line(measured.of(m).norms[form], 2 * measured.of(m).kl, settings)
            for form in FORMS
            for m in MODALITIES
        }
        names = {"model": sample.name, "weights": _weights(sample), "link": sample.link}
        rows += [row(one, **names, modality=m, norm=f) for (f, m), one in found.items()]
        forms = FORMS if sample.link == "sigmoid" else FORMS[:1]
        figures[f"table6-{sample.name}"] = scatter_figure(
            [[_panel(sample, measured, f, m, found[f, m]) for m in MODALITIES] for f in forms]
        )
    return Section(
        name="table6",
        title="Table 6: Information Gain and norm of each model",
        reading=_reading(rows),
        tables=(Table.of("table6", "R² and slope of 2·KL on the norm", _notes(), rows),),
        figures=figures,
        missing=() if settings.compare else ("further models: not run: set paper.compare",),
    )


def _notes() -> str:
    return f"{_NOTE} {INTERVAL_NOTE}"


def _weights(sample: PaperSample) -> str:
    return str(sample.model["fingerprint"])[:12]


def _panel(sample: PaperSample, measured: Measured, form: Any, modality: str, found: Any) -> Panel:
    covariance = "paper's G" if form == "paper" else "corrected G"
    shown = covariance if sample.link == "sigmoid" else "G"
    return Panel(
        title=f"{sample.name} ({sample.link}), {modality}",
        x=measured.of(modality).norms[form],
        y=2 * measured.of(modality).kl,
        x_label=f"(u-ū)ᵀG(u-ū), {shown} (nats)",
        y_label=f"2·KL of the {modality} (nats)",
        found=found,
        modality=modality,
        identity=True,
    )


def _reading(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for form in FORMS:
        own = [r for r in rows if r["norm"] == form]
        spans = ", ".join(
            f"{label} from {show(min(r[key] for r in own))} to {show(max(r[key] for r in own))}"
            for key, label in (("r2", "R²"), ("slope", "slope"))
        )
        parts.append(f"{form} form: {spans}")
    return f"Over {len(rows) // 2} pairs of model and modality, {'; '.join(parts)}."
