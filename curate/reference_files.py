"""A Reference as files: reference.npz, reference.json, and the sample that it was fitted on.

The embeddings of the sample serve the exact Information Gain, its scores the rules with
`of: reference`; scores of the quadratic and the landmark form need neither.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import OutputError, ReferenceFileError
from curate.numerics.landmarks import Landmarks
from curate.outputs import Store
from curate.reference import (
    FORMAT_VERSION,
    LANDMARK_ARRAYS,
    SIDE_ARRAYS,
    Reference,
    Sample,
    SampleEmbeddings,
    Side,
    to_bytes,
)
from curate.schema import CAPTIONS_SCHEMA

FILE: Final = "reference.npz"
DESCRIPTION: Final = "reference.json"
SAMPLE: Final = "sample.npz"
SAMPLE_SCORES: Final = "sample_scores.parquet"
SAMPLE_CAPTIONS: Final = "sample_captions.parquet"
SAMPLE_CHECKSUM: Final = "sample_sha256"
CAPTIONS_CHECKSUM: Final = "sample_captions_sha256"

_REMEDY: Final = "copy it again or fit the Reference again"


def save(store: Store, folder: str, reference: Reference, sample: Sample) -> None:
    """Write reference.npz, reference.json and the sample into a folder of the store.

    The description is written last: a folder without it holds no Reference.
    """
    buffer = io.BytesIO()
    held = sample.embeddings
    arrays = {name: getattr(held, name) for name in SampleEmbeddings.__dataclass_fields__}
    np.savez(buffer, **arrays)
    written = store.write_bytes(_in(folder, SAMPLE), buffer.getvalue())
    store.write_table(_in(folder, SAMPLE_SCORES), sample.table)
    described = reference.description | {SAMPLE_CHECKSUM: written.sha256}
    if sample.captions is not None:
        columns = [sample.table["shard"], sample.table["key"], sample.captions]
        table = pa.table(columns, schema=CAPTIONS_SCHEMA)
        written = store.write_table(_in(folder, SAMPLE_CAPTIONS), table)
        described[CAPTIONS_CHECKSUM] = written.sha256
    save_fitted(store, folder, replace(reference, description=described))


def copy(origin: Store, store: Store, folder: str) -> Reference:
    """Copy the Reference at the root of one store, with what is left of its sample, to another.

    Raises:
        ReferenceFileError: as `load`.
    """
    fitted = load(origin, "")
    for name in (SAMPLE, SAMPLE_SCORES, SAMPLE_CAPTIONS):
        if origin.exists(name):
            store.write_bytes(_in(folder, name), origin.read_bytes(name))
    held = ((SAMPLE, SAMPLE_CHECKSUM), (SAMPLE_CAPTIONS, CAPTIONS_CHECKSUM))
    gone = {key for name, key in held if not origin.exists(name)}
    kept = {k: v for k, v in fitted.description.items() if k not in gone}
    fitted = replace(fitted, description=kept)
    save_fitted(store, folder, fitted)
    return fitted


def save_fitted(store: Store, folder: str, reference: Reference) -> None:
    """Write reference.npz and reference.json alone: all that scoring at O(d^2) takes."""
    data = store.write_bytes(_in(folder, FILE), to_bytes(reference))
    store.write_json(_in(folder, DESCRIPTION), reference.description | {"sha256": data.sha256})


def load(store: Store, folder: str) -> Reference:
    """Read a saved Reference.

    Raises:
        ReferenceFileError: it is missing, incomplete, damaged or of another format version.
    """
    place = store.path(folder)
    try:
        description = store.read_json(_in(folder, DESCRIPTION))
        data = store.read_bytes(_in(folder, FILE))
    except FileNotFoundError as exc:
        raise ReferenceFileError(
            f"{place} holds no complete Reference ({exc}); run `curate fit`, or set reference.path"
            " to a folder with reference.npz and reference.json"
        ) from exc
    except (OSError, OutputError) as exc:
        raise ReferenceFileError(f"{place} cannot be read: {exc}; {_REMEDY}") from exc
    version = description.get("format_version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise ReferenceFileError(
            f"{place}/{DESCRIPTION}: format_version is {version!r}, this version reads"
            f" {FORMAT_VERSION}; fit the Reference again"
        )
    if hashlib.sha256(data).hexdigest() != description.pop("sha256", None):
        raise ReferenceFileError(
            f"{place}/{FILE} does not match the checksum in {DESCRIPTION}: it was changed or cut"
            f" short; {_REMEDY}"
        )
    try:
        return _parse(data, description)
    except (LookupError, TypeError, ValueError, OSError, BadZipFile) as exc:
        raise ReferenceFileError(f"{place} holds no Reference: {exc!r}; {_REMEDY}") from exc


def _parse(data: bytes, description: dict[str, Any]) -> Reference:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        image, text = (_side(arrays, name) for name in ("image", "text"))
        if description["model"]["fingerprint"] != str(arrays["fingerprint"]):
            raise ValueError("the two files are of different models")
    return Reference(image, text, description)


def _side(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> Side:
    landmarks = None
    if f"{name}_landmarks_{LANDMARK_ARRAYS[0]}" in arrays:
        landmarks = Landmarks(
            **{field: arrays[f"{name}_landmarks_{field}"] for field in LANDMARK_ARRAYS}
        )
    fields = {field: arrays[f"{name}_{field}"] for field in SIDE_ARRAYS}
    return Side(**fields, landmarks=landmarks)


def load_sample(store: Store, folder: str, reference: Reference) -> SampleEmbeddings:
    """Read the embeddings that a Reference was fitted on.

    Raises:
        ReferenceFileError: they are missing, damaged, or of another Reference.
    """
    place = store.path(_in(folder, SAMPLE))
    try:
        data = store.read_bytes(_in(folder, SAMPLE))
    except FileNotFoundError as exc:
        raise ReferenceFileError(
            f"{place} is missing: the exact Information Gain, negCLIPLoss and, without"
            " baselines.target, VAS and NormSim are taken against the sample; fit the Reference"
            " again, or leave these scores out; the landmark scores need no sample"
        ) from exc
    except (OSError, OutputError) as exc:
        raise ReferenceFileError(f"{place} cannot be read: {exc}; {_REMEDY}") from exc
    if hashlib.sha256(data).hexdigest() != reference.description.get(SAMPLE_CHECKSUM):
        raise ReferenceFileError(
            f"{place} does not match the checksum in {DESCRIPTION}: it was changed, cut short, or"
            f" is of another Reference; {_REMEDY}"
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return SampleEmbeddings(
            **{name: arrays[name] for name in SampleEmbeddings.__dataclass_fields__}
        )


def load_sample_table(store: Store, folder: str) -> pa.Table:
    """Read the scores of the sample, which `of: reference` rules take their quantiles from.

    Raises:
        ReferenceFileError: they are missing or damaged.
    """
    relative = _in(folder, SAMPLE_SCORES)
    try:
        return store.read_table(relative)
    except FileNotFoundError as exc:
        raise ReferenceFileError(
            f"{store.path(relative)} is missing: rules with `of: reference` need the sample's"
            " scores; fit the Reference again, or use `of: pool`"
        ) from exc
    except (OSError, OutputError) as exc:
        raise ReferenceFileError(
            f"{store.path(relative)} cannot be read: {exc}; fit the Reference again"
        ) from exc


def load_sample_captions(store: Store, folder: str, reference: Reference) -> pa.Table | None:
    """Read shard, key and caption of the sample's pairs; None where no captions were kept.

    Raises:
        ReferenceFileError: they are missing though they were kept, damaged, or of another sample.
    """
    expected = reference.description.get(CAPTIONS_CHECKSUM)
    if expected is None:
        return None  # an older Reference, or a pool without captions
    place = store.path(_in(folder, SAMPLE_CAPTIONS))
    try:
        data = store.read_bytes(_in(folder, SAMPLE_CAPTIONS))
        if hashlib.sha256(data).hexdigest() != expected:
            raise ReferenceFileError(
                f"{place} does not match the checksum in {DESCRIPTION}; {_REMEDY}"
            )
        return store.read_table(_in(folder, SAMPLE_CAPTIONS), CAPTIONS_SCHEMA.names)
    except (OSError, OutputError) as exc:
        raise ReferenceFileError(f"{place} cannot be read: {exc}; {_REMEDY}") from exc


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
