"""Study: which form stands for the Information Gain at which temperature, and what it catches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from curate.config import PaperConfig
from curate.evaluation import catch_lowest
from curate.numerics.agreement import ranks
from curate.numerics.posterior import Posterior
from curate.paper.forms import EXACT, FORMS, score_forms
from curate.paper.gains import INTERVAL_NOTE, MODALITIES, line, row
from curate.paper.sample import Labelled, PaperSample, Section
from curate.paper.tables import Table, show

if TYPE_CHECKING:  # the figure alone needs matplotlib
    from matplotlib.figure import Figure

Float64 = npt.NDArray[np.float64]
Row = dict[str, Any]

QUERIES: Final = 4_000
"""Pairs of the sample that are scored: R² is then known to less than 0.01."""

LOWEST: Final = 0.05
"""Share of the labelled pairs that a filter would drop."""

OWN: Final = "own"
SAMPLE, HELD_OUT = "sample", "held out"


@dataclass(frozen=True)
class Setting:
    """One model at one temperature."""

    model: str
    label: str
    posterior: Posterior

    def names(self) -> Row:
        """The columns that tell it."""
        p = self.posterior
        return {
            "model": self.model,
            "link": p.link,
            "temperature": self.label,
            "scale": p.scale,
            "bias": p.bias,
        }


def temperatures(
    samples: Sequence[PaperSample], labelled: Mapping[str, Labelled], config: PaperConfig
) -> Section:
    """Study of all models at `paper.temperatures` (bias 0) and at their own scale and bias.

    Args:
        samples: of the models.
        labelled: held-out pairs of the same models, by their name; those are scored too, and the
            noise among their lowest scores counted.
        config: temperatures, bootstrap and seed.
    """
    lines: list[Row] = []
    caught: list[Row] = []
    for sample in samples:
        known = labelled.get(sample.name)
        for setting in settings_of(sample, config):
            scores = _scores(sample, known, setting, config)
            lines += _lines(setting, scores, config)
            if known is not None:
                caught += _caught(setting, known, scores)
        if known is not None:
            caught += _caught_by_clip_score(sample.name, known)
    shown = HELD_OUT if any(r["queries"] == HELD_OUT for r in lines) else SAMPLE
    return Section(
        name="temperatures",
        title="Which form holds at which temperature",
        reading=_reading(lines, caught, shown),
        tables=_tables(lines, caught, shown),
        figures={"temperatures": draw_figure(lines, shown)},
        missing=() if labelled else ("what each score catches: not run: set paper.labelled",),
    )


def settings_of(sample: PaperSample, config: PaperConfig) -> list[Setting]:
    """The temperatures of a model: those configured, with bias 0, then its own."""
    given = [
        Setting(sample.name, show(s), sample.posterior(s)) for s in map(float, config.temperatures)
    ]
    return [*given, Setting(sample.name, OWN, sample.posterior(sample.scale, sample.bias))]


def _scores(
    sample: PaperSample, known: Labelled | None, setting: Setting, config: PaperConfig
) -> dict[tuple[str, str], dict[str, Float64]]:
    step = -(-len(sample) // QUERIES)
    queries = {SAMPLE: (sample.image[::step], sample.text[::step])}
    if known is not None:
        queries[HELD_OUT] = known.sample.image, known.sample.text
    return score_forms((sample.image, sample.text), queries, setting.posterior, config.seed)


def _lines(
    setting: Setting, scores: Mapping[tuple[str, str], Mapping[str, Float64]], config: PaperConfig
) -> Iterator[Row]:
    for (queries, modality), values in scores.items():
        exact = values[EXACT]
        names = setting.names() | {"modality": modality, "queries": queries}
        for form in FORMS:
            found = line(values[form], exact, config)
            yield row(found, **names, form=form, mean_gain=float(exact.mean()))


# --- what is caught ---------------------------------------------------------------------------


def _caught(
    setting: Setting, known: Labelled, scores: Mapping[tuple[str, str], Mapping[str, Float64]]
) -> Iterator[Row]:
    for form in (EXACT, *FORMS):
        values = {m: scores[HELD_OUT, m][form] for m in MODALITIES}
        yield {**setting.names(), "score": form, **_caught_by(values, known)}


def _caught_by_clip_score(name: str, known: Labelled) -> Iterator[Row]:
    clip_score = (known.sample.image * known.sample.text).sum(axis=1)
    found = _caught_by(dict.fromkeys(MODALITIES, clip_score), known)
    yield {"model": name, "link": known.sample.link, "score": "CLIP score", **found}


def _caught_by(values: Mapping[str, npt.NDArray[Any]], known: Labelled) -> Row:
    bad = {"image": known.is_bad_image, "text": known.is_bad_text}
    recalls = {m: catch_lowest(values[m], bad[m], LOWEST).recall for m in MODALITIES}
    return recalls | {f"{m} AUC": area_below(values[m], bad[m]) for m in MODALITIES}


def area_below(scores: npt.ArrayLike, bad: npt.NDArray[np.bool_]) -> float:
    """Chance that a bad sample scores below a good one, ties counting half (area under the ROC).

    From the rank sum of Mann and Whitney; NaN where all are bad or none.
    """
    noise, clean = int(bad.sum()), int((~bad).sum())
    if not noise * clean:
        return float("nan")
    above = float(ranks(scores)[bad].sum()) - noise * (noise - 1) / 2
    return 1 - above / (noise * clean)


# --- tables -----------------------------------------------------------------------------------


def _tables(lines: Sequence[Row], caught: Sequence[Row], shown: str) -> tuple[Table, ...]:
    note = (
        "R² and slope of the exact Information Gain (nats) on each score (nats): slope 1 means that"
        " the unit is right too. `own` is the model's own scale and bias; the others have bias 0."
        f" Queries: {shown}. All rows with intercepts and intervals: temperatures_all."
    )
    tables = [
        Table.of("temperatures", "R² and slope by temperature", note, _pivot(lines, shown)),
        Table.of("temperatures_all", "The same, whole", INTERVAL_NOTE, lines),
    ]
    if caught:
        title = f"Noise among the lowest {LOWEST:.0%}"
        note = (
            "Share of the placeholders among the images, and of the noisy captions among the texts,"
            f" with the lowest {LOWEST:.0%} of each score, on held-out pairs whose noise is known;"
            " AUC is the chance that noise scores below what is none."
        )
        tables.append(Table.of("caught", title, note, caught))
    return tuple(tables)


def _pivot(lines: Sequence[Row], shown: str) -> list[Row]:
    rows: dict[tuple[Any, ...], Row] = {}
    for found in lines:
        if found["queries"] != shown:
            continue
        keys = ("model", "link", "temperature", "modality", "mean_gain")
        at = rows.setdefault(tuple(found[k] for k in keys), {k: found[k] for k in keys})
        at[f"{found['form']} R²"] = found["r2"]
        at[f"{found['form']} slope"] = found["slope"]
    return list(rows.values())


def _reading(lines: Sequence[Row], caught: Sequence[Row], shown: str) -> str:
    own = [r for r in lines if r["temperature"] == OWN and r["queries"] == shown]
    worst = {form: min((r for r in own if r["form"] == form), key=_r2) for form in FORMS}
    text = (
        "At the models' own temperatures the lowest R² with the exact value is"
        f" {show(_r2(worst['landmarks']))} for landmarks (slope"
        f" {show(worst['landmarks']['slope'])}), {show(_r2(worst['corrected']))} for the corrected"
        f" quadratic form and {show(_r2(worst['paper']))} for the paper's."
    )
    if caught:
        best = {m: max(caught, key=itemgetter(f"{m} AUC")) for m in MODALITIES}
        text += "".join(
            f" {kind} are told best by {best[m]['score']} of {best[m]['model']} at temperature"
            f" {best[m].get('temperature', 'any')}: AUC {show(best[m][f'{m} AUC'])},"
            f" {best[m][m]:.1%} of them among the lowest {LOWEST:.0%}."
            for m, kind in (("image", "Placeholders"), ("text", "Noisy captions"))
        )
    return text


def _r2(found: Row) -> float:
    return float(found["r2"])


# --- figure -----------------------------------------------------------------------------------


def draw_figure(lines: Sequence[Row], shown: str) -> Figure:
    """R² against scale, a panel for each model and modality."""
    from curate.paper.figures import WIDTH, dress, new_figure

    models = list(dict.fromkeys(r["model"] for r in lines))
    figure = new_figure(WIDTH, 2.9 * len(models))
    axes = figure.subplots(len(models), 2, squeeze=False, sharey=True)
    styles = {"paper": ":^", "corrected": "--s", "landmarks": "-o"}
    colours = {"paper": "#888888", "corrected": "#b3541e", "landmarks": "#2a6099"}
    for across, model in zip(axes, models, strict=True):
        for place, modality in zip(across, MODALITIES, strict=True):
            rows = [r for r in lines if (r["model"], r["modality"]) == (model, modality)]
            rows = [r for r in rows if r["queries"] == shown]
            for form in FORMS:
                given = [r for r in rows if r["form"] == form and r["temperature"] != OWN]
                own = [r for r in rows if r["form"] == form and r["temperature"] == OWN]
                x, y = [r["scale"] for r in given], [r["r2"] for r in given]
                place.plot(x, y, styles[form], color=colours[form], markersize=4, label=form)
                place.plot(
                    [r["scale"] for r in own],
                    [r["r2"] for r in own],
                    "*",
                    color=colours[form],
                    markersize=11,
                )
            place.set_xscale("log")
            place.set_ylim(-0.03, 1.03)
            dress(place, f"{model}: {modality}", "scale s (star: the model's own)", "R²")
    axes[0][0].legend(fontsize=8, frameon=False, loc="lower left")
    return figure
