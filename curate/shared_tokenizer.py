"""A model's tokenizer, handed from the process that loaded the model to those that only tokenise.

open_clip is imported whole or not at all, with every architecture it knows: four core-seconds and
250 MB for each process. Its tokenizers live in one file that needs none of that, and what is
unpickled here takes their classes from there. Pickles come from a process of the same run; never
load one that comes from anywhere else.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_PACKAGE: Final = "open_clip"
_MODULE: Final = "open_clip.tokenizer"


def freeze_tokenizer(tokenizer: Any) -> bytes | None:
    """Pickle a tokenizer of open_clip; None for one that cannot be pickled: load it anew there."""
    try:
        return pickle.dumps(tokenizer, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError):
        return None


def thaw_tokenizer(frozen: bytes) -> Any:
    """The tokenizer again, without an import of open_clip where that is not imported already."""
    return _Unpickler(io.BytesIO(frozen)).load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name == _MODULE and (module := _tokenizers()) is not None:
            return getattr(module, global_name)
        return super().find_class(module_name, global_name)


@cache
def _tokenizers() -> ModuleType | None:
    """open_clip's file of tokenizers as a module of its own; None to import it the usual way."""
    if _MODULE in sys.modules:
        return sys.modules[_MODULE]
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).with_name("tokenizer.py")
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError:  # of its package, after all: another version
        return None
    return module
