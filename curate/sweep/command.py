"""`curate sweep`: the rule sets of a configuration over the scores of its run directory."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from curate import rules
from curate.config import Config
from curate.duplicates import Duplicates
from curate.errors import ConfigError
from curate.outputs import Store
from curate.pipeline.cluster import Cluster, cluster
from curate.progress import say
from curate.reference_files import load_sample_table
from curate.score_scan import Runner, ScoreScan
from curate.sweep.run import MakeRunner, sweep
from curate.sweep.tables import RuleSet
from curate.workspace import REFERENCE_FOLDER, Outcome, Workspace, open_workspace


def run_sweep(config: Config) -> Outcome:
    """Make a subset of every rule set of the sweep, and tables that compare them.

    Raises:
        ConfigError: the configuration has no sweep.
    """
    if config.sweep is None:
        raise ConfigError(
            "sweep: there is none; list rule sets by name under `sweep`, or values under sweep.grid"
        )
    work = open_workspace(config)
    work.store.sweep()
    outcome = Outcome(str(work.store), unreadable=work.run.failures())
    begin = time.monotonic()
    baselines = config.sweep.baselines
    sets = [
        RuleSet(name, chosen, baseline=name in baselines)
        for name, chosen in config.sweep.rule_sets(config.rules).items()
    ]
    sample = None
    if any(rules.needs_reference(one.rules) for one in sets):
        sample = load_sample_table(work.store, REFERENCE_FOLDER)
    with cluster(config.compute.ray_address) as ray:
        outcome.sweep = sweep(
            work.run,
            sets,
            sample,
            write_uids=config.sweep.write_uids,
            make_runner=_runner(work, ray),
            observe=_tell,
        )
    outcome.seconds["sweep"] = time.monotonic() - begin
    return outcome


def _tell(phase: str) -> None:
    # Minutes may pass on a pool of many millions.
    say(f"sweep  {phase}")


def _runner(work: Workspace, ray: Cluster) -> MakeRunner:
    """The cluster, where one is named or this process is part of one; else this process."""
    address = work.config.compute.ray_address
    if address == "local" or (address == "auto" and "RAY_ADDRESS" not in os.environ):
        return ScoreScan

    def on_cluster(
        store: Store, shards: Sequence[str], columns: Sequence[str], duplicates: Duplicates, /
    ) -> Runner:
        from curate.pipeline.scan_stage import ClusterScan  # imports Ray, which takes a second

        return ClusterScan(ray, store, shards, columns, duplicates)

    return on_cluster
