"""What the commands print: small tables of counts, reasons and places."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curate.downloading.accounts import Account
from curate.manifest import Counts
from curate.sweep.report import sweep_notes, sweep_table
from curate.terminal import printable
from curate.thresholds import Threshold, explain, warning

if TYPE_CHECKING:  # importing these modules takes seconds, printing does not need them
    from curate.subset_check import SubsetFindings
    from curate.verification import Findings
    from curate.workspace import Outcome

MAX_LISTED = 20
"""Lines of one kind that are listed before they are only counted."""

POOR_R2 = 0.8
"""R² with the exact value below which a score is called no stand-in for it."""


def console(**options: Any) -> Console:
    """A console that shows text as it is: no `:cat:` becomes a picture, no number a colour."""
    return Console(highlight=False, emoji=False, **options)


def environment() -> str:
    """What a report of a bug should say of Python, machine and packages, on one line."""
    told = [f"Python {platform.python_version()}", f"{platform.system()} {platform.machine()}"]
    for package in ("torch", "open_clip_torch", "ray", "pyarrow"):
        with suppress(PackageNotFoundError):
            told.append(f"{package} {version(package)}")
    return ", ".join(told)


def counts_table(counts: Counts, title: str) -> Table:
    """Counts by reason, in numbers and per cent of what was read."""
    kept = ("scored", counts.scored) if counts.kept is None else ("kept", counts.kept)
    rows = [("read", counts.read, "bold"), (*kept, "green")]
    rows += [(f"dropped: {reason}", number, "") for reason, number in counts.dropped.items()]
    rows += [(f"rejected: {reason}", n, "yellow") for reason, n in counts.rejected.items()]
    return _shares("samples", title, rows)


def account_table(account: Account, title: str) -> Table:
    """What became of URLs, in numbers and per cent of what the tables list."""
    rows = [("listed", account.listed, "bold"), ("downloaded", account.downloaded, "green")]
    rows += [(f"failed: {reason}", number, "yellow") for reason, number in account.failed.items()]
    return _shares("URLs", title, rows)


def _shares(what: str, title: str, rows: Sequence[tuple[str, int, str]]) -> Table:
    """Names, numbers and styles as a table; shares are of the first row."""
    table = Table(title=shown(title), title_justify="left", show_edge=False)
    table.add_column(what)
    table.add_column("number", justify="right")
    table.add_column("share", justify="right")
    whole = rows[0][1]
    for name, number, style in rows:
        share = f"{100 * number / whole:.2f} %" if whole else "-"
        table.add_row(shown(name), f"{number:,}", share, style=style)
    return table


def print_outcome(out: Console, outcome: Outcome) -> None:
    """Print what a command did and where its outputs are."""
    if outcome.downloaded is not None:
        shards = f"{outcome.downloaded.shards:,} downloaded shards"
        out.print(account_table(outcome.downloaded.account, shards))
    if outcome.subset is not None:
        out.print(counts_table(outcome.subset.counts, f"subset {outcome.subset.summary['name']}"))
    if outcome.sweep is not None:
        out.print(sweep_table(outcome.sweep))
    if outcome.images is not None:
        out.print(counts_table(outcome.images.counts, f"images of {outcome.images.name}"))
        out.print(f"{outcome.images.missing_images:,} uids of the subset have no usable image")
    if outcome.seconds:
        out.print("seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in outcome.seconds.items()))
    _print_thresholds(out, outcome.thresholds)
    _print_fidelity(out, outcome.fidelity)
    print_failures(out, outcome.unreadable)
    out.print(f"outputs: {shown(outcome.run_dir)}", soft_wrap=True)
    if outcome.downloaded is not None:
        out.print(f"downloaded shards: {shown(outcome.downloaded.folder)}", soft_wrap=True)
    if outcome.subset is not None:
        reasons = ", decisions/" if outcome.subset.summary["decisions"] else ""
        what = "what is kept, and why not" if reasons else "what is kept"
        out.print(f"  {outcome.subset.folder}/uids.npy{reasons}   {what}")
    if outcome.sweep is not None:
        for note in sweep_notes(outcome.sweep):
            out.print(f"  {note}", soft_wrap=True)
    if outcome.output_shards is not None and outcome.subset is not None:
        name = outcome.subset.summary["name"]
        out.print(f"  shards/{name}/   {outcome.output_shards} filtered shards")
    if outcome.subset is not None:
        out.print(f"to look at it: curate report {shown(outcome.run_dir)}", soft_wrap=True)


def _print_thresholds(out: Console, thresholds: Sequence[Threshold]) -> None:
    if thresholds:
        out.print("thresholds on the Reference's sample, with 95 % intervals:")
    for threshold in thresholds:
        out.print(f"  {shown(threshold.name)}")
        for line in explain(threshold):
            out.print(f"    {shown(line)}", soft_wrap=True)
    for threshold in thresholds:
        if (text := warning(threshold)) is not None:
            out.print(f"[yellow]warning:[/] {shown(text)}", soft_wrap=True)


def _print_fidelity(out: Console, fidelity: Mapping[str, Mapping[str, float]]) -> None:
    if fidelity:
        out.print("agreement with the exact Information Gain, on pairs held out of the sample:")
    for name, line in fidelity.items():
        told = ", ".join(f"{key} {line[key]:.3f}" for key in ("r2", "slope") if key in line)
        out.print(f"  {name}: {told}".replace("r2", "R²"))
    poor = [name for name, line in fidelity.items() if line.get("r2", 0.0) < POOR_R2]
    if poor:
        out.print(
            f"[yellow]warning:[/] {', '.join(poor)}: at reference.temperature the score does not"
            " stand for the Information Gain. It may still rank noise low; to have the value"
            " itself, set reference.temperature: 1, or list image_information_gain_landmarks and"
            " text_information_gain_landmarks under scores, with more reference.landmarks",
            soft_wrap=True,
        )


def print_failures(out: Console, failures: Mapping[str, str]) -> None:
    """Print which shards could not be read, and why; nothing if there are none."""
    if not failures:
        return
    out.print(f"[red]{len(failures)} shards could not be read:[/]")
    for shard, error in sorted(failures.items())[:MAX_LISTED]:
        out.print(f"  {shown(shard)}: {shown(error)}", soft_wrap=True)
    if len(failures) > MAX_LISTED:
        out.print(f"  and {len(failures) - MAX_LISTED} more, see state/failed/")


def shown(text: str) -> str:
    """`printable` text as rich takes it: what looks like markup is text."""
    return escape(printable(text))


def print_findings(out: Console, findings: Findings) -> None:
    """Print what a verification found."""
    _print_problems(out, findings.problems)
    out.print(
        f"checked {findings.shards} shards, {findings.samples:,} samples, {findings.files} files:"
        f" {len(findings.problems) or 'no'} problems"
    )
    if findings.unhashed:
        out.print(
            f"of {findings.unhashed} tars without a checksum only the size was compared; --deep"
            " compares them with the input, byte for byte"
        )


def print_subset_findings(out: Console, findings: SubsetFindings) -> None:
    """Print what the check of a subset file found."""
    _print_problems(out, findings.problems)
    share = f" ({100 * findings.kept / findings.pool:.2f} %)" if findings.pool else ""
    out.print(
        f"checked {findings.uids:,} uids against {findings.files} files of the pool:"
        f" {len(findings.problems) or 'no'} problems"
    )
    out.print(f"of {findings.pool:,} uids in the pool, {findings.kept:,} are kept{share}")
    if findings.invalid:
        out.print(f"{findings.invalid:,} rows of the pool have no uid and were passed over")


def _print_problems(out: Console, problems: Sequence[str]) -> None:
    for problem in problems[:MAX_LISTED]:
        out.print(f"[red]problem:[/] {shown(problem)}", soft_wrap=True)
    if len(problems) > MAX_LISTED:
        out.print(f"and {len(problems) - MAX_LISTED} more")
