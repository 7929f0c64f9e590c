"""The architecture, enforced: which module may import which, how large one may grow.

Modules are found on disk, so that one that does not exist yet is held to the same rules the day
it appears. A module that no table below names is a stage module.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# An import may go down or stay on its level. `schema` holds names only and imports nothing of
# the project, which lets `config` check the columns of a rule against it.
FOUNDATION, NUMERICS, STAGE, PIPELINE, TRAINING, PAPER, ENTRY = range(7)
LEVELS = {
    "curate.errors": FOUNDATION,
    "curate.schema": FOUNDATION,
    "curate.redact": FOUNDATION,
    "curate.config": FOUNDATION,
    "curate.numerics": NUMERICS,
    "curate.pipeline": PIPELINE,
    "curate.training": TRAINING,
    "curate.paper.command": ENTRY,  # the one that calls `commands`; before the package it lies in
    "curate.paper": PAPER,
    "curate.commands": ENTRY,
    "curate.sweep.command": ENTRY,
    "curate.report.command": ENTRY,
    "curate.cli": ENTRY,
    "curate.demo": ENTRY,
    "curate.jobs": ENTRY,
    "curate.reporting": ENTRY,
    "curate.status_page": ENTRY,
    "curate.explain_page": ENTRY,
    "curate.carrying_out": ENTRY,
    "curate.api": ENTRY,
    "curate.starting": ENTRY,
    "curate.checking": ENTRY,
    "curate.looking": ENTRY,
    "curate.__main__": ENTRY,
    "jobs": ENTRY,
}
LEVEL_NAMES = ("foundation", "numerics", "stage", "pipeline", "training", "paper", "entry")

MODULE_LINES = 320  # two rooms are easier to live in than one hall
JOB_LINES = 39  # a job is a call, not a program


class Import(NamedTuple):
    """One name that a module imports."""

    line: int
    target: str


def dotted(path: Path) -> str:
    """The module name of a file of the repository."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    dotted(path): path
    for folder in ("curate", "jobs")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
}


@cache
def tree(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(module: str) -> Iterator[Import]:
    """Everything a module imports, inside functions and for type checkers too."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                kept = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*kept, *filter(None, [base])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(node.lineno, full if full in MODULES else base)


def own_imports(module: str) -> Iterator[Import]:
    """What a module imports of the project, itself and the bare package left out.

    The bare package names what others hold, for type checkers alone: see tests/api/test_exports.py.
    """
    if module == "curate":
        return
    for found in imports(module):
        if found.target.split(".")[0] in ("curate", "jobs") and found.target != module:
            yield found


def within(module: str, *packages: str) -> bool:
    """Whether a module is one of the packages or lies in one."""
    return any(module == p or module.startswith(f"{p}.") for p in packages)


def level(module: str) -> int:
    """The level of a module: the table's, or stage."""
    return next((at for name, at in LEVELS.items() if within(module, name)), STAGE)


def where(module: str, line: int) -> str:
    """A location that editors and terminals can open."""
    return f"{MODULES[module].relative_to(REPOSITORY)}:{line}"


def complain(offences: list[str], remedy: str) -> None:
    """Fail with every offence and what to do about it."""
    if offences:
        pytest.fail("\n".join([remedy, *offences]), pytrace=False)


def test_the_modules_are_found() -> None:
    assert {"curate.errors", "curate.schema"} <= set(MODULES)
    assert len(MODULES) > 10


def test_imports_point_one_way() -> None:
    offences = [
        f"{where(module, found.line)}: {LEVEL_NAMES[level(module)]} module {module} imports "
        f"{LEVEL_NAMES[level(found.target)]} module {found.target}"
        for module in MODULES
        for found in own_imports(module)
        if found.target != "curate" and level(found.target) > level(module)
    ]
    complain(
        offences,
        "jobs, cli -> pipeline -> stage modules -> numerics, schema -> config, errors; move what"
        " is shared down, or pass it as an argument:",
    )


def test_no_import_cycles() -> None:
    graph = {m: {found.target for found in own_imports(m)} & set(MODULES) for m in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as exc:
        pytest.fail(f"import cycle: {' -> '.join(reversed(exc.args[1]))}", pytrace=False)


def test_only_the_pipeline_imports_ray() -> None:
    offences = [
        f"{where(module, found.line)}: {module} imports {found.target}"
        for module in MODULES
        for found in imports(module)
        if within(found.target, "ray") and not within(module, "curate.pipeline")
    ]
    complain(offences, "only curate/pipeline may import ray; call it through the pipeline:")


def test_numerics_is_pure() -> None:
    offences = [
        f"{where(module, found.line)}: {module} imports {found.target}"
        for module in MODULES
        if within(module, "curate.numerics")
        for found in imports(module)
        if found.target.split(".")[0] not in {"numpy", "torch", *sys.stdlib_module_names}
        and not within(found.target, "curate.errors", "curate.numerics")
    ]
    complain(offences, "numerics imports numpy, torch, curate.errors and its own modules only:")


@pytest.mark.parametrize("module", ["curate.errors", "curate.schema"])
def test_the_ground_floor_stands_alone(module: str) -> None:
    offences = [f"{where(module, f.line)}: imports {f.target}" for f in own_imports(module)]
    complain(offences, f"{module} imports nothing of the project:")


@pytest.mark.parametrize("package", ["curate.synthetic", "curate.training"])
def test_the_engine_does_without_drawings_and_training(package: str) -> None:
    allowed = ("curate.synthetic", "curate.training", "curate.demo", "curate.cli", "jobs")
    offences = [
        f"{where(module, found.line)}: {module} imports {found.target}"
        for module in MODULES
        if not within(module, *allowed)
        for found in own_imports(module)
        if within(found.target, package)
    ]
    complain(offences, f"only demo, cli, training and jobs may import {package}:")


def test_only_the_command_line_reaches_the_paper() -> None:
    offences = [
        f"{where(module, found.line)}: {module} imports {found.target}"
        for module in MODULES
        if not within(module, "curate.paper", "curate.carrying_out")
        for found in own_imports(module)
        if within(found.target, "curate.paper")
    ]
    complain(
        offences, "the engine does without its analyses; only carrying_out may import curate.paper:"
    )


def test_only_the_paper_draws() -> None:
    offences = [
        f"{where(module, found.line)}: {module} imports {found.target}"
        for module in MODULES
        if not within(module, "curate.paper")
        for found in imports(module)
        if within(found.target, "matplotlib")
    ]
    complain(offences, "only curate/paper may import matplotlib, which its extra installs:")


def test_drawings_need_nothing_of_the_engine() -> None:
    offences = [
        f"{where(module, found.line)}: {module} imports {found.target}"
        for module in MODULES
        if within(module, "curate.synthetic")
        for found in own_imports(module)
        if not within(found.target, "curate.synthetic", "curate.errors")
    ]
    complain(offences, "curate.synthetic imports curate.errors and its own modules only:")


def test_every_module_says_what_it_is_for() -> None:
    offences = [
        str(path.relative_to(REPOSITORY))
        for path in MODULES.values()
        if not ast.get_docstring(tree(path))
    ]
    complain(offences, "these modules have no docstring:")


def is_vocabulary(path: Path) -> bool:
    """Whether a module is word lists all but a twentieth: those may be long, code may not."""
    body = tree(path).body
    code = [n for n in body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    spans = sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in code)
    return 20 * spans <= len(path.read_text(encoding="utf-8").splitlines())


def test_modules_are_small() -> None:
    offences = []
    for module, path in MODULES.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        limit = JOB_LINES if within(module, "jobs") else MODULE_LINES
        if lines > limit and not is_vocabulary(path):
            offences.append(f"{path.relative_to(REPOSITORY)}: {lines} lines, at most {limit}")
    complain(offences, "split what has grown too large by what its parts are for:")


def committed_files() -> list[Path]:
    """The files under version control; the test is skipped, visibly, outside a checkout."""
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        pytest.skip("needs git and a checkout to know which files are committed")
    listed = subprocess.run(
        [git, "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    paths = (REPOSITORY / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


# Homes, and folders that exist on one machine only; written so as not to match itself.
DEVELOPER_PATH = re.compile(rb"(?<![\w.>-])/(?:root|work|home/\w+|Users/\w+|tmp/\w+)/[\w.]")


def test_no_path_of_a_developer_machine_is_committed() -> None:
    offences = []
    for path in committed_files():
        content = path.read_bytes()
        if b"\0" in content[:8192]:  # pictures, weights
            continue
        for number, line in enumerate(content.splitlines(), 1):
            if DEVELOPER_PATH.search(line):
                offences.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:100]!r}")
    complain(offences, "use relative paths or settings in place of:")


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        (b"open('/%s/x/y')" % b"root", True),
        (b"see /%s/someone/data/pool" % b"home", True),
        (b"https://example.org/%s/page" % b"work", False),
        (b"runs/%s/first" % b"work", False),
    ],
)
def test_the_path_pattern_catches_paths_and_leaves_urls(line: bytes, caught: bool) -> None:
    assert bool(DEVELOPER_PATH.search(line)) is caught
