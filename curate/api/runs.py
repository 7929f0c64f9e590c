"""Runs: the commands from Python, and what they leave behind as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import yaml

from curate import subsets
from curate.config import Config, apply_overrides, load_config, parse_config
from curate.errors import ConfigError, RunDirError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.progress import unseen
from curate.score_tables import read_columns
from curate.workspace import CONFIG, REFERENCE_FOLDER, Outcome

if TYPE_CHECKING:  # torch takes seconds to import
    from curate.api.reference import Reference
    from curate.explaining import Explanation

Configuration = Config | Mapping[str, Any] | str | PathLike[str]


class Run:
    """A run: a configuration, and the run directory that it names.

    Its commands do what those of the command line do, with the same log, resume and errors; shards
    that cannot be read are in the outcome. They print nothing unless `show_progress` is set.

    Args:
        config: a `Config`, a mapping like the YAML, or the path of a YAML file.
        overrides: `dotted.key=value`, as after `--set`.
        show_progress: whether commands show their progress line on stderr.

    Raises:
        ConfigError: the configuration is refused.
    """

    def __init__(
        self,
        config: Configuration,
        overrides: Sequence[str] = (),
        *,
        show_progress: bool = False,
    ) -> None:
        self._config = _config_of(config, overrides)
        self._run = RunDir(Store(self._config.output.run_dir))
        self.show_progress = show_progress

    def __repr__(self) -> str:
        return f"<curate.Run {str(self._run.store)!r}>"

    @property
    def config(self) -> Config:
        """The configuration, resolved."""
        return self._config

    @property
    def run_dir(self) -> str:
        """Where the outputs are."""
        return str(self._run.store)

    # --- the commands -------------------------------------------------------------------------

    def fit(self) -> Outcome:
        """Fit the Reference, unless it is there: `curate fit`."""
        return self._carry_out("fit")

    def score(self) -> Outcome:
        """Score what is not scored yet: `curate score`."""
        return self._carry_out("score")

    def select(self, subset: str | None = None, rules: Mapping[str, Any] | None = None) -> Outcome:
        """Apply rules to the scores: `curate select`.

        Args:
            subset: its name; that of the configuration by default.
            rules: like those of the YAML; those of the configuration by default.
        """
        changed: dict[str, Any] = {} if rules is None else {"rules": dict(rules)}
        return self._carry_out("select", _with_subset(changed, subset))

    def filter(self, subset: str | None = None, samples_per_shard: int | None = None) -> Outcome:
        """Write the subset as new shards: `curate filter`."""
        sized = {} if samples_per_shard is None else {"samples_per_shard": samples_per_shard}
        return self._carry_out("filter", _with_subset({"output": sized}, subset))

    def sweep(self) -> Outcome:
        """Make a subset of every rule set of the sweep: `curate sweep`."""
        return self._carry_out("sweep")

    def all(self) -> Outcome:
        """Fit, score, select and filter, skipping what is done: `curate run`."""
        return self._carry_out("all")

    def _carry_out(self, command: str, changed: Mapping[str, Any] | None = None) -> Outcome:
        from curate.carrying_out import carry_out  # imports what the command needs

        config = self._config
        if changed:
            tree = config.model_dump(mode="json", exclude_none=True)
            for name, section in changed.items():
                tree[name] = section if name == "rules" else {**tree[name], **section}
            config = parse_config(tree)
        with nullcontext() if self.show_progress else unseen():
            return carry_out(config, command)[0]

    # --- what they leave behind ---------------------------------------------------------------

    def shards(self) -> list[str]:
        """Ids of the scored shards, in the order of the run. Raises RunDirError without a run."""
        manifest = self._run.shard_ids()
        done = self._run.committed(manifest)
        return [shard for shard in manifest if shard in done]

    def iter_scores(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The scores, a table per shard: all columns, or some.

        Raises:
            OutputError: scores are missing or damaged, or lack a column.
        """
        names = None if columns is None else list(columns)
        for shard in self.shards():
            yield read_columns(self._run.store, shard, names)

    def scores(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The scores of all shards as one table, in memory: choose columns where it is large."""
        return _joined(list(self.iter_scores(columns)), self.run_dir)

    def subsets(self) -> dict[str, dict[str, Any]]:
        """Name -> summary of every selected subset: counts, tests with their cuts."""
        store = self._run.store
        found = {name: subsets.load(store, name) for name in subsets.names(store)}
        return {name: subset.summary for name, subset in found.items() if subset is not None}

    def iter_decisions(self, subset: str | None = None) -> Iterator[pa.Table]:
        """What became of every sample, a table per shard, row-aligned with the scores.

        Raises:
            RunDirError: there is no such subset, or it is of a sweep and has no decisions yet.
        """
        name = subset or self._config.output.subset
        found = subsets.load(self._run.store, name)
        if found is None or not found.summary["decisions"]:
            what = "has no decisions yet; filter or select it" if found else "is not there"
            raise RunDirError(f"{self.run_dir}: subset {name!r} {what}")
        for shard, _ in subsets.kept_per_shard(self._run.store, found):
            table = subsets.read_decisions(self._run.store, found, shard)
            named = pa.array([shard] * table.num_rows, pa.string())
            yield table.add_column(0, "shard", named)

    def decisions(self, subset: str | None = None) -> pa.Table:
        """What became of every sample: shard, index, key, uid, kept, reason; in memory."""
        return _joined(list(self.iter_decisions(subset)), self.run_dir)

    def reference(self) -> Reference:
        """The Reference of the run. Raises ReferenceFileError if there is none."""
        from curate.api.reference import Reference

        folder = self._run.store.path(REFERENCE_FOLDER)
        store = self._run.store
        return Reference.load(folder if store.is_local else store.fs.unstrip_protocol(folder))

    def explain(
        self,
        *names: str,
        subset: str | None = None,
        neighbours: int = 5,
        model: bool = True,
        pool: bool = True,
    ) -> list[Explanation]:
        """Why samples were kept or dropped, and what the model makes of them: `curate explain`.

        Args:
            *names: keys, SHARD/KEY or uids.
            subset: whose verdict; the configured one by default.
            neighbours: pairs of the Reference's sample that are named for each embedding.
            model: whether to embed what has no saved embedding.
            pool: whether to place values in the pool, which takes a scan.

        Raises:
            RunDirError: a name is unknown or ambiguous, or there is no such subset.
        """
        from curate.explaining import Wanted, explain

        return explain(self._run, names, Wanted(subset, neighbours, model=model, pool=pool))


def open_run(run_dir: str | PathLike[str]) -> Run:
    """Open the run in a run directory or URL, with the configuration that it was scored with.

    Raises:
        RunDirError: there is no run.
        ConfigError: its configuration is refused.
    """
    store = Store(fspath(run_dir))
    try:
        tree = yaml.safe_load(store.read_bytes(CONFIG))
    except FileNotFoundError as exc:
        raise RunDirError(
            f"{store} holds no run ({CONFIG} is missing); give the directory that output.run_dir"
            " named"
        ) from exc
    except yaml.YAMLError as exc:
        raise ConfigError(f"{store.path(CONFIG)}: not valid YAML: {exc}") from exc
    config = parse_config(tree, store.path(CONFIG))
    # The directory may have been moved since, or be named by a relative path.
    moved = config.output.model_copy(update={"run_dir": store.url})
    return Run(config.model_copy(update={"output": moved}))


def run(
    config: Configuration, overrides: Sequence[str] = (), *, show_progress: bool = False
) -> Outcome:
    """Fit, score, select and filter, skipping what is done: `curate run` on a configuration.

    Args:
        config: a `Config`, a mapping like the YAML, or the path of a YAML file.
        overrides: `dotted.key=value`, as after `--set`.
        show_progress: whether to show the progress line on stderr.

    Raises:
        CurateError: as the command; shards that cannot be read are in the outcome instead.
    """
    return Run(config, overrides, show_progress=show_progress).all()


def _config_of(config: Configuration, overrides: Sequence[str]) -> Config:
    if isinstance(config, str | PathLike):
        return load_config(fspath(config), overrides)
    if isinstance(config, Config):
        if not overrides:
            return config
        config = config.model_dump(mode="json", exclude_none=True)
    return parse_config(apply_overrides(config, overrides))


def _with_subset(changed: dict[str, Any], subset: str | None) -> dict[str, Any]:
    if subset is None:
        return changed
    return changed | {"output": {**changed.get("output", {}), "subset": subset}}


def _joined(tables: Sequence[pa.Table], place: str) -> pa.Table:
    if not tables:
        raise RunDirError(f"{place}: nothing is scored yet; run `curate score` first")
    return pa.concat_tables(tables)
