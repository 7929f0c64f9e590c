"""`curate report`: builds the page of a run where it is wanted, and says where that is."""

from __future__ import annotations

import sys
import time

from rich.console import Console

from curate import reporting
from curate.checking import open_store
from curate.manifest import RunDir
from curate.report.build import FOLDER, Built, build_report, link_to, write_report


def make_report(
    out: Console,
    run_dir: str,
    subset: str | None = None,
    to: str | None = None,
    *,
    samples: int,
    thumbnails: bool,
) -> None:
    """Make the page of a run and print where it is.

    Args:
        out: prints.
        run_dir: path or URL of a scored run.
        subset: name; None takes the configured one, or the only one.
        to: path or URL of a folder; None is RUN_DIR/report.
        samples: of a gallery.
        thumbnails: whether pictures are shown.

    Raises:
        ConfigError: no such subset, or the folder holds something else.
        RunDirError: there is no run, or it is not scored to its end.
        OutputError: something is missing or damaged, or cannot be written.
        AccountingError: the counts do not balance.
    """
    begin = time.monotonic()
    run = RunDir(open_store(run_dir))
    store, folder = (run.store, FOLDER) if to is None else (open_store(to), "")
    built = build_report(
        run,
        subset,
        samples=samples,
        pictures=thumbnails,
        uids_base=".." if to is None else link_to(run.store, store),
        observe=_tell,
    )
    write_report(built, store, folder)
    _say(out, built, time.monotonic() - begin)
    out.print(f"report: {reporting.shown(store.path(_index(folder)))}", soft_wrap=True)


def _say(out: Console, built: Built, seconds: float) -> None:
    payload, subset = built.payload, built.payload["subset"]
    for warning in payload["warnings"]:
        out.print(f"[yellow]warning:[/] {reporting.shown(warning)}", soft_wrap=True)
    about = "nothing selected" if subset is None else f"subset {subset['name']}"
    out.print(
        f"{reporting.shown(about)}: {payload['accounts']['read']:,} samples,"
        f" {len(payload['samples']):,} of them shown, {len(built.thumbnails):,} with a picture,"
        f" {seconds:.1f} s"
    )


def _index(folder: str) -> str:
    return f"{folder}/index.html" if folder else "index.html"


def _tell(phase: str) -> None:
    # Minutes may pass on a pool of many millions.
    print(f"report  {phase}", file=sys.stderr, flush=True)
