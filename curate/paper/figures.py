"""One look for all figures: scatter panels with their line, and sheets of pictures.

Figures are objects, not pyplot's state: nothing here opens a window or stays in memory.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from curate.numerics.agreement import Agreement

DPI: Final = 110
"""Nine inches are then 990 pixels: the width of a README."""

WIDTH: Final = 9.0  # inches
COLOURS: Final = {"image": "#2a6099", "text": "#b3541e"}
GREY: Final = "#555555"
SIZE: Final = 9  # points, of text

_VISIBLE_POINTS: Final = 1200
"""Points that may lie on one another before they are drawn thinner."""


_USUAL: Final = 0.995
_FAR: Final = 2.0
"""Where the longest caption is this many times the usual ones, the axis ends at the usual."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One scatter plot.

    Attributes:
        title: above it.
        x, y: points, [n].
        x_label, y_label: with units.
        found: the line through the points.
        modality: `image` or `text`: the colour.
        identity: draw y = x too, where x and y share a unit.
    """

    title: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    x_label: str
    y_label: str
    found: Agreement
    modality: str
    identity: bool = False


def scatter_figure(rows: Sequence[Sequence[Panel | None]], height: float = 2.9) -> Figure:
    """Panels in rows; None leaves a place empty.

    Args:
        rows: of equal length.
        height: inches of a row.
    """
    figure = new_figure(WIDTH, height * len(rows))
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for places, panels in zip(axes, rows, strict=True):
        for place, panel in zip(places, panels, strict=True):
            if panel is None:
                place.set_axis_off()
            else:
                _draw(place, panel)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches, that arranges its panels by itself."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def dress(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Labels, ticks and frame of a plot."""
    axes.set_title(title, fontsize=SIZE - 1, loc="left")
    axes.set_xlabel(x_label, fontsize=SIZE - 1)
    axes.set_ylabel(y_label, fontsize=SIZE - 1)
    axes.tick_params(labelsize=SIZE - 2, colors=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)


def _draw(axes: Axes, panel: Panel) -> None:
    x, y = np.asarray(panel.x, dtype=np.float64), np.asarray(panel.y, dtype=np.float64)
    alpha = float(np.clip(_VISIBLE_POINTS / len(x), 0.08, 0.6))
    axes.scatter(x, y, s=4, alpha=alpha, color=COLOURS[panel.modality], linewidths=0)
    dress(axes, panel.title, panel.x_label, panel.y_label)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(style="sci", scilimits=(-4, 5), axis="both")
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set(size=SIZE - 2, color=GREY)
    low, high = float(x.min()), float(x.max())
    if high > low:
        ends = np.array([low, high])
        if panel.identity:
            _identity(axes, x, y)
        fit = panel.found.slope * ends + panel.found.intercept
        axes.plot(ends, fit, color="black", linewidth=1)
    axes.set_ylim(bottom=0 if y.min() >= 0 else None)
    _leave_out_stragglers(axes, x)
    shown = x <= axes.get_xlim()[1]
    at_x, at_y = _emptiest_corner(x[shown], y[shown])
    axes.annotate(
        caption_of(panel.found),
        (0.97 if at_x else 0.03, 0.97 if at_y else 0.04),
        xycoords="axes fraction",
        ha="right" if at_x else "left",
        va="top" if at_y else "bottom",
        fontsize=SIZE - 1,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5},
    )


def _leave_out_stragglers(axes: Axes, x: npt.NDArray[Any]) -> None:
    """End the axis where all but a few points do, and say how many lie beyond."""
    usual = float(np.quantile(x, _USUAL))
    if x.max() - x.min() <= _FAR * (usual - x.min()):
        return
    end = usual + 0.1 * (usual - x.min())
    axes.set_xlim(x.min() - 0.05 * (end - x.min()), end)
    axes.set_xlabel(f"{axes.get_xlabel()}; {int((x > end).sum())} points lie beyond")


def _emptiest_corner(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[bool, bool]:
    """(right?, top?) of the corner with the fewest points; lower right among equals."""
    wide, high = max(np.ptp(x), 1e-300), max(y.max() - min(y.min(), 0), 1e-300)
    across, up = (x - x.min()) / wide, (y - min(y.min(), 0)) / high
    corners = [(True, False), (False, True), (True, True), (False, False)]

    def inside(corner: tuple[bool, bool]) -> int:
        beside = across > 0.55 if corner[0] else across < 0.45
        above = up > 0.75 if corner[1] else up < 0.25
        return int((beside & above).sum())

    return min(corners, key=inside)


def _identity(axes: Axes, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> None:
    end = min(x.max(), y.max() * 1.05)
    start = max(0.0, min(x.min(), y.min()))
    axes.plot([start, end], [start, end], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))


def caption_of(found: Agreement) -> str:
    """R² and slope as a panel shows them; which of them is not defined is said."""
    if np.isnan(found.r2):
        return "x does not vary"
    return f"R² = {found.r2:.3f}\nslope {found.slope:#.3g}"


def contact_sheet(rows: Sequence[tuple[str, Sequence[tuple[Image.Image, str]]]]) -> Figure:
    """Rows of pictures, each row with a heading and each picture with a line below it."""
    columns = max(len(pictures) for _, pictures in rows)
    figure = new_figure(WIDTH, 2.3 * len(rows))
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (heading, pictures) in zip(parts, rows, strict=True):
        part.suptitle(heading, fontsize=SIZE, x=0.01, ha="left")
        for axes, item in itertools.zip_longest(
            part.subplots(1, columns, squeeze=False)[0], pictures
        ):
            if item is None:
                axes.set_axis_off()
                continue
            axes.imshow(_on_square(item[0]))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color("#cccccc")
            axes.set_xlabel(item[1], fontsize=SIZE - 1)
    return figure


def _on_square(picture: Image.Image) -> Image.Image:
    """The picture in the middle of a square, so that all lie on one line; grey shows its edge."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), "#e4e4e4")
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def png(figure: Figure) -> bytes:
    """The figure as a PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
