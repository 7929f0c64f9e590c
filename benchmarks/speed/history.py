"""What the speed benchmarks found at earlier commits, one JSON object a line, and what got worse.

Ratios are compared, not times: both sides of a ratio ran on the same machine in the same minutes.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from speed.table import Row

WORSE = 1.10  # times the ratio it had: what noise alone rarely does to a ratio on a quiet machine
COMPARED = 3  # latest records; their median is what a ratio is compared with


@dataclass(frozen=True)
class Record:
    """The ratios of one commit.

    Attributes:
        commit: abbreviated, with a `+` where the tree held changes.
        date: ISO 8601.
        machine: processor and cores; records of one machine alone are compared.
        quick: whether sizes were the small ones, likewise.
        ratios: "work: contender" -> ratio.
    """

    commit: str
    date: str
    machine: str
    quick: bool
    ratios: Mapping[str, float]


@dataclass(frozen=True)
class Worse:
    """A ratio that got worse: what it was (median of the latest records) and what it is."""

    name: str
    before: float
    now: float


def ratios_of(rows: Iterable[Row]) -> dict[str, float]:
    """The ratios of a table by name; rows without one are left out."""
    return {f"{r.name}: {r.contender}": r.ratio for r in rows if r.ratio is not None}


def read(path: Path) -> list[Record]:
    """The records of a history file, oldest first; none without the file."""
    if not path.exists():
        return []
    return [Record(**json.loads(line)) for line in path.read_text().splitlines()]


def append(path: Path, record: Record) -> None:
    """Add a record."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(record), sort_keys=True) + "\n")


def worse(record: Record, history: Sequence[Record]) -> list[Worse]:
    """Ratios that are more than WORSE times what they were on the same machine."""
    same = [h for h in history if (h.machine, h.quick) == (record.machine, record.quick)]
    found = []
    for name, now in record.ratios.items():
        earlier = [h.ratios[name] for h in same if name in h.ratios][-COMPARED:]
        if earlier and now > WORSE * statistics.median(earlier):
            found.append(Worse(name, statistics.median(earlier), now))
    return found
