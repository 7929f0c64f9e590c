"""The target set that VAS and NormSim compare with: read, checked, and what is kept of it.

Of a target of m embeddings, scores take its moments, O(d^2); only NormSim with p = infinity takes
its members. A run keeps a copy of just that, so that its scores can be told and repeated after
the original has gone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from zipfile import BadZipFile

import fsspec
import numpy as np
import numpy.typing as npt
from fsspec.implementations.local import LocalFileSystem

from curate.config import BaselinesConfig, TargetKeys
from curate.errors import OutputError, RunDirError, TargetError
from curate.numerics.alignment import second_moment
from curate.outputs import Store
from curate.remote_file import RemoteFile

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

FILE: Final = "target.npz"
DESCRIPTION: Final = "target.json"
CHECKSUM: Final = "sha256"
FIELD: Final = "baselines.target"
NPY_MAGIC: Final = b"\x93NUMPY"

BLOCK_ROWS: Final = 8192
"""Rows that are widened to float64 at a time: 50 MB at 768 dimensions."""


@dataclass(frozen=True, slots=True)
class Target:
    """What scoring takes of a target set of m embeddings.

    Attributes:
        size: m.
        image_moment: float64 [d, d], mean of t t^T over its images.
        text_moment: the same of its texts; None where it has none or no score asks.
        cross_moment: float64 [d, d], mean of t s^T over its pairs of image and text; None likewise.
        image: float32 [m, d], L2-normalised; None where no score asks for the members themselves.
    """

    size: int
    image_moment: Float64
    text_moment: Float64 | None = None
    cross_moment: Float64 | None = None
    image: Float32 | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What the listed scores ask of a target: its texts' moments, and its members."""

    texts: bool
    members: bool


def target_of(
    image: npt.NDArray[Any],
    text: npt.NDArray[Any] | None,
    *,
    members: bool,
    origin: str = "the Reference's sample",
) -> Target:
    """Take the moments of a target set.

    Args:
        image, text: floating [m, d], row-aligned, m > 0; rows are L2-normalised in float64.
        members: whether the images themselves are kept, for NormSim with p = infinity.
        origin: where they come from, for errors.

    Raises:
        TargetError: a row is zero, NaN or infinite.
    """
    return Target(
        size=len(image),
        image_moment=second_moment((u, u) for u in _units(image, f"{origin}, images")),
        text_moment=None
        if text is None
        else second_moment((v, v) for v in _units(text, f"{origin}, texts")),
        cross_moment=None
        if text is None
        else second_moment(zip(_units(image, origin), _units(text, origin), strict=True)),
        image=np.concatenate([u.astype(np.float32) for u in _units(image, origin)])
        if members
        else None,
    )


def _units(rows: npt.NDArray[Any], origin: str) -> Iterator[Float64]:
    """The rows in blocks, float64 [k, d], each divided by its norm."""
    for start in range(0, len(rows), BLOCK_ROWS):
        block = np.asarray(rows[start : start + BLOCK_ROWS], dtype=np.float64)
        norms = np.sqrt(np.square(block).sum(axis=1))
        wrong = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(wrong):
            raise TargetError(
                f"{FIELD}: {origin}: row {start + wrong[0]} has norm {norms[wrong[0]]}, which has"
                " no direction; drop zero, NaN and infinite rows from the file"
            )
        yield block / norms[:, None]


# --- the user's file --------------------------------------------------------------------------


def read_target(config: BaselinesConfig, dim: int, needs: Needs) -> Target:
    """Read a target set: images as .npy, or images and texts as .npz. Nothing is unpickled.

    Args:
        config: `target`, a path or URL, and `target_keys` for .npz.
        dim: d, the width of the embeddings that are scored.
        needs: what to take of it.

    Raises:
        TargetError: the file is missing or damaged, holds something else, or lacks the texts.
    """
    path = str(config.target)
    image, text = _arrays(path, config, needs.texts)
    _check_matrix(image, f"{path}, images", dim)
    if text is not None:
        _check_matrix(text, f"{path}, texts", dim)
        if len(text) != len(image):
            raise TargetError(
                f"{FIELD}: {path}: {len(image)} images and {len(text)} texts; they must be"
                " row-aligned"
            )
    return target_of(image, text, members=needs.members, origin=path)


def _arrays(
    path: str, config: BaselinesConfig, texts: bool
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    try:
        with _opened(path) as loaded:
            return _chosen(loaded, path, config.target_keys, texts)
    except FileNotFoundError as exc:
        raise TargetError(f"{FIELD}: {path} is missing; correct the path") from exc
    except (OSError, ValueError, EOFError, ImportError, BadZipFile) as exc:
        raise TargetError(
            f"{FIELD}: {path} cannot be read as .npy or .npz of numbers: {exc}; save float arrays"
            " with numpy.save or numpy.savez"
        ) from exc


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    fs, place = fsspec.core.url_to_fs(path)
    local = isinstance(fs, LocalFileSystem)
    with fs.open(place, "rb") if local else RemoteFile(lambda: fs.open(place), place) as file:
        magic = file.read(len(NPY_MAGIC))
        file.seek(0)
        if magic == NPY_MAGIC and local:
            # Mapped, an array larger than memory still gives its moments.
            yield np.load(place, mmap_mode="r", allow_pickle=False)
        else:
            yield np.load(file, allow_pickle=False)


def _chosen(
    loaded: Any, path: str, keys: TargetKeys | None, texts: bool
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    if isinstance(loaded, np.ndarray):
        if keys is not None:
            raise TargetError(f"{FIELD}: {path} is one array; remove baselines.target_keys")
        if texts:
            raise _no_texts(path)
        return loaded, None
    if keys is None:
        found = ", ".join(sorted(loaded.files)) or "nothing"
        raise TargetError(
            f"{FIELD}: {path} is an .npz with {found}: name its arrays in baselines.target_keys:"
            " {image: ..., text: ...}"
        )
    if texts and keys.text is None:
        raise _no_texts(path)
    image = _member(loaded, path, "image", keys.image)
    return image, _member(loaded, path, "text", keys.text) if texts and keys.text else None


def _no_texts(path: str) -> TargetError:
    return TargetError(
        f"{FIELD}: {path} gives images only, but text_vas and cross_vas compare with texts: give an"
        " .npz with both and name them in baselines.target_keys, or leave these scores out"
    )


def _member(loaded: Any, path: str, field: str, key: str) -> npt.NDArray[Any]:
    if key not in loaded.files:
        raise TargetError(
            f"{FIELD}: {path} has no array {key!r}; it holds {', '.join(sorted(loaded.files))}."
            f" Correct baselines.target_keys.{field}"
        )
    array: npt.NDArray[Any] = loaded[key]
    return array


def _check_matrix(array: npt.NDArray[Any], origin: str, dim: int) -> None:
    if array.dtype.kind != "f" or array.ndim != 2 or not len(array) or array.shape[1] != dim:
        raise TargetError(
            f"{FIELD}: {origin}: {array.dtype} {array.shape}; expected floating [m, {dim}] with"
            " m > 0, embedded by the model whose embeddings are scored"
        )


# --- the run's copy ---------------------------------------------------------------------------


def held_target(
    store: Store, folder: str, config: BaselinesConfig, dim: int, needs: Needs
) -> Target:
    """The run's copy of its target; where there is none yet, read the target and write one.

    Args:
        store, folder: where the copy is, beside the Reference.
        config, dim, needs: as for `read_target`.

    Raises:
        TargetError: as `read_target`, or the copy is damaged.
        RunDirError: the copy is of another target, or was made for other scores.
    """
    wanted = {
        "target": config.target,
        "target_keys": None if config.target_keys is None else config.target_keys.model_dump(),
        "texts": needs.texts,
        "members": needs.members,
        "dim": dim,
    }
    described = target_description(store, folder)
    if described is None:
        target = read_target(config, dim, needs)
        _save(store, folder, target, wanted)
        return target
    changes = [
        f"{key} was {described.get(key)!r} and is {value!r} now"
        for key, value in wanted.items()
        if described.get(key) != value
    ]
    if changes:
        raise RunDirError(
            f"{store.path(folder)}/{FILE} was made of {FIELD} in another way: {'; '.join(changes)}."
            " Choose another output.run_dir, or delete this one"
        )
    return _load_copy(store, folder, described)


def target_description(store: Store, folder: str) -> Mapping[str, Any] | None:
    """What target.json says of the run's copy, its `sha256` included; None without a copy.

    Raises:
        TargetError: it cannot be read.
    """
    try:
        found = store.read_json(f"{folder}/{DESCRIPTION}")
    except FileNotFoundError:
        return None
    except (OSError, OutputError) as exc:
        raise TargetError(f"{store.path(folder)}/{DESCRIPTION}: {exc}") from exc
    if not isinstance(found, dict):
        raise TargetError(f"{store.path(folder)}/{DESCRIPTION} holds no object; delete it")
    return found


def _save(store: Store, folder: str, target: Target, described: dict[str, Any]) -> None:
    arrays = {name: getattr(target, name) for name in Target.__dataclass_fields__}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    written = store.write_bytes(f"{folder}/{FILE}", buffer.getvalue())
    # Written last: without it, there is no copy.
    store.write_json(f"{folder}/{DESCRIPTION}", described | {CHECKSUM: written.sha256})


def _load_copy(store: Store, folder: str, described: Mapping[str, Any]) -> Target:
    place, remedy = store.path(f"{folder}/{FILE}"), "copy it again, or delete this run directory"
    try:
        data = store.read_bytes(f"{folder}/{FILE}")
    except OSError as exc:
        raise TargetError(f"{place} cannot be read: {exc}; {remedy}") from exc
    if hashlib.sha256(data).hexdigest() != described.get(CHECKSUM):
        raise TargetError(
            f"{place} does not match the checksum in {DESCRIPTION}: it was changed or cut short;"
            f" {remedy}"
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        fields = {name: arrays[name] for name in arrays.files if name != "size"}
        return Target(size=int(arrays["size"]), **fields)
