"""The command line: each command reads a configuration, calls one function, prints the outcome."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from curate import __version__, looking, reporting, starting
from curate.config import Config, load_config
from curate.errors import CurateError
from curate.own_process import keep_imports, leave_out_pandas
from curate.stopping import INTERRUPTED, TERMINATED, Terminated
from curate.terminal import print_traceback

app = typer.Typer(
    name="curate",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Filter image-text pools by how much each image and each caption says.\n\n"
        "Exit codes: 0 done; 1 failed; 2 wrong configuration or request; 3 done, but some shards"
        " could not be read; 4 the accounts or checksums do not match; 130 interrupted;"
        " 143 terminated."
    ),
)
out = reporting.console()
warn = reporting.console(stderr=True)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The run's configuration.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. --set reference.seed=1."),
]
SamplesPerShard = Annotated[
    int | None,
    typer.Option(min=1, help="Repack to this size; short for --set output.samples_per_shard=N."),
]


def _stage(path: Path, overrides: list[str] | None, name: str) -> None:
    config = load_config(path, overrides or [])
    finish(config, name)


def finish(config: Config, command: str) -> None:
    """Run a command and print its outcome; exits with 3 if shards could not be read."""
    from curate.carrying_out import carry_out  # Ray and torch take seconds to import

    keep_imports()
    try:
        outcome, code = carry_out(config, command)
    except Terminated:
        warn.print("terminated; what is finished is kept: run again to go on")
        raise typer.Exit(TERMINATED) from None
    except KeyboardInterrupt:
        warn.print("interrupted; what is finished is kept: run again to go on")
        raise typer.Exit(INTERRUPTED) from None
    reporting.print_outcome(out, outcome)
    if code:
        raise typer.Exit(code)


@app.command()
def download(config: ConfigPath, override: Overrides = None) -> None:
    """Download the URLs under `download` into shards, by img2dataset; finished ones are skipped.

    `curate run` does this first by itself. Needs `pip install 'curate[download]'`.

    Example: `curate download configs/download.yaml --set download.thread_count=64`
    """
    _stage(config, override, "download")


@app.command()
def fit(config: ConfigPath, override: Overrides = None) -> None:
    """Fit the Reference (means, covariances, quantiles) on a sample of pairs.

    Example: `curate fit run.yaml --set reference.samples=20000`
    """
    _stage(config, override, "fit")


@app.command()
def score(config: ConfigPath, override: Overrides = None) -> None:
    """Embed and score every pair into scores/*.parquet; fits the Reference first if need be.

    Scored shards are skipped, so that a run that was stopped goes on where it was.

    Example: `curate score run.yaml --set model.precision=bf16`
    """
    _stage(config, override, "score")


@app.command()
def select(config: ConfigPath, override: Overrides = None) -> None:
    """Apply the rules to the scores: a subset with a reason for every dropped sample.

    Reads Parquet only; change a threshold and select again, it takes seconds.

    Example: `curate select run.yaml --set output.subset=strict`
    """
    _stage(config, override, "select")


@app.command(name="filter")
def filter_command(
    config: ConfigPath,
    override: Overrides = None,
    subset: Annotated[
        str | None, typer.Option(help="Which subset; short for --set output.subset=NAME.")
    ] = None,
    samples_per_shard: SamplesPerShard = None,
) -> None:
    """Write the subset's samples as new shards, byte for byte, with score columns beside them.

    A pool of metadata is cut by uid out of the shards that `input.shards` names.

    Example: `curate filter run.yaml --subset strict --samples-per-shard 10000`
    """
    chosen = [] if subset is None else [f"output.subset={json.dumps(subset)}"]
    _stage(config, [*(override or []), *chosen, *_repacked(samples_per_shard)], "filter")


@app.command()
def run(
    config: ConfigPath,
    override: Overrides = None,
    samples_per_shard: SamplesPerShard = None,
) -> None:
    """Download, fit, score, select and filter in one go, skipping what is already done.

    Example: `curate run configs/first.yaml --set output.run_dir=runs/second`
    """
    _stage(config, [*(override or []), *_repacked(samples_per_shard)], "all")


def _repacked(samples_per_shard: int | None) -> list[str]:
    return [] if samples_per_shard is None else [f"output.samples_per_shard={samples_per_shard}"]


@app.command()
def sweep(config: ConfigPath, override: Overrides = None) -> None:
    """Make a subset of every rule set under `sweep`, and compare them with each other.

    One scan of the scores decides all of them. `curate filter CONFIG --subset NAME` then writes the
    shards of a chosen one.

    Example: `curate sweep configs/datacomp/sweep.yaml --set sweep.max_subsets=500`
    """
    _stage(config, override, "sweep")


@app.command()
def paper(config: ConfigPath, override: Overrides = None) -> None:
    """Reproduce the paper's analyses on a model and its pool: tables and figures in RUN_DIR/paper.

    Embeds a sample of `reference.samples` pairs with the model and with those under `paper`.

    Example: `curate paper configs/paper/own.yaml --set reference.samples=2000`
    """
    _stage(config, override, "paper")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the pool and the run are put.")] = Path(
        "runs/demo"
    ),
    pairs: Annotated[int, typer.Option(min=100, help="Pairs to draw.")] = 1200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawn pool.")] = 0,
) -> None:
    """Draw a small pool with placeholders and scrubbed captions, filter it, report what was caught.

    Needs no data and no network: the pool is rendered and the model ships with curate.

    Example: `curate demo --pairs 2000`
    """
    from curate.demo import prepare, report

    prepared = prepare(folder, pairs, seed, out)
    finish(prepared.config, "all")
    report(prepared, out)


for command in (
    *(looking.status, looking.report, looking.explain, looking.verify),
    *(starting.init, starting.schema),
):
    app.command()(command)


def _version(value: bool) -> None:
    if value:
        out.print(f"curate {__version__}\n{reporting.environment()}", soft_wrap=True)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold options that stand before a command."""


def main() -> None:
    """Entry point: errors that curate raises on purpose become one message and an exit code."""
    leave_out_pandas()
    try:
        app()
    except CurateError as exc:
        text = "\n".join(reporting.shown(line) for line in str(exc).splitlines())
        warn.print(f"[bold red]error:[/] {text}", soft_wrap=True)
        sys.exit(exc.exit_code)
    except Exception:
        sys.excepthook = print_traceback  # typer has put its own there
        raise


if __name__ == "__main__":
    main()
