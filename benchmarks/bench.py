"""All rows of the speed table, side by side, with the bar of each (`make bench`).

    python benchmarks/bench.py [--quick] [--only SECTION ...] [--record]

Every section is a script of its own beside this one, and runs in a process of its own. `--record`
adds the ratios to history.jsonl under the commit they were measured at. What got worse by more than
a tenth since the latest records of the same machine is said, and ends in exit code 1. Ratios hold
on a quiet machine only: nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from speed import history
from speed.table import Row, markdown

HERE = Path(__file__).resolve().parent
SECTIONS = ("end_to_end", "startup", "filter_pass", "precomputed", "sweeps", "uids", "scaling")


def measure(section: str, quick: bool) -> list[Row]:
    """Run a section in a process of its own, whose output is shown as it comes."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / "bench.py"), "--section", section]
        command += ["--rows", str(found), *(["--quick"] if quick else [])]
        subprocess.run(command, check=True)
        return [Row(**row) for row in json.loads(found.read_text())]


def run_section(section: str, quick: bool, target: Path) -> None:
    """Measure here, and leave the rows in a file."""
    rows: list[Row] = importlib.import_module(section).rows(quick)
    target.write_text(json.dumps([asdict(row) for row in rows]))


def commit() -> str:
    """The commit that is measured; `+` where the tree differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(HERE), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "../curate", "../benchmarks/*.py")
    return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")


def machine() -> str:
    """Processor and cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: minutes, more noise")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--record", action="store_true", help="add the ratios to the history")
    parser.add_argument("--history", type=Path, default=HERE / "history.jsonl")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.section is not None:
        run_section(options.section, options.quick, options.rows)
        return 0
    rows = [row for section in options.only for row in measure(section, options.quick)]
    print(f"\n{machine()}, commit {commit()}\n\n{markdown(rows)}\n")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = history.Record(commit(), now, machine(), options.quick, history.ratios_of(rows))
    found = history.worse(record, history.read(options.history))
    for one in found:
        print(f"WORSE: {one.name}: {one.now:.3g}, it was {one.before:.3g}")
    if options.record:
        history.append(options.history, record)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
