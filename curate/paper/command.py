"""`curate paper`: embed, analyse, report."""

from __future__ import annotations

import importlib.util
import platform
import time
from importlib import metadata
from typing import Any, Final

from curate import __version__
from curate.commands import run_fit
from curate.config import Config, to_yaml
from curate.errors import ConfigError
from curate.outputs import Store
from curate.pipeline.cluster import cluster
from curate.workspace import Outcome

VERSIONED: Final = ("torch", "open_clip_torch", "transformers", "numpy", "matplotlib", "ray")


def run_paper(config: Config) -> Outcome:
    """Run the paper's analyses into RUN_DIR/paper; fits that are there are not made again.

    Raises:
        CurateError: the configuration, a model or a pool cannot be used, or a part failed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("curate paper draws with matplotlib: pip install 'curate[paper]'")
    from curate.paper import analyses, report
    from curate.paper.inputs import Inputs, check

    check(config)
    outcome = Outcome(config.output.run_dir)
    begin = time.monotonic()

    done: set[str] = set()

    def fit(one: Config) -> None:
        # Two names of one model share a folder; starting its embedders again would find it fitted.
        if one.output.run_dir not in done:
            outcome.unreadable |= run_fit(one).unreadable
            done.add(one.output.run_dir)

    with cluster(config.compute.ray_address) as ray:
        ray.connect()  # once: each fit joins it
        embedded = analyses.embed(Inputs(config, fit))
    outcome.seconds["embed"] = time.monotonic() - begin
    store = Store(config.output.run_dir)
    sections = []
    for section in analyses.sections(embedded, config.paper):
        report.write_section(store, section)
        sections.append(section)
    samples = {**embedded.samples, **{s.name: s for s in embedded.trained.values()}}
    report.write_report(
        store, report.about_samples(list(samples.values()), **_about(config)), sections
    )
    store.write_bytes(f"{report.FOLDER}/config.yaml", to_yaml(config).encode())
    outcome.seconds["analyse"] = time.monotonic() - begin - outcome.seconds["embed"]
    return outcome


def _about(config: Config) -> dict[str, Any]:
    reference = config.reference
    spec = config.input.shards if reference.shards is None else reference.shards
    return {
        "pool": spec if isinstance(spec, str) else ", ".join(spec or ()),
        "posterior": "s = 1, b = 0, prior the mean of posteriors, unless a table says otherwise",
        "seeds": {"reference.seed": reference.seed, "paper.seed": config.paper.seed},
        "bootstrap resamples": config.paper.bootstrap,
        "versions": {"curate": __version__, "python": platform.python_version()}
        | {name: metadata.version(name) for name in VERSIONED},
    }
