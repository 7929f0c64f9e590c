"""A scored run, opened for its report: scores, the rules of a subset, and what they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import yaml

from curate import rules as rule_tests
from curate import subsets
from curate.config import Rules
from curate.duplicates import Duplicates, cached_identity, find_duplicates
from curate.errors import ConfigError, OutputError
from curate.manifest import RunDir
from curate.markers import Markers, read_markers
from curate.numerics.selection import Node
from curate.outputs import Store
from curate.pool_quantiles import find_cuts
from curate.reference_files import load_sample_table
from curate.schema import ALL_SCORES, METADATA_COLUMNS
from curate.score_scan import ScoreScan, check_columns
from curate.score_tables import read_columns
from curate.scored_pool import ScoredPool, scored_pool
from curate.subsets import Subset
from curate.workspace import CONFIG, REFERENCE_FOLDER, SAMPLE_SCORES

NO_RULES: Final = Rules(all=())

STALE: Final = (
    "subset {} was selected from other scores than those of today: everything here is what its"
    " rules decide now; select it again"
)


@dataclass(frozen=True)
class Opened:
    """A scored run.

    Attributes:
        run: its directory.
        pool: what is scored.
        markers: of its shards.
        duplicates: rows that repeat a uid.
        config: `config.yaml` as plain values; empty where there is none.
        columns: names of the numeric columns of the scores, scores first.
        integers: those of them that hold whole numbers.
        scan: runs folds over these columns.
        subset: what the report is about; None where nothing is selected.
        current: whether the subset is of these scores.
        rules: of the subset, or none.
        node: the rules with their cuts.
        sample: scores of the Reference's sample; None where there are none.
        unreadable: shard -> error, of those that have no scores.
        warnings: what was found odd while opening.
    """

    run: RunDir
    pool: ScoredPool
    markers: Markers
    duplicates: Duplicates
    config: dict[str, Any]
    columns: tuple[str, ...]
    integers: frozenset[str]
    scan: ScoreScan
    subset: Subset | None
    current: bool
    rules: Rules
    node: Node
    sample: pa.Table | None
    unreadable: dict[str, str]
    warnings: tuple[str, ...]

    @property
    def store(self) -> Store:
        """The run directory."""
        return self.run.store

    @property
    def decided(self) -> bool:
        """Whether there are decisions to tell."""
        return self.subset is not None


def open_run(run: RunDir, name: str | None = None) -> Opened:
    """Open a run; nothing is written but the cache of its markers.

    Args:
        run: a scored run directory.
        name: of a subset; None takes the configured one, or the only one.

    Raises:
        ConfigError: there is no subset of that name.
        RunDirError: there is no run, it is not scored to its end, or lacks columns of the rules.
        OutputError: something is missing or damaged.
    """
    store = run.store
    pool = scored_pool(run)
    config = _read_config(store)
    subset, warnings = _choose(store, name, config)
    rules, current = NO_RULES, False
    if subset is not None:
        rules = subsets.read_rules(store, f"{subset.folder}/{subsets.RULES}")
        current = subset.identity == subsets.subset_identity(pool.identity, rules)
        warnings += [] if current else [STALE.format(subset.summary["name"])]
    check_columns(store, pool.shards, rule_tests.columns_of(rules))
    columns, integers = _numeric_columns(store, pool.shards)
    # What it costs to look for them is not saved for others: a report leaves the run as it is.
    known = pool.identity if cached_identity(store) == pool.identity else None
    duplicates = find_duplicates(store, pool.shards, known)
    scan = ScoreScan(store, pool.shards, columns, duplicates)
    sample = _reference_sample(store, rules)
    cuts = find_cuts(rule_tests.pool_quantiles(rules), scan)
    return Opened(
        run=run,
        pool=pool,
        markers=read_markers(run, pool.shards),
        duplicates=duplicates,
        config=config,
        columns=columns,
        integers=integers,
        scan=scan,
        subset=subset,
        current=current,
        rules=rules,
        node=rule_tests.build(rules, cuts, sample),
        sample=sample,
        unreadable=_unreadable(run, pool),
        warnings=tuple(warnings),
    )


def _reference_sample(store: Store, rules: Rules) -> pa.Table | None:
    if store.exists(SAMPLE_SCORES) or rule_tests.needs_reference(rules):
        return load_sample_table(store, REFERENCE_FOLDER)
    return None


def _unreadable(run: RunDir, pool: ScoredPool) -> dict[str, str]:
    scored = frozenset(pool.shards)
    return {shard: error for shard, error in run.failures().items() if shard not in scored}


def _read_config(store: Store) -> dict[str, Any]:
    try:
        found = yaml.safe_load(store.read_bytes(CONFIG))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError, yaml.YAMLError) as exc:
        raise OutputError(
            f"{store.path(CONFIG)} is no YAML ({exc}); delete it and run `curate score` again"
        ) from exc
    return found if isinstance(found, dict) else {}


def _choose(
    store: Store, name: str | None, config: dict[str, Any]
) -> tuple[Subset | None, list[str]]:
    """The subset to report on, and what to say if none was chosen."""
    there = [one for one in subsets.names(store) if not one.startswith(".")]
    if name is not None:
        subset = subsets.load(store, name)
        if subset is None:
            raise ConfigError(
                f"--subset: {store} has no subset {name!r}; there is"
                f" {', '.join(there[:20]) or 'none: run `curate select`'}"
            )
        return subset, []
    configured = (config.get("output") or {}).get("subset", "default")
    for candidate in (configured, *(there if len(there) == 1 else ())):
        if (subset := subsets.load(store, candidate)) is not None:
            return subset, []
    if not there:
        return None, ["nothing is selected yet: this is what is scored; `curate select` decides"]
    listed = ", ".join(there[:5]) + (", ..." if len(there) > 5 else "")
    return None, [f"there are {len(there)} subsets; choose one of them with --subset: {listed}"]


def _numeric_columns(store: Store, shards: Sequence[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Names of the columns that rules may use, scores first, and which hold whole numbers."""
    if not shards:
        return (), frozenset()
    schema = read_columns(store, shards[0], None).schema
    own = {"index", "tar_offset", "tar_size"}
    numeric = [
        field.name
        for field in schema
        if field.name not in own
        and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]
    known = [name for name in (*ALL_SCORES, *METADATA_COLUMNS) if name in numeric]
    others = [name for name in numeric if name not in known]
    scores = [name for name in known if name in ALL_SCORES]
    whole = {name for name in numeric if pa.types.is_integer(schema.field(name).type)}
    ordered = (*scores, *others, *(name for name in known if name not in scores))
    return ordered, frozenset(whole)
