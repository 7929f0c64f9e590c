"""What a report says: the types of its data, which the page draws and `docs/report.md` explains.

Everything is JSON: texts are plain text, numbers are finite, and what is unknown is null.
"""

from __future__ import annotations

import math
from typing import Final, Literal, TypedDict

from curate.report.explorer_payload import Explorer

FORMAT: Final = 1
"""Of the payload; keys may be added without a new one."""


class Model(TypedDict):
    """What embedded the pool; null where nothing tells."""

    name: str | None
    pretrained: str | None
    fingerprint: str | None
    width: int | None
    link: str | None
    precision: str | None


class ReferenceFacts(TypedDict):
    """What scores are against."""

    samples: int
    prior: str
    covariance: str
    temperature: dict[str, float]
    sha256: str


PoolKind = Literal["shards", "embeddings", "metadata"]
"""What a pool is made of: images in shards, or metadata with or without embeddings."""


class Pool(TypedDict):
    """What was scored. `unreadable`: shard -> error."""

    kind: PoolKind
    places: list[str]
    shards: int
    unreadable: dict[str, str]


class Run(TypedDict):
    """The run, as its directory tells."""

    name: str
    directory: str
    version: str
    model: Model | None
    reference: ReferenceFacts | None
    pool: Pool
    config_yaml: str


class SubsetFacts(TypedDict):
    """The subset that the report is about."""

    name: str
    rules_yaml: str


class Dropped(TypedDict):
    """Samples that rules dropped. `rule`: of the rules' top level, by position; null: none."""

    reason: str
    rule: int | None
    count: int


class Rejected(TypedDict):
    """Samples that could not be scored."""

    reason: str
    meaning: str
    count: int


class Accounts(TypedDict):
    """What became of every sample: read = kept + dropped + rejected; `kept` null: undecided."""

    read: int
    kept: int | None
    dropped: list[Dropped]
    rejected: list[Rejected]
    balances: bool


class Quantiles(TypedDict):
    """Exact order statistics: p of the rows with a value lie below `value`."""

    p: list[float]
    value: list[float | None]


class Histogram(TypedDict):
    """Counts between exact edges; the outermost bins hold all that lies beyond them as well."""

    edges: list[float]
    pool: list[int]
    kept: list[int]
    reference: list[int] | None


class Threshold(TypedDict):
    """A current cut of a column. `value`: null where it keeps or drops everything."""

    test: int
    value: float | None
    side: Literal["min", "max"]
    label: str


class ColumnFacts(TypedDict):
    """A column over the rows that rules decide."""

    name: str
    label: str
    unit: str
    meaning: str
    kind: Literal["score", "metadata"]
    count: int
    missing: int
    min: float | None
    max: float | None
    mean: float | None
    sd: float | None
    quantiles: Quantiles
    linear: Histogram | None
    log: Histogram | None
    thresholds: list[Threshold]


class SampleFacts(TypedDict):
    """A sample that is shown. `digits`: its digit in each column of the explorer."""

    id: int
    shard: str
    key: str
    uid: str
    caption: str | None
    caption_cut: bool
    status: str
    reason: str | None
    error: str | None
    values: dict[str, float | None]
    percentiles: dict[str, float | None]
    digits: list[int] | None
    thumb: str | None
    thumb_note: str | None
    thumb_alt: str | None
    look: str | None


class Entry(TypedDict):
    """A sample in a gallery, and how many of those looked at are the same."""

    sample: int
    copies: int


class Gallery(TypedDict):
    """Some samples; `total`: rows that they are drawn from."""

    id: str
    group: str
    title: str
    about: str
    column: str | None
    total: int
    entries: list[Entry]


class Joint(TypedDict):
    """Two columns together: counts [x][y]; the outermost bins hold what lies beyond as well."""

    x: str
    y: str
    x_scale: Literal["linear", "log"]
    y_scale: Literal["linear", "log"]
    x_edges: list[float]
    y_edges: list[float]
    pool: list[list[int]]
    kept: list[list[int]]


class Correlations(TypedDict):
    """Of all columns. `rows`: what the ranks are taken over, of so many."""

    names: list[str]
    spearman: list[list[float | None]]
    pearson: list[list[float | None]]
    rows: int
    of: int


class SubsetRow(TypedDict):
    """A subset of the run directory. `uids`: where its uids.npy is, from the page."""

    name: str
    kept: int
    kept_share: float
    baseline: bool
    thresholds: dict[str, str]
    uids: str | None
    rules_yaml: str


class Overlap(TypedDict):
    """What two subsets share."""

    a: str
    b: str
    kept_both: int
    jaccard: float


class Sweep(TypedDict):
    """All subsets of the run directory, and how those of a sweep overlap."""

    subsets: list[SubsetRow]
    overlaps: list[Overlap]


class ShardRow(TypedDict):
    """A shard; `kept` and `dropped` are null where nothing was decided."""

    id: str
    read: int
    kept: int | None
    dropped: int | None
    rejected: int
    outlier: str | None


class Shards(TypedDict):
    """Outliers and the first ones, in the order of the run."""

    rows: list[ShardRow]
    total: int
    shown: int


class Payload(TypedDict):
    """All of it."""

    format: int
    run: Run
    subset: SubsetFacts | None
    warnings: list[str]
    accounts: Accounts
    columns: list[ColumnFacts]
    explorer: Explorer | None
    samples: list[SampleFacts]
    galleries: list[Gallery]
    near: dict[str, list[list[int]]]
    joint: list[Joint]
    correlations: Correlations | None
    sweep: Sweep | None
    shards: Shards


def finite(number: float) -> float | None:
    """A number as JSON has it: null where it is not finite."""
    return float(number) if math.isfinite(number) else None
