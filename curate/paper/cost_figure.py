"""The figure of Table 5: time and memory against sample size, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from curate.paper.figures import SIZE, WIDTH, dress, new_figure

STYLES: Final = {"exact": ("#2a6099", "o"), "norm": ("#b3541e", "s")}
MIB: Final = 2**20


def cost_figure(costs: Mapping[tuple[str, str], Sequence[Any]]) -> Figure:
    """Four panels: pre-inference and inference, time and memory.

    Args:
        costs: (method, part) -> measurements with n, seconds and bytes.
    """
    figure = new_figure(WIDTH, 5.4)
    axes = figure.subplots(2, 2)
    for (method, part), its in costs.items():
        column = 0 if part.startswith("pre") else 1
        colour, marker = STYLES[method]
        for axis, values in (
            (axes[0][column], [cost.seconds for cost in its]),
            (axes[1][column], [max(cost.bytes, 1) / MIB for cost in its]),
        ):
            label = "exact Information Gain" if method == "exact" else "norm"
            sizes = [cost.n for cost in its]
            axis.plot(sizes, values, color=colour, marker=marker, ms=4, lw=1.2, label=label)
    for column, title in enumerate(("pre-inference", "inference")):
        unit = "time (s)" if column == 0 else "time a query (s)"
        dress(axes[0][column], title, "sample size n", unit)
        dress(axes[1][column], title, "sample size n", "peak memory (MiB)")
    for axis in axes.flat:
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes[0][0].legend(fontsize=SIZE - 1, frameon=False)
    return figure
