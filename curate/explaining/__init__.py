"""`curate explain`: why samples were kept or dropped, and what the model makes of them."""

from curate.explaining.findings import (
    Explanation,
    GroupTrace,
    Meaning,
    Neighbour,
    Standing,
    TestTrace,
    Verdict,
    to_json,
)
from curate.explaining.run import Wanted, explain

__all__ = [
    "Explanation",
    "GroupTrace",
    "Meaning",
    "Neighbour",
    "Standing",
    "TestTrace",
    "Verdict",
    "Wanted",
    "explain",
    "to_json",
]
