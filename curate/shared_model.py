"""A loaded model taken apart into a small skeleton and plain arrays, and put together again.

Ray keeps arrays in the shared memory of a node and ships them there once: the embedders of a node
read their weights from the same pages instead of each from a checkpoint. A skeleton is pickled by
one process of a run and unpickled by another; never load one that comes from anywhere else.
"""

from __future__ import annotations

import io
import pickle
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_NOT_WRITABLE = "The given NumPy array is not writable"


@dataclass(frozen=True, slots=True)
class FrozenModel:
    """A module without its tensors, and the tensors.

    Attributes:
        skeleton: the pickled module, in which tensors are numbers.
        tensors: bytes of each tensor, C-contiguous.
        layouts: dtype and shape of each tensor, and whether it is a parameter.
    """

    skeleton: bytes
    tensors: tuple[npt.NDArray[np.uint8], ...]
    layouts: tuple[tuple[torch.dtype, tuple[int, ...], bool], ...]


class _Freezer(pickle.Pickler):
    """Sets tensors aside. One that two modules share is set aside once, and stays shared."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.tensors: list[torch.Tensor] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, torch.Tensor):
            return None
        if id(obj) not in self._numbers:
            self._numbers[id(obj)] = len(self.tensors)
            self.tensors.append(obj)
        return self._numbers[id(obj)]


class _Thawer(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, tensors: list[torch.Tensor]) -> None:
        super().__init__(file)
        self._tensors = tensors

    def persistent_load(self, pid: Any) -> torch.Tensor:
        tensor: torch.Tensor = self._tensors[pid]
        return tensor


def freeze(model: torch.nn.Module) -> FrozenModel:
    """Take a model apart. Raises what pickle raises for modules that cannot be pickled."""
    file = io.BytesIO()
    freezer = _Freezer(file)
    freezer.dump(model)
    return FrozenModel(
        file.getvalue(),
        # As bytes, since NumPy has no bfloat16.
        tuple(
            t.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()
            for t in freezer.tensors
        ),
        tuple(
            (t.dtype, tuple(t.shape), isinstance(t, torch.nn.Parameter)) for t in freezer.tensors
        ),
    )


def thaw(frozen: FrozenModel, device: str) -> torch.nn.Module:
    """Put a model together on a device, for inference only.

    On the CPU its tensors are views of the arrays: nothing may write to them.
    """
    tensors = []
    for data, (dtype, shape, is_parameter) in zip(frozen.tensors, frozen.layouts, strict=True):
        tensor = _view(data, dtype).reshape(shape).to(device)
        tensors.append(torch.nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor)
    model: torch.nn.Module = _Thawer(io.BytesIO(frozen.skeleton), tensors).load()
    return model.eval()


def _view(data: npt.NDArray[np.uint8], dtype: torch.dtype) -> torch.Tensor:
    if not data.size:
        return torch.empty(0, dtype=dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_NOT_WRITABLE)
        return torch.from_numpy(data).view(dtype)
