"""What can be wrong with a tar, and the report that a reader leaves of the whole stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAMAGE_LIMIT: Final = 1000
"""Damages kept one by one; a hostile shard could otherwise fill the memory with them."""

CORRUPT_HEADER: Final = "corrupt_header"
TRUNCATED: Final = "truncated"
CONCATENATED: Final = "concatenated"
NO_END_BLOCKS: Final = "no_end_blocks"
TRAILING_DATA: Final = "trailing_data"

LOSSES: Final = frozenset({CORRUPT_HEADER, TRUNCATED})
"""Kinds of damage by which members were lost; the other kinds are notes."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Something wrong with the archive at byte `offset`; `kind` is one of the constants above."""

    kind: str
    offset: int
    detail: str

    @property
    def is_loss(self) -> bool:
        """Whether members were lost by it; False for a mere note."""
        return self.kind in LOSSES


@dataclass(frozen=True, slots=True)
class TarReport:
    """What the whole stream was: complete once the reader is exhausted.

    Attributes:
        size: bytes of the stream.
        sha256: hex digest of all of them.
        damage: at most DAMAGE_LIMIT of them, in order.
        losses: damages by which members were lost.
        omitted: damages beyond the limit, counted only.
    """

    size: int
    sha256: str
    damage: tuple[Damage, ...]
    losses: int
    omitted: int

    @property
    def is_damaged(self) -> bool:
        """Whether any member was lost."""
        return self.losses > 0
