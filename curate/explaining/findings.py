"""What an explanation says, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from curate.numerics.selection import Cut, Keep

VERSION: Final = 1
"""Of the JSON; keys may be added under the same one."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a value stands among others; a missing one ranks below all.

    Attributes:
        below: how many are smaller.
        equal: how many are the same, the value itself among them.
        of: how many there are.
    """

    below: int
    equal: int
    of: int

    @property
    def percentile(self) -> float:
        """Per cent that lie below, of ties the half; NaN where there is nothing to stand among."""
        return 100 * (self.below + self.equal / 2) / self.of if self.of else math.nan


@dataclass(frozen=True, slots=True)
class TestTrace:
    """One test of the rules on one sample.

    Attributes:
        name: of the test, as in the reasons.
        column: what it compares.
        keep: `at_least` or `at_most`.
        cut: the threshold; where it has a uid, samples of that very value are told apart by theirs.
        value: of the sample; None where it is missing.
        margin: how far inside the threshold, negative outside; None without a value or where the
            threshold is infinite.
        passed: whether the sample passes.
        decisive: whether the verdict hangs on it: see `tracing.trace`.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    name: str
    column: str
    keep: Keep
    cut: Cut
    value: float | None
    margin: float | None
    passed: bool
    decisive: bool

    @property
    def tied(self) -> bool:
        """Whether the value is the threshold's, so that the uid decides."""
        return self.margin == 0 and self.cut.uid != (0, 0)


@dataclass(frozen=True, slots=True)
class GroupTrace:
    """An `all` or `any` of the rules on one sample; `parts` in the order written."""

    kind: str
    passed: bool
    decisive: bool
    parts: tuple[Trace, ...]


Trace = TestTrace | GroupTrace


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a subset says of a sample.

    Attributes:
        subset: its name.
        kept: whether it is in it.
        reason: `kept`, the rule that dropped it, `duplicate_uid`, or `rejected:STATUS`.
        rules: how the rules came out; None for a rejected sample, which they do not see.
        same_uid: the sample of the same uid that is looked at in its stead, as SHARD/KEY.
    """

    subset: str
    kept: bool
    reason: str
    rules: GroupTrace | None
    same_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A pair of the Reference's sample, seen from an embedding of the other modality.

    Attributes:
        row: its position in the sample.
        shard, key: where it came from; None where that was not kept.
        caption: cut short; None where it was not kept.
        cosine: inner product of the embeddings.
        posterior, prior: p(t | u) and p(t).
        term: p(t | u) log(p(t | u) / p(t)), nats: its share of the Information Gain.
    """

    row: int
    shard: str | None
    key: str | None
    caption: str | None
    cosine: float
    posterior: float
    prior: float
    term: float


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the model makes of an image, in texts of the Reference's sample, or the reverse.

    Attributes:
        information_gain: the exact KL of posterior and prior, nats.
        nearest: by cosine.
        gaining: by their term of the Information Gain, largest first.
    """

    information_gain: float
    nearest: tuple[Neighbour, ...]
    gaining: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that a run tells of a sample.

    Attributes:
        name: as it was asked for.
        shard: as in the scores, like the next six.
        index: position in the shard.
        key: of the sample.
        uid: 32 hex digits.
        uid_derived: whether shard and key gave it.
        status: `ok`, or why it was rejected.
        error: what was found then.
        meaning_of_status: of a rejection.
        caption: None where it could not be read.
        values: column -> value, of every numeric column of the scores; None where missing.
        pool: column -> standing in the pool; where a column is not asked for, or has no value, it
            is left out.
        reference: the same in the Reference's sample.
        verdict: None where nothing was selected.
        image: what the model makes of the picture; None without an embedding.
        text: what it makes of the caption.
        notes: what could not be told, and why.
    """

    name: str
    shard: str
    index: int
    key: str
    uid: str
    uid_derived: bool
    status: str
    error: str | None
    meaning_of_status: str | None
    caption: str | None
    values: Mapping[str, float | None]
    pool: Mapping[str, Standing] = field(default_factory=dict)
    reference: Mapping[str, Standing] = field(default_factory=dict)
    verdict: Verdict | None = None
    image: Meaning | None = None
    text: Meaning | None = None
    notes: tuple[str, ...] = ()


# --- JSON -------------------------------------------------------------------------------------


def to_json(found: Explanation) -> dict[str, Any]:
    """Return a JSON-ready mapping; docs/explain.md tells its keys."""
    return {
        "version": VERSION,
        **{
            name: getattr(found, name)
            for name in (
                "name", "shard", "index", "key", "uid", "uid_derived", "status",
                "meaning_of_status", "error", "caption",
            )
        },
        "columns": {
            name: {
                "value": _plain(value),
                "pool": _standing_json(found.pool.get(name)),
                "reference": _standing_json(found.reference.get(name)),
            }
            for name, value in found.values.items()
        },
        "verdict": None if found.verdict is None else _verdict_json(found.verdict),
        "image": None if found.image is None else asdict(found.image),
        "text": None if found.text is None else asdict(found.text),
        "notes": list(found.notes),
    }  # fmt: skip


def _plain(number: float | None) -> float | str | None:
    """JSON has no infinity, which is `"inf"` or `"-inf"`, and no NaN, which is null."""
    if number is None or math.isnan(number):
        return None
    return number if math.isfinite(number) else str(number)


def _standing_json(standing: Standing | None) -> dict[str, Any] | None:
    if standing is None:
        return None
    return asdict(standing) | {"percentile": _plain(standing.percentile)}


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "subset": verdict.subset,
        "kept": verdict.kept,
        "reason": verdict.reason,
        "same_uid": verdict.same_uid,
        "rules": None if verdict.rules is None else _trace_json(verdict.rules),
    }


def _trace_json(trace: Trace) -> dict[str, Any]:
    if isinstance(trace, GroupTrace):
        parts = [_trace_json(part) for part in trace.parts]
        return {
            "group": trace.kind,
            "passed": trace.passed,
            "decisive": trace.decisive,
            "parts": parts,
        }
    return {
        "test": trace.name,
        "column": trace.column,
        "keep": trace.keep,
        "threshold": trace.cut.to_json(),
        "value": _plain(trace.value),
        "margin": _plain(trace.margin),
        "tied": trace.tied,
        "passed": trace.passed,
        "decisive": trace.decisive,
    }
