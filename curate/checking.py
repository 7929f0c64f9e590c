"""Looking at what a command line names: a run directory or a subset file, opened and checked."""

from __future__ import annotations

from rich.console import Console

from curate import reporting
from curate.errors import ConfigError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.redact import has_password


def open_store(run_dir: str) -> Store:
    """The store behind a path or URL. Raises ConfigError, also for a password in it."""
    refuse_password(run_dir)
    try:
        return Store(run_dir)
    except (ValueError, ImportError) as exc:
        raise ConfigError(f"{run_dir} cannot be opened: {exc}") from exc


def refuse_password(place: str) -> None:
    """Raise ConfigError for a URL with a password."""
    if has_password(place):  # drivers repeat it in their errors, in forms of their own
        raise ConfigError(f"{place} holds a password: give it to the storage's driver instead")


def check_run(out: Console, run_dir: str, deep: bool) -> list[str]:
    """Verify a run directory and print the findings; returns the problems."""
    from curate.verification import verify as check

    findings = check(RunDir(open_store(run_dir)), deep=deep)
    reporting.print_findings(out, findings)
    return findings.problems


def check_subset(out: Console, path: str, pool: str) -> list[str]:
    """Check a subset file against its pool and print the findings; returns the problems."""
    from curate.subset_check import check_subset as check

    for place in (path, pool):
        refuse_password(place)
    findings = check(path, pool)
    reporting.print_subset_findings(out, findings)
    return findings.problems
