"""What the drawings show: one function per kind of scene, each returning what to say about it."""

from __future__ import annotations

from collections.abc import Callable

from curate.synthetic.canvas import Canvas
from curate.synthetic.describe import Scene
from curate.synthetic.scenes import (
    buildings,
    charts,
    games,
    household,
    landscapes,
    people,
    pets,
    roads,
    signs,
    tables,
    voyages,
    wildlife,
)

PAINTERS: dict[str, Callable[[Canvas], Scene]] = {
    **buildings.SCENES,
    **landscapes.SCENES,
    **roads.SCENES,
    **voyages.SCENES,
    **pets.SCENES,
    **wildlife.SCENES,
    **people.SCENES,
    **tables.SCENES,
    **household.SCENES,
    **charts.SCENES,
    **games.SCENES,
    **signs.SCENES,
}
"""Kind of scene -> the function that draws it."""

COLOUR_ONLY = frozenset(
    {"pie chart", "flag", "traffic light", "playing cards", "shapes", "pattern"}
)
"""Kinds that mean nothing without their colours."""
