"""The run directory: which shards there are, which are done, and whether the counts add up.

A shard is committed by its marker `state/SHARD.json`, which is written last and carries counts
and checksums. Markers hold no clock and no host name: the same work gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pyarrow as pa

from curate.config import digest
from curate.errors import AccountingError, OutputError, RunDirError
from curate.listing import REQUESTS_AT_ONCE
from curate.outputs import Store, Written
from curate.prefetch import prefetched
from curate.redact import redact
from curate.schema import OK, REJECTIONS
from curate.serialised import table_bytes
from curate.shards import Shard

MANIFEST: Final = "manifest.parquet"
IDENTITY: Final = "identity.json"
STATE: Final = "state"
FAILED: Final = "state/failed"

MANIFEST_ROWS: Final = 1 << 16
"""Rows that are taken out of the manifest at once."""

MANIFEST_SCHEMA: Final = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("size", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the samples of one shard or of many.

    Attributes:
        read: samples seen, whole or not.
        rejected: reason -> samples that could not be scored.
        kept, dropped: of the scored ones, where a decision was made; dropped by reason.
    """

    read: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    kept: int | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def scored(self) -> int:
        """Samples that have scores."""
        return self.read - sum(self.rejected.values())

    def check(self, place: str) -> None:
        """Refuse counts that do not balance. Raises AccountingError naming the place."""
        if self.scored < 0:
            raise AccountingError(f"{place}: {self.read} read, but {self.rejected} rejected")
        if self.kept is not None and self.scored != self.kept + sum(self.dropped.values()):
            raise AccountingError(
                f"{place}: read {self.read} != kept {self.kept} + dropped {dict(self.dropped)}"
                f" + rejected {dict(self.rejected)}"
            )

    def __add__(self, other: Counts) -> Counts:
        kept = None
        if self.kept is not None or other.kept is not None:
            kept = (self.kept or 0) + (other.kept or 0)
        return Counts(
            read=self.read + other.read,
            rejected=_add(self.rejected, other.rejected),
            kept=kept,
            dropped=_add(self.dropped, other.dropped),
        )


def _add(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted((Counter(a) + Counter(b)).items()))


def counts_of_statuses(statuses: Iterable[str] | Mapping[str, int]) -> Counts:
    """Count a `status` column, or take its counts. Raises AccountingError for an unknown one."""
    tally = Counter(statuses)
    unknown = set(tally) - set(REJECTIONS) - {OK}
    if unknown:
        raise AccountingError(f"statuses {sorted(unknown)} are not in the schema")
    rejected = {status: n for status, n in sorted(tally.items()) if status != OK}
    return Counts(read=sum(tally.values()), rejected=rejected)


@dataclass(frozen=True, slots=True)
class Marker:
    """The commit marker of one scored shard.

    Attributes:
        shard, url, size, sha256: the input, as it was read.
        identity: of model, Reference and configuration, from `RunDir.claim`.
        counts: read and rejected.
        damage: what was wrong with the tar itself, in order of offset.
        notes: what is odd, but lost nothing: name -> count or text.
        outputs: files that the commit consists of.
    """

    shard: str
    url: str
    size: int
    sha256: str
    identity: str
    counts: Counts
    damage: tuple[dict[str, Any], ...]
    notes: dict[str, Any]
    outputs: tuple[Written, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Marker:
        """Read back what `to_json` wrote.

        Raises:
            OutputError: a field is missing or unknown, or this is no marker at all.
        """
        try:
            fields = dict(value)
            fields["counts"] = Counts(**fields["counts"])
            fields["damage"] = tuple(fields["damage"])
            fields["outputs"] = tuple(Written(**w) for w in fields["outputs"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as exc:
            raise OutputError(
                f"the marker is incomplete ({exc!r}); delete it and run again"
            ) from exc


def _check_same_file(before: Shard, now: Shard) -> None:
    sizes = {before.size, now.size} - {None}
    if before.url != now.url or len(sizes) > 1:
        raise RunDirError(
            f"shard {now.id!r} was {before.url} ({before.size} bytes) in this run directory and is"
            f" {now.url} ({now.size} bytes) now; choose another output.run_dir"
        )


def _manifest_of(shards: Sequence[Shard]) -> pa.Table:
    columns = ((s.id for s in shards), (s.url for s in shards), (s.size for s in shards))
    arrays = [
        pa.array(column, type=field.type, size=len(shards))
        for column, field in zip(columns, MANIFEST_SCHEMA, strict=True)
    ]
    return pa.table(arrays, schema=MANIFEST_SCHEMA)


class RunDir:
    """Names of everything in a run directory, and the state of the run."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # --- the input -------------------------------------------------------------------------

    def write_manifest(self, shards: Sequence[Shard]) -> None:
        """Record the shards of the run, in their order.

        Raises:
            RunDirError: a scored shard was another file before; an unreadable one may have been.
        """
        data = table_bytes(_manifest_of(shards))
        try:
            found = self.store.read_bytes(MANIFEST)
        except FileNotFoundError:
            found = None
        if found == data:
            return
        if found is not None:
            self._check_same_files(shards)
        self.store.write_bytes(MANIFEST, data)

    def _check_same_files(self, shards: Sequence[Shard]) -> None:
        done = self.committed()
        before = {shard.id: shard for shard in self.read_manifest() if shard.id in done}
        for shard in shards:
            _check_same_file(before.get(shard.id, shard), shard)

    def read_manifest(self) -> tuple[Shard, ...]:
        """The shards of the run. Raises RunDirError if there is no run here."""
        table = self._manifest_table(MANIFEST_SCHEMA.names)
        return tuple(
            Shard(id=shard, url=url, size=size)
            for batch in table.to_batches(MANIFEST_ROWS)  # not as lists of a million Python objects
            for shard, url, size in zip(*batch.to_pydict().values(), strict=True)
        )

    def shard_ids(self) -> list[str]:
        """Ids of the shards of the run, in their order. Raises RunDirError if there is no run."""
        ids: list[str] = self._manifest_table(["shard"])["shard"].to_pylist()
        return ids

    def _manifest_table(self, columns: list[str]) -> pa.Table:
        try:
            return self.store.read_table(MANIFEST, columns)
        except FileNotFoundError as exc:
            raise RunDirError(
                f"{self.store} holds no run ({MANIFEST} is missing); run `curate score` first, or"
                " give the directory that output.run_dir names"
            ) from exc

    def claim(self, relative: str, parts: Mapping[str, Any]) -> str:
        """Bind a part of the directory to what it depends on; return the identity of that.

        Raises:
            RunDirError: it was made in another way before; names what differs.
        """
        identity = digest(parts)
        found = self.read_identity(relative)
        if found is None:
            self.store.write_json(relative, {"identity": identity, "parts": dict(parts)})
            return identity
        if found[0] == identity:
            return identity
        old = found[1]
        changes = [
            f"{key} was {old.get(key)!r} and is {parts.get(key)!r} now"
            for key in sorted(set(old) | set(parts))
            if old.get(key) != parts.get(key)
        ]
        raise RunDirError(
            f"{self.store} holds results that were made in another way: {'; '.join(changes)}."
            " Choose another output.run_dir, or delete this one"
        )

    def read_identity(self, relative: str = IDENTITY) -> tuple[str, dict[str, Any]] | None:
        """The identity of a part of the directory and what it is made of; None if unclaimed.

        Raises:
            OutputError: the file is damaged.
        """
        try:
            found = self.store.read_json(relative)
            return str(found["identity"]), dict(found["parts"])
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as exc:
            raise OutputError(
                f"{self.store.path(relative)} is incomplete ({exc!r}); restore it, or choose"
                " another output.run_dir"
            ) from exc

    # --- commit markers --------------------------------------------------------------------

    def marker(self, shard: str) -> Marker | None:
        """The marker of a committed shard, or None."""
        relative = f"{STATE}/{shard}.json"
        try:
            return Marker.from_json(self.store.read_json(relative))
        except FileNotFoundError:
            return None
        except OutputError as exc:
            raise OutputError(f"{self.store.path(relative)}: {exc}") from exc

    def require_marker(self, shard: str) -> Marker:
        """The marker of a shard that must be committed. Raises RunDirError."""
        marker = self.marker(shard)
        if marker is None:
            raise RunDirError(
                f"{self.store}: shard {shard!r} has no marker in {STATE}/; run `curate score` again"
            )
        return marker

    def commit(self, marker: Marker) -> None:
        """Make a shard's outputs count. Raises AccountingError if they do not balance."""
        marker.counts.check(f"shard {marker.shard}")
        self.store.write_json(f"{STATE}/{marker.shard}.json", marker.to_json())
        self.store.remove_file(f"{FAILED}/{marker.shard}.json")

    def fail(self, shard: Shard, message: str) -> None:
        """Record that a shard could not be read; it is tried again by the next run."""
        value = {"shard": shard.id, "url": shard.url, "error": redact(message)}
        self.store.write_json(f"{FAILED}/{shard.id}.json", value)

    def committed(self, among: Sequence[str] = ()) -> frozenset[str]:
        """Ids of the shards with a marker, from one listing.

        Args:
            among: the ids that matter, if that is known: of those, none is missed. A large store
                is listed in parts then, side by side.
        """
        names = self.store.names(STATE, ".json", self.marker_names(among))
        return frozenset(name.removesuffix(".json") for name in names)

    def marker_names(self, shards: Sequence[str]) -> list[str]:
        """What a listing of the markers of some shards has to know: nothing on a disk."""
        return [] if self.store.is_local else [f"{shard}.json" for shard in shards]

    def failed(self) -> frozenset[str]:
        """Ids of the shards that could not be read, from one listing."""
        return frozenset(name.removesuffix(".json") for name in self.store.names(FAILED, ".json"))

    def failures(self) -> dict[str, str]:
        """Shard id -> error, of the shards that could not be read."""
        names = self.store.names(FAILED, ".json")
        threads = 1 if self.store.is_local else REQUESTS_AT_ONCE
        return dict(prefetched(self._failure, names, threads))

    def _failure(self, name: str) -> tuple[str, str]:
        value = self.store.read_json(f"{FAILED}/{name}")
        if not isinstance(value, dict) or not {"shard", "error"} <= set(value):
            raise OutputError(
                f"{self.store.path(FAILED)}/{name} is incomplete; delete it and run again"
            )
        return value["shard"], value["error"]
