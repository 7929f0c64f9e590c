"""curate: filter image-text pools by how much each image and each caption says.

What notebooks and scripts use is named here, and imported when it is first used: `import curate`
takes no time. docs/api.md shows it at work.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.api.model import EmbeddedPairs, Model, load_model
    from curate.api.reference import Reference
    from curate.api.runs import Run, open_run, run
    from curate.api.scorer import Scorer
    from curate.config import Config, Rules, load_config
    from curate.errors import ConfigError, CurateError
    from curate.explaining import Explanation
    from curate.workspace import Outcome

__version__ = "0.1.0"

_HOMES = {
    "Config": "curate.config",
    "ConfigError": "curate.errors",
    "CurateError": "curate.errors",
    "EmbeddedPairs": "curate.api.model",
    "Explanation": "curate.explaining",
    "Model": "curate.api.model",
    "Outcome": "curate.workspace",
    "Reference": "curate.api.reference",
    "Rules": "curate.config",
    "Run": "curate.api.runs",
    "Scorer": "curate.api.scorer",
    "load_config": "curate.config",
    "load_model": "curate.api.model",
    "open_run": "curate.api.runs",
    "run": "curate.api.runs",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
