"""What a process that is all curate's spares itself: pandas, and looking through its imports.

Whichever value first becomes an Arrow array, pyarrow imports pandas where that is installed, and
Ray Data has it installed: 0.2 s and 45 MB, for a process that may never meet one of its objects.
"""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec

import pyarrow as pa


class _NoPandas:
    """An import hook to which pandas is not installed."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out", name=name)
        return None


def leave_out_pandas() -> None:
    """Have pyarrow take it that pandas is not installed, at the beginning of a process of our own.

    Where it is imported already it stays. Else pyarrow takes a pandas object for any other sequence
    from then on; whoever imports pandas still can, and what converts by name (`to_pandas`,
    `Table.from_pandas`) imports it then.
    """
    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas)
    try:
        with suppress(ModuleNotFoundError):
            pa.array([0])  # it looks for pandas once, at the first value
    finally:
        sys.meta_path.remove(_NoPandas)


def keep_imports() -> None:
    """Have the garbage collector leave alone what is there, once everything is imported.

    A twentieth of the time of a sweep went into looking through modules again and again.
    """
    gc.freeze()
