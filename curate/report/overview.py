"""What the head of a report says: the run, its accounts, warnings, and the subsets there are."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import yaml

from curate import __version__, subsets
from curate.config import Rules
from curate.errors import AccountingError
from curate.numerics.selection import AllOf, Node, tests_of
from curate.outputs import Store
from curate.redact import redact
from curate.report.opened import Opened
from curate.report.payload import (
    Accounts,
    Dropped,
    Model,
    Overlap,
    Pool,
    PoolKind,
    ReferenceFacts,
    Rejected,
    Run,
    SubsetRow,
    Sweep,
)
from curate.run_log import read_log
from curate.run_state import noted
from curate.schema import DUPLICATE_UID, REJECTIONS
from curate.sweep.tables import OVERLAPS, SUBSETS, SWEEP, cut_text
from curate.workspace import REFERENCE_FOLDER

MOST_NAMED: Final = 100
"""Shards that are named before they are only counted, and reasons that dropped nothing."""

MOST_OVERLAPS: Final = 60
"""Subsets of which every two are compared: 1,770 pairs."""

MOST_SUBSETS: Final = 1000

POOR_R2: Final = 0.8
"""R² with the exact value below which a score is called no stand-in for it."""


def run_facts(opened: Opened) -> Run:
    """The run, as its directory tells."""
    store = opened.store
    described = _json(store, f"{REFERENCE_FOLDER}/reference.json")
    return Run(
        name=posixpath.basename(store.url.rstrip("/")) or store.url,
        directory=redact(str(store)),
        version=__version__,
        model=_model(opened, described),
        reference=_reference(described),
        pool=_pool(opened),
        config_yaml=redact(_config_yaml(opened.config)),
    )


def _config_yaml(config: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)) if config else ""


def _json(store: Store, relative: str) -> dict[str, Any]:
    try:
        found = store.read_json(relative)
    except FileNotFoundError:
        return {}
    return found if isinstance(found, dict) else {}


def _model(opened: Opened, described: Mapping[str, Any]) -> Model | None:
    told = _json(opened.store, "run.json").get("model") or described.get("model")
    if not isinstance(told, Mapping):
        return None
    configured = opened.config.get("model") or {}
    return Model(
        name=_text(told.get("name")),
        pretrained=_text(configured.get("pretrained")),
        fingerprint=_text(told.get("fingerprint")),
        width=told.get("dim", told.get("width")),
        link=_text(told.get("link")),
        precision=_text(told.get("precision", configured.get("precision"))),
    )


def _text(value: Any) -> str | None:
    return None if value is None else redact(str(value))


def _reference(described: Mapping[str, Any]) -> ReferenceFacts | None:
    if not described:
        return None
    return ReferenceFacts(
        samples=int(described.get("samples", 0)),
        prior=str(described.get("prior", "")),
        covariance=str(described.get("covariance", "")),
        temperature={
            "scale": float(described.get("scale", 1.0)),
            "bias": float(described.get("bias", 0.0)),
        },
        sha256=str(described.get("sha256", "")),
    )


def pool_kind(opened: Opened) -> PoolKind:
    """What the pool is made of."""
    parts = (opened.run.read_identity() or ("", {}))[1]
    kinds: dict[str, PoolKind] = {"embeddings": "embeddings", "metadata": "metadata"}
    return kinds.get(str(parts.get("pool")), "shards")


def _pool(opened: Opened) -> Pool:
    configured = opened.config.get("input") or {}
    kind = pool_kind(opened)
    places = configured.get(kind) or []
    named = [places] if isinstance(places, str) else list(places)
    unreadable = sorted(opened.unreadable.items())[:MOST_NAMED]
    return Pool(
        kind="embeddings"
        if kind == "embeddings"
        else "metadata"
        if kind == "metadata"
        else "shards",
        places=[redact(str(place)) for place in named],
        shards=len(opened.pool.shards) + len(opened.unreadable),
        unreadable={shard: redact(error) for shard, error in unreadable},
    )


# --- accounts and warnings ----------------------------------------------------------------------


def accounts(opened: Opened, reasons: Sequence[str], tally: Sequence[int]) -> Accounts:
    """What became of every sample.

    Args:
        opened: the run.
        reasons, tally: of the decided rows; the first reason is `kept`.

    Raises:
        AccountingError: the counts do not balance, or are not those of the subset.
    """
    read, repeated = opened.pool.counts, opened.duplicates.total
    _check_tally(opened, tally)
    rejected = [
        Rejected(reason=reason, meaning=REJECTIONS.get(reason, ""), count=count)
        for reason, count in read.rejected.items()
    ]
    dropped = [
        Dropped(reason=reason, rule=_position(opened.node, reason), count=count)
        for reason, count in zip(reasons[1:], tally[1:], strict=True)
        if count or len(reasons) <= MOST_NAMED
    ]
    if repeated:
        dropped.append(Dropped(reason=DUPLICATE_UID, rule=None, count=repeated))
    return Accounts(
        read=read.read,
        kept=tally[0] if opened.decided else None,
        dropped=dropped if opened.decided else [],
        rejected=rejected,
        balances=True,
    )


def _check_tally(opened: Opened, tally: Sequence[int]) -> None:
    scored, repeated = opened.pool.counts.scored, opened.duplicates.total
    if sum(tally) + repeated != scored:
        raise AccountingError(
            f"{opened.store}: the markers tell of {scored} scored samples, the scores of"
            f" {sum(tally)} and {repeated} repeated uids; run `curate verify`"
        )
    if opened.subset is not None and opened.current and opened.subset.counts.kept != tally[0]:
        raise AccountingError(
            f"{opened.store}: subset {opened.subset.summary['name']} keeps"
            f" {opened.subset.counts.kept} samples, its rules keep {tally[0]}; run `curate verify`"
        )


def _position(node: Node, reason: str) -> int | None:
    """Which child of the rules' top gives a reason."""
    if not isinstance(node, AllOf):
        return 0
    names = [{test.name for test in tests_of(child)} for child in node.tests]
    parts = reason.split(" and ")
    return next((at for at, own in enumerate(names) if own.issuperset(parts)), None)


def warnings(opened: Opened) -> list[str]:
    """What a reader must know before anything else."""
    found = list(opened.warnings)
    if opened.unreadable:
        number = len(opened.unreadable)
        found.append(f"{number} shards could not be read: nothing here tells of their samples")
    damaged = sum(1 for _ in opened.markers.damage())
    if damaged:
        found.append(f"{damaged} shards are damaged; what could be read of them is here")
    found += [f"alarm: {redact(one['text'])}" for one in noted(read_log(opened.store))]
    fidelity = _json(opened.store, f"{REFERENCE_FOLDER}/reference.json").get("fidelity") or {}
    for name, line in fidelity.items():
        r2 = line.get("r2")
        if isinstance(r2, float) and r2 < POOR_R2:
            found.append(
                f"{name} does not stand for the Information Gain at this temperature: R² with the"
                f" exact value is {r2:.2f}"
            )
    return found


# --- subsets ------------------------------------------------------------------------------------


def sweep_facts(opened: Opened, uids_base: str | None) -> tuple[Sweep | None, list[str]]:
    """All subsets of the run directory, and warnings about them.

    Args:
        opened: the run.
        uids_base: the run directory as seen from the page; None where there is no way there.

    Raises:
        OutputError: a table of the sweep is damaged.
    """
    store = opened.store
    names = [name for name in subsets.names(store) if not name.startswith(".")]
    swept = _swept(store)
    baselines = {row["subset"] for row in swept if row["baseline"]}
    order = {row["subset"]: at for at, row in enumerate(swept)}
    names.sort(key=lambda name: (order.get(name, -1), name))
    said = []
    if len(names) > MOST_SUBSETS:
        said.append(f"of {len(names)} subsets, the first {MOST_SUBSETS} are listed")
    rows, stale = [], 0
    for name in names[:MOST_SUBSETS]:
        subset = subsets.load(store, name)
        if subset is None:
            continue
        rules = subsets.read_rules(store, f"{subset.folder}/{subsets.RULES}")
        if subset.identity != subsets.subset_identity(opened.pool.identity, rules):
            stale += 1
        rows.append(_subset_row(subset, rules, name in baselines, uids_base))
    if stale:
        said.append(f"{stale} of the listed subsets are of other scores than those of today")
    if not rows:
        return None, said
    return Sweep(subsets=rows, overlaps=_overlaps(store, swept)), said


def _swept(store: Store) -> list[dict[str, Any]]:
    if not store.exists(SWEEP):
        return []
    rows: list[dict[str, Any]] = store.read_table(
        f"{SUBSETS}.parquet", ["subset", "baseline"]
    ).to_pylist()
    return rows


def _subset_row(
    subset: subsets.Subset, rules: Rules, baseline: bool, uids_base: str | None
) -> SubsetRow:
    counts, tests = subset.counts, subset.summary["tests"]
    there = uids_base is not None and subset.summary.get("uids", False)
    return SubsetRow(
        name=str(subset.summary["name"]),
        kept=counts.kept or 0,
        kept_share=(counts.kept or 0) / counts.read if counts.read else 0.0,
        baseline=baseline,
        thresholds={test["name"]: cut_text(test["cut"]) for test in tests},
        uids=f"{uids_base}/{subset.folder}/{subsets.UIDS}" if there else None,
        rules_yaml=subsets.rules_yaml(rules),
    )


def _overlaps(store: Store, swept: Sequence[Mapping[str, Any]]) -> list[Overlap]:
    """Every two of the first subsets of a sweep, baselines before all others."""
    if not swept:
        return []
    ordered = sorted(swept, key=lambda row: not row["baseline"])
    compared = {row["subset"] for row in ordered[:MOST_OVERLAPS]}
    table = store.read_table(f"{OVERLAPS}.parquet", ["a", "b", "kept_both", "jaccard"])
    both = np.isin(np.array(table["a"].to_pylist(), dtype=object), list(compared))
    both &= np.isin(np.array(table["b"].to_pylist(), dtype=object), list(compared))
    rows = table.filter(both).to_pylist()
    return [
        Overlap(a=row["a"], b=row["b"], kept_both=row["kept_both"], jaccard=row["jaccard"])
        for row in rows
    ]
