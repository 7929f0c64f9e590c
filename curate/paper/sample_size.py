"""Study: how large a sample is enough for a Reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from curate.config import PaperConfig
from curate.paper.reference_error import (
    ERRORS,
    LOWEST,
    RANKINGS,
    TYPICAL,
    draw_sizes,
    powers,
    summarise,
    usable_sizes,
)
from curate.paper.sample import Labelled, PaperSample, Section
from curate.paper.tables import Table

if TYPE_CHECKING:  # the figure alone needs matplotlib
    from matplotlib.figure import Figure


_COLOURS: Final = ("#2a6099", "#b3541e", "#888888")
_RANKING_NAMES: Final = {"spearman": "Spearman", "lowest": f"lowest {LOWEST:.0%}"}
_FOOT: Final = 1e-3
"""Lowest disagreement that the figure shows."""


def sample_size(
    samples: Sequence[PaperSample], labelled: Mapping[str, Labelled], config: PaperConfig
) -> Section:
    """Study of the main model's sample, at the paper's temperature.

    Args:
        samples: the main model's first; the others are not looked at.
        labelled: not looked at.
        config: `sample_sizes` and `seed`.

    Raises:
        NumericsError: the sample is too small for two disjoint samples of the smallest size.
    """
    sample = samples[0]
    sizes = usable_sizes(config.sample_sizes, len(sample))
    found = draw_sizes(sample.image, sample.text, sample.posterior(), sizes, seed=config.seed)
    rows = summarise(list(found))
    fitted = powers(rows)
    return Section(
        name="sample_size",
        title="How large a sample is enough",
        reading=_reading(rows, fitted),
        tables=_tables(rows, fitted, len(sample)),
        figures={"sample_size": draw_figure(rows)},
    )


def draw_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Errors and rankings of `summarise` against sample size, on logarithmic axes."""
    from curate.paper.figures import WIDTH, dress, new_figure

    figure = new_figure(WIDTH, 3.8)
    left, right = figure.subplots(1, 2)
    for style, name in (("-o", "image"), ("--s", "text")):
        mine = [row for row in rows if row["modality"] == name]
        sizes = [row["pairs"] for row in mine]
        for colour, measure in zip(_COLOURS, ERRORS, strict=True):
            spread = [0.0 if math.isnan(r[f"{measure}_sd"]) else r[f"{measure}_sd"] for r in mine]
            look = {"fmt": style, "color": colour, "ms": 4, "label": f"{measure}, {name}"}
            left.errorbar(sizes, [row[measure] for row in mine], spread, **look)
        for colour, measure in zip(_COLOURS, RANKINGS, strict=False):
            # Samples that agree wholly have a place too, at the foot.
            values = [max(1 - row[f"{measure}_apart"], _FOOT) for row in mine]
            label = f"{_RANKING_NAMES[measure]}, {name}"
            right.plot(sizes, values, style, color=colour, ms=4, label=label)
    sizes = sorted({row["pairs"] for row in rows})
    left.plot(sizes, [n**-0.5 for n in sizes], ":", color="black", label="$n^{-1/2}$")
    dress(left, "relative error of the Reference", "pairs in the sample", "error")
    dress(right, "two disjoint samples", "pairs in the sample", "1 - agreement")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log")
        axes.minorticks_off()
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.legend(fontsize=7, ncols=2, loc="best", frameon=False)
    smallest = min(row[measure] for row in rows for measure in ERRORS)
    low = 10.0 ** math.floor(math.log10(max(smallest, _FOOT)))
    left.set_ylim(low, max(1.0, 100 * low))
    right.set_ylim(_FOOT, 1)
    return figure


def _reading(rows: Sequence[Mapping[str, Any]], fitted: Sequence[Mapping[str, Any]]) -> str:
    largest = max(row["pairs"] for row in rows)
    last = [row for row in rows if row["pairs"] == largest]
    rank = min(row["spearman_apart"] for row in last)
    lowest = min(row["lowest_apart"] for row in last)
    means = [row["exponent"] for row in fitted if row["measure"] == "mean error"]
    return (
        f"References of two disjoint samples of {largest:,} pairs rank with a Spearman of at least"
        f" {rank:.4f} and share at least {100 * lowest:.1f} % of their lowest {LOWEST:.0%}; the"
        f" error of the mean falls with the power {min(means):.2f} to {max(means):.2f} of the"
        " sample size (theory: -0.5)."
    )


def _tables(
    rows: Sequence[Mapping[str, Any]], fitted: Sequence[Mapping[str, Any]], n: int
) -> tuple[Table, ...]:
    def columns(*measures: str) -> list[dict[str, Any]]:
        names = [f"{m}{end}" for m in measures for end in ("", "_sd")]
        return [{key: row[key] for key in ("modality", "pairs", "draws", *names)} for row in rows]

    return (
        Table.of(
            "sample_size_errors",
            "Error of the Reference against sample size",
            f"Random subsets against all {n:,} pairs, divided by sqrt(1 - n/N). mean: distance of"
            " the means over the spread of the embeddings; covariance, operator: relative error of"
            " the metric in the Frobenius and in the operator norm. s = 1, prior `model`,"
            " covariance `corrected`; mean and standard deviation over the draws.",
            columns(*ERRORS),
        ),
        Table.of(
            "sample_size_ranking",
            "Ranking of the scores against sample size",
            f"Scores of all {n:,} pairs: Spearman, and overlap of the lowest {LOWEST:.0%}, between"
            " a subset's Reference and that of all pairs, and (apart) between those of two"
            " disjoint subsets, which err independently.",
            columns("spearman", "lowest", "spearman_apart", "lowest_apart"),
        ),
        Table.of(
            "sample_size_powers",
            "Fitted powers of the sample size",
            f"Least squares of logarithms; the last column extrapolates to {TYPICAL:,} pairs.",
            fitted,
        ),
    )
