"""Which parts a pool of metadata has: a part is one Parquet file with the arrays that belong to it.

Four layouts are told apart by what lies beside the metadata:

- `datacomp`: STEM.parquet with STEM.npz beside it, as DataComp's `download_upstream.py` leaves it.
- `clip-retrieval`: metadata/metadata_N.parquet, img_emb/img_emb_N.npy, text_emb/text_emb_N.npy.
- `run`: scores/PART.parquet and embeddings/PART.npz of a run with `output.save_embeddings`.
- `metadata`: Parquet files without embeddings, from `input.metadata`.

The list is a pure function of the specification and of what the storage holds.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from curate.braces import expand_braces
from curate.errors import ConfigError
from curate.places import (
    MAGIC,
    anchored,
    ask,
    check_protocol,
    file_ids,
    filesystem_of,
    glob,
    is_local,
    read_lists,
)
from curate.retrying import is_missing
from curate.shards import Shard

Layout = Literal["datacomp", "clip-retrieval", "run", "metadata"]

PARQUET: Final = ".parquet"
NPZ: Final = ".npz"
_CLIP_RETRIEVAL_NAME: Final = re.compile(r"metadata_(\d+)\.parquet")

EMBEDDINGS_FIELD: Final = "input.embeddings"
METADATA_FIELD: Final = "input.metadata"

_KNOWN: Final = (
    "expected DataComp's metadata (STEM.parquet with STEM.npz beside it), a clip-retrieval folder"
    " (img_emb/, text_emb/ and metadata/), or a run directory of curate (scores/ and embeddings/)"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One unit of work, of commit and of resume.

    Attributes:
        id: unique in its pool, safe as a file name; outputs are named by it.
        url: of the Parquet file with the metadata.
        layout: of the pool.
        size: bytes of metadata and arrays, where known without asking a store for each file.
    """

    id: str
    url: str
    layout: Layout
    size: int | None = None

    @property
    def arrays(self) -> tuple[str, ...]:
        """The files that hold image and text embeddings: one npz, two npy, or none."""
        folder, name = posixpath.split(self.url)
        if self.layout == "datacomp":
            return (self.url.removesuffix(PARQUET) + NPZ,)
        if self.layout == "run":
            parent = posixpath.dirname(folder)
            return (posixpath.join(parent, "embeddings", name.removesuffix(PARQUET) + NPZ),)
        if self.layout == "clip-retrieval":
            number = name.removesuffix(PARQUET).removeprefix("metadata_")
            parent = posixpath.dirname(folder)
            return (
                posixpath.join(parent, "img_emb", f"img_emb_{number}.npy"),
                posixpath.join(parent, "text_emb", f"text_emb_{number}.npy"),
            )
        return ()

    def as_shard(self) -> Shard:
        """The part as the run directory's manifest lists it."""
        return Shard(self.id, self.url, self.size)


def part_of(shard: Shard, layout: Layout) -> Part:
    """The part that a manifest lists as a shard."""
    return Part(shard.id, shard.url, layout, shard.size)


def list_parts(
    spec: str | Sequence[str], field: str = EMBEDDINGS_FIELD, base: Path | None = None
) -> tuple[Part, ...]:
    """List the parts that a specification names, sorted by id.

    Args:
        spec: a folder, a file, a glob, braces or fsspec URLs of these, `@FILE`, or a list.
        field: the setting; parts of `input.metadata` have no embeddings, whatever lies beside.
        base: what relative local paths start from; the working directory if None.

    Raises:
        ConfigError: nothing is found, the layout is none that is known, two layouts are mixed, a
            file is named twice, or two parts would get the same id. The message names the setting.
    """
    embedded = field != METADATA_FIELD
    specs = (spec,) if isinstance(spec, str) else tuple(spec)
    found: dict[str, tuple[Layout, int | None]] = {}
    for one in read_lists(specs, base, field):
        for url, size in _located(one, base, field):
            for layout, file, bytes_ in _metadata_of(url, size, embedded, field):
                if file in found:
                    raise ConfigError(f"{field}: {file} is named twice; name every part once")
                found[file] = (layout, bytes_)
    layouts = sorted({layout for layout, _ in found.values()})
    if len(layouts) != 1:
        mixed = f"mixes the layouts {' and '.join(layouts)}; curate them in two runs"
        raise ConfigError(f"{field}: {spec!r} {mixed if layouts else 'names no part'}")
    ids = file_ids(list(found), PARQUET, field)
    parts = (_sized(Part(ids[url], url, layout, size)) for url, (layout, size) in found.items())
    return tuple(sorted(parts, key=lambda part: part.id))


def _sized(part: Part) -> Part:
    """The part with the bytes of its arrays added, where looking at each file costs nothing."""
    if not is_local(part.url):
        return replace(part, size=None)
    files = (Path(url) for url in (part.url, *part.arrays))
    return replace(part, size=sum(file.stat().st_size for file in files if file.is_file()))


def _located(spec: str, base: Path | None, field: str) -> Iterator[tuple[str, int | None]]:
    """The files and folders that one specification names, without `@`."""
    if not spec.strip():
        raise ConfigError(f"{field}: an empty name; give a folder, a glob or @FILE")
    for expanded in expand_braces(spec):
        url = anchored(expanded, base)
        if is_local(url) and Path(url).exists():
            yield url, Path(url).stat().st_size
        elif MAGIC.search(url):
            yield from _matching(url, field)
        elif is_local(url):
            given = "" if url == spec else f" (from {spec!r})"
            raise ConfigError(f"{field}: {url!r}{given} does not exist; check the path")
        else:
            check_protocol(url, field)
            yield url.rstrip("/"), None


def _matching(url: str, field: str) -> Iterator[tuple[str, int | None]]:
    # `datacomp/*` names arrays too: they come with their metadata.
    found = dict(glob(url, field))
    kept = {file: size for file, size in found.items() if file.endswith(PARQUET)}
    if not kept and (npz := {file: size for file, size in found.items() if file.endswith(NPZ)}):
        kept = npz
    if not kept:
        raise ConfigError(f"{field}: {url!r} matches no {PARQUET} file; {_KNOWN}")
    yield from kept.items()


# --- layouts --------------------------------------------------------------------------------


Found = Iterator[tuple[Layout, str, int | None]]


def _metadata_of(url: str, size: int | None, embedded: bool, field: str) -> Found:
    """Layout, URL and size of every metadata file at a place, which may be a folder."""
    if url.endswith(PARQUET) and not _is_folder(url):
        yield (_layout_of(url) if embedded else "metadata"), url, size
    elif url.endswith(NPZ) and embedded:
        yield from _beside(url, field)
    else:
        yield from _in_folder(url, embedded, field)


def _is_folder(url: str) -> bool:
    return is_local(url) and Path(url).is_dir()


def _layout_of(url: str) -> Layout:
    """The layout of a single metadata file, by its name and the folder that it is in."""
    folder, name = posixpath.split(url)
    where = posixpath.basename(folder)
    if where == "metadata" and _CLIP_RETRIEVAL_NAME.fullmatch(name):
        return "clip-retrieval"
    return "run" if where == "scores" else "datacomp"


def _beside(url: str, field: str) -> Found:
    """The metadata of an npz that was named itself."""
    folder, name = posixpath.split(url)
    stem = name.removesuffix(NPZ)
    run = posixpath.join(posixpath.dirname(folder), "scores", stem + PARQUET)
    beside = posixpath.join(folder, stem + PARQUET)
    if posixpath.basename(folder) == "embeddings" and _exists(run, field):
        yield "run", run, None
    elif _exists(beside, field):
        yield "datacomp", beside, None
    else:
        raise ConfigError(f"{field}: {url} has no metadata beside it; {_KNOWN}")


def _in_folder(url: str, embedded: bool, field: str) -> Found:
    entries = _entries(url, field)
    files = {name: size for name, (kind, size) in entries.items() if kind == "file"}
    folders = {name for name, (kind, _) in entries.items() if kind == "directory"}
    if not embedded:
        yield from _parquets("metadata", url, files, field)
    elif {"img_emb", "text_emb", "metadata"} <= folders:
        inside = posixpath.join(url, "metadata")
        yield from _parquets("clip-retrieval", inside, _files(inside, field), field)
    elif {"embeddings", "scores"} <= folders:
        yield from _run_parts(url, field)
    elif posixpath.basename(url) == "embeddings" and any(name.endswith(NPZ) for name in files):
        yield from _run_parts(posixpath.dirname(url), field)
    elif any(_layout_of(posixpath.join(url, name)) == "clip-retrieval" for name in files):
        yield from _parquets("clip-retrieval", url, files, field)
    elif any(name.endswith(PARQUET) for name in files):
        if not any(name.endswith(NPZ) for name in files):
            raise ConfigError(
                f"{field}: {url} holds Parquet files, but no npz with their embeddings; download"
                " them too, or give input.metadata to select by metadata alone"
            )
        yield from _parquets("datacomp", url, files, field)
    else:
        raise ConfigError(f"{field}: the layout of {url} is not known; {_KNOWN}")


def _run_parts(url: str, field: str) -> Found:
    """Every scored shard of a run: one without embeddings is a part that cannot be read."""
    inside = posixpath.join(url, "scores")
    yield from _parquets("run", inside, _files(inside, field), field)


def _parquets(layout: Layout, folder: str, files: dict[str, int | None], field: str) -> Found:
    names = [name for name in files if name.endswith(PARQUET)]
    if not names:
        raise ConfigError(f"{field}: {folder} holds no {PARQUET} file; {_KNOWN}")
    yield from ((layout, posixpath.join(folder, name), files[name]) for name in sorted(names))


def _files(url: str, field: str) -> dict[str, int | None]:
    return {name: size for name, (kind, size) in _entries(url, field).items() if kind == "file"}


def _entries(url: str, field: str) -> dict[str, tuple[str, int | None]]:
    """Name -> kind and size of what a folder holds; links count as what they lead to."""
    if is_local(url):
        if not Path(url).is_dir():
            raise ConfigError(f"{field}: {url!r} is no folder and no {PARQUET} file; {_KNOWN}")
        return {
            path.name: ("directory", None) if path.is_dir() else ("file", path.stat().st_size)
            for path in Path(url).iterdir()
            if path.exists()
        }
    try:
        filesystem, path = filesystem_of(url)
        found: list[dict[str, Any]] = ask(lambda: filesystem.ls(path, detail=True), url)
    except Exception as exc:  # drivers raise their own, unrelated classes
        raise ConfigError(f"{field}: cannot list {url!r}: {exc!r}; check access") from exc
    return {
        posixpath.basename(info["name"].rstrip("/")): (info["type"], info.get("size"))
        for info in found
    }


def _exists(url: str, field: str) -> bool:
    try:
        filesystem, path = filesystem_of(url)
        ask(lambda: filesystem.info(path), url)  # drivers' `exists` calls any error a no
    except Exception as exc:  # drivers raise their own, unrelated classes
        if is_missing(exc):
            return False
        raise ConfigError(f"{field}: cannot look at {url!r}: {exc!r}; check access") from exc
    return True
