"""The figure: retrieval of every training, arm by arm, beside the noise that each arm was left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from minicomping.arms import NO_FILTER
from minicomping.config import EMBEDDED, OWN
from minicomping.metrics import PRIMARY
from minicomping.results import Results, figures, noise_left, spread

COLOURS: Final = {"": "#555555", OWN: "#0072b2", EMBEDDED: "#d55e00"}  # told apart by all eyes
SCORED: Final = {
    "": "without scores",
    OWN: "scores of a model trained on the noisy pool",
    EMBEDDED: "scores of the embedded model",
}
INCH_PER_ARM: Final = 0.36


def draw(found: Results, path: Path) -> None:
    """Write the figure as PNG."""
    arms = found["arms"]
    fig, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(9.5, 1.6 + INCH_PER_ARM * len(arms)), width_ratios=(3, 1)
    )
    for place, arm in enumerate(arms):
        _dots(left, place, arm)
        right.barh(place, 100 * noise_left(arm), color=COLOURS[arm["scorer"]], height=0.6)
    base = next(arm for arm in arms if arm["name"] == NO_FILTER)
    left.axvline(100 * spread(figures(base, PRIMARY)).mean, color="#999999", lw=1, ls="--")
    left.set_yticks(range(len(arms)), [f"{a['name']} ({a['pairs']:,})" for a in arms])
    left.invert_yaxis()
    left.set_xlabel(f"{PRIMARY}, mean of both directions, % (dots: seeds, bars: mean)")
    right.set_xlabel("noise left, %")
    for axes in (left, right):
        axes.grid(axis="x", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    used = dict.fromkeys(arm["scorer"] for arm in arms)
    marks = [Line2D([], [], marker="o", ls="", color=COLOURS[s], label=SCORED[s]) for s in used]
    fig.legend(handles=marks, loc="upper center", ncols=len(marks), frameon=False, fontsize=9)
    fig.tight_layout(rect=(0, 0, 1, 0.94))
    fig.savefig(path, dpi=130)
    plt.close(fig)


def _dots(axes: Any, place: int, arm: Mapping[str, Any]) -> None:
    values, colour = [100 * value for value in figures(arm, PRIMARY)], COLOURS[arm["scorer"]]
    axes.plot(values, [place] * len(values), "o", color=colour, ms=5, alpha=0.7, mew=0)
    axes.plot([spread(values).mean] * 2, [place - 0.3, place + 0.3], color=colour, lw=2)
