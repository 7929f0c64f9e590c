"""Commands that look at a run: how far it is, what is in it, why, and whether it is sound."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from curate import reporting
from curate.checking import check_run, check_subset, open_store
from curate.errors import ConfigError, VerificationError
from curate.manifest import RunDir

out = reporting.console()

RunDirArgument = Annotated[str, typer.Argument(metavar="RUN_DIR", help="A run directory or URL.")]


def status(
    run_dir: RunDirArgument,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again until the run ends.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="With --watch: between two looks.")
    ] = 10.0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Without samples by reason, damage and sizes.")
    ] = False,
) -> None:
    """Show how far a run is, live or afterwards: command, speed, counts, alarms, failures, subsets.

    Works from any machine that can read the run directory, and writes nothing there.

    Example: `curate status runs/first --watch`
    """
    from curate import status_page
    from curate.status import look

    run = RunDir(open_store(run_dir))
    if watch:
        with suppress(KeyboardInterrupt):
            status_page.watch(out, run, every, as_json=as_json, quick=quick)
    elif as_json:
        status_page.print_json(out, look(run, quick=quick))
    else:
        status_page.print_status(out, look(run, quick=quick))


def explain(
    run_dir: RunDirArgument,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Key, SHARD/KEY or uid.")],
    subset: Annotated[
        str | None, typer.Option(help="Whose verdict; the configured subset unless named.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=0, help="Pairs of the Reference that are named; 0 for none.")
    ] = 5,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Embed nothing: take saved embeddings, or none.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Without the scan that places values in the pool.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per sample.")] = False,
) -> None:
    """Say why samples were kept or dropped, and what the model makes of them.

    Every score with its place in the pool, every rule with its threshold, and the texts of the
    Reference that the image makes more probable, or the reverse. Writes nothing.

    Example: `curate explain runs/first 000000017 00042/000000018`
    """
    from curate import explain_page
    from curate.explaining import Wanted
    from curate.explaining import explain as explained

    wanted = Wanted(subset, neighbours, model=not no_model, pool=not quick)
    found = explained(RunDir(open_store(run_dir)), keys, wanted)
    explain_page.show(out, found, as_json=as_json)


def report(
    run_dir: RunDirArgument,
    subset: Annotated[str | None, typer.Option(help="Default: the configured one.")] = None,
    to: Annotated[str | None, typer.Option("--out", help="Default: RUN_DIR/report.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=200, help="Samples of a gallery.")] = 24,
    thumbnails: Annotated[bool, typer.Option(help="Show pictures.")] = True,
) -> None:
    """Make a page of a scored run: distributions, a threshold explorer, galleries, shards.

    Reads the scores, and of the shards only the samples that are shown. The page opens from the
    disk, without a server or a network.

    Example: `curate report runs/first --subset strict`
    """
    from curate.report.command import make_report

    make_report(out, run_dir, subset, to, samples=samples, thumbnails=thumbnails)


def verify(
    run_dir: Annotated[
        str, typer.Argument(metavar="RUN_DIR|UIDS.npy", help="A run directory, or a subset file.")
    ],
    deep: Annotated[
        bool, typer.Option(help="Also compare filtered shards with the input shards.")
    ] = False,
    pool: Annotated[
        str | None,
        typer.Option(help="What a subset file was chosen from: a run directory or metadata."),
    ] = None,
) -> None:
    """Recompute checksums, counts and decisions of a run; exits with 4 if anything differs.

    Given a subset file in DataComp's format, check its dtype, its order, and that the pool knows
    its uids: `curate verify uids.npy --pool metadata/`

    Example: `curate verify runs/first --deep`
    """
    is_file = run_dir.endswith(".npy")
    if is_file != (pool is not None):
        raise ConfigError(
            f"{run_dir}: name its pool with --pool, a run directory or a folder of metadata"
            if is_file
            else f"--pool goes with a subset file, not with {run_dir}; remove it"
        )
    problems = check_subset(out, run_dir, pool) if pool else check_run(out, run_dir, deep)
    if problems:
        raise VerificationError(
            f"{len(problems)} problems in {run_dir}; each line above says what to do"
        )
