"""The front door: what it names, that all of it is typed, and that opening it costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import curate

NAMES = [
    "Config",
    "ConfigError",
    "CurateError",
    "EmbeddedPairs",
    "Explanation",
    "Model",
    "Outcome",
    "Reference",
    "Rules",
    "Run",
    "Scorer",
    "__version__",
    "load_config",
    "load_model",
    "open_run",
    "run",
]


def test_the_public_names_are_these() -> None:
    assert curate.__all__ == NAMES
    for name in NAMES:
        assert getattr(curate, name).__doc__
        assert name in dir(curate)


def test_type_checkers_see_what_python_gives() -> None:
    (block,) = [
        node
        for node in ast.parse(Path(curate.__file__).read_text()).body
        if isinstance(node, ast.If)
    ]
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == curate._HOMES
    assert sorted([*seen, "__version__"]) == NAMES


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'curate' has no attribute 'nothing'"):
        _ = curate.nothing


def test_importing_curate_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys, curate; curate.Config; curate.Run; curate.open_run; curate.ConfigError;"
        "print(sorted({'torch', 'ray', 'open_clip', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
