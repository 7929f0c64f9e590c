"""What a pool's embeddings are: which arrays hold them, their width, and what made them."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa

from curate.config import Config
from curate.embedding_pools.arrays import MissingArrayError, npz_keys, open_npy, open_npz
from curate.embedding_pools.layouts import EMBEDDINGS_FIELD, METADATA_FIELD, Layout, Part
from curate.embedding_pools.metadata import Carried, plan_columns
from curate.embedding_pools.parquet import opened_parquet
from curate.errors import ConfigError, OutputError, ShardError
from curate.numerics.posterior import Link
from curate.outputs import Store
from curate.serialised import json_bytes

DATACOMP_KEYS: Final = (("l14_img", "l14_txt"), ("b32_img", "b32_txt"))
"""Arrays of image and text in DataComp's npz files: OpenAI's CLIP ViT-L/14, and ViT-B/32."""

RUN_KEYS: Final = ("image", "text")

CLIP_RETRIEVAL: Final = ("img_emb", "text_emb")

OPENAI_SCALE: Final = 100.0
"""The logit scale that OpenAI's CLIP models were trained to, where it was clipped."""


@dataclass(frozen=True, slots=True)
class Precomputed:
    """The model that a pool's embeddings come from, as far as it is known; see `ModelInfo`.

    Attributes:
        name: `precomputed:` and the arrays, or the name that a run's own model had.
        fingerprint: of layout, arrays and width, or of a run's weights.
        link: how logits become probabilities.
        logit_scale: the trained temperature; None where nothing tells.
        logit_bias: the trained bias.
        dim: embedding width.
    """

    name: str
    fingerprint: str
    link: Link
    logit_scale: float | None
    logit_bias: float
    dim: int

    def describe(self) -> dict[str, Any]:
        """Return a JSON-ready mapping of all fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Source:
    """What is read of each part of a pool.

    Attributes:
        layout: of the pool.
        keys: names of the arrays of image and text; empty where there are none.
        carried: name and type (float32 or float64) of the columns that go into the scores as they
            are; the same in every part.
        wanted: `input.columns`.
        model: of the embeddings; None where there are none.
    """

    layout: Layout
    keys: tuple[str, ...]
    carried: Carried
    wanted: tuple[str, ...]
    model: Precomputed | None

    @property
    def carried_fields(self) -> tuple[pa.Field, ...]:
        """The carried columns as fields of the scores."""
        return tuple(pa.field(name, pa.type_for_alias(alias)) for name, alias in self.carried)

    def parts(self) -> dict[str, Any]:
        """What scores depend on of a pool; JSON-ready."""
        return {
            "layout": self.layout,
            "embedding_keys": list(self.keys),
            "carried": [list(pair) for pair in self.carried],
            "weights": None if self.model is None else self.model.fingerprint,
        }


def find_source(parts: Sequence[Part], config: Config) -> Source:
    """Look at the first part that can be read, and settle what is read of all of them.

    Raises:
        ConfigError: it lacks the arrays or columns that are asked for, or what it takes to tell
            pairs apart.
        ShardError: no part can be read; the message is that of the first.
    """
    first: ShardError | None = None
    for part in parts:
        try:
            return _source(part, config)
        except ShardError as exc:
            first = first or exc
    raise ShardError(f"no part of the pool can be read; the first error: {first}") from first


def _source(part: Part, config: Config) -> Source:
    layout, wanted = part.layout, config.input.columns
    field = METADATA_FIELD if layout == "metadata" else EMBEDDINGS_FIELD
    with opened_parquet(part.url) as file:
        schema = file.schema_arrow
    try:
        columns = plan_columns(schema, layout, wanted)
    except ShardError as exc:
        raise ConfigError(f"{field}: {part.url}: {exc}") from exc
    keys: tuple[str, ...] = ()
    if layout == "clip-retrieval":
        if config.input.embedding_keys is not None:
            raise ConfigError(
                "input.embedding_keys names arrays of npz files, which a clip-retrieval folder has"
                " none of; remove it"
            )
        keys = CLIP_RETRIEVAL
    elif layout != "metadata":
        keys = _keys(part, config)
    model = _model(part, keys, config) if keys else None
    return Source(layout, keys, columns.carried, wanted, model)


def _keys(part: Part, config: Config) -> tuple[str, ...]:
    chosen, (url,) = config.input.embedding_keys, part.arrays
    there = npz_keys(url)
    if chosen is not None:
        keys = (chosen.image, chosen.text)
    elif part.layout == "run":
        keys = RUN_KEYS
    else:
        # Half of a pair is a damaged file, not a pool without that model.
        pairs = [pair for pair in DATACOMP_KEYS if set(pair) & set(there)]
        keys = pairs[0] if pairs else DATACOMP_KEYS[0]
    if missing := [key for key in keys if key not in there]:
        raise ConfigError(
            f"{EMBEDDINGS_FIELD}: {url} holds no array {missing[0]!r}, but"
            f" {', '.join(there) or 'none'}; name those of image and text in input.embedding_keys"
        )
    return keys


def _model(part: Part, keys: tuple[str, ...], config: Config) -> Precomputed:
    dim = _width(part, keys)
    link = config.model.link
    if part.layout == "run" and (told := _told_by_run(part)) is not None:
        return Precomputed(
            name=str(told["name"]),
            fingerprint=str(told["fingerprint"]),
            link=told["link"] if link == "auto" else link,
            logit_scale=told["logit_scale"],
            logit_bias=float(told["logit_bias"]),
            dim=dim,
        )
    identity = json_bytes([part.layout, list(keys), dim])
    return Precomputed(
        name=f"precomputed:{','.join(keys)}",
        fingerprint=hashlib.sha256(identity).hexdigest(),
        link="softmax" if link == "auto" else link,
        logit_scale=OPENAI_SCALE if keys in DATACOMP_KEYS else None,
        logit_bias=0.0,
        dim=dim,
    )


def _width(part: Part, keys: tuple[str, ...]) -> int:
    if part.layout == "clip-retrieval":
        with open_npy(part.arrays[0]) as (array, _):
            return array.header.width
    try:
        with open_npz(part.arrays[0], keys) as (arrays, _):
            return arrays[0].header.width
    except MissingArrayError as exc:  # listed a moment ago
        raise ShardError(f"{exc}; it changed while it was read") from exc


def _told_by_run(part: Part) -> dict[str, Any] | None:
    """What a run directory says of its model, in run.json or with its Reference; None if not."""
    store = Store(posixpath.dirname(posixpath.dirname(part.url)))
    fields = {"name", "fingerprint", "link", "logit_scale", "logit_bias"}
    for name in ("run.json", "reference/reference.json"):
        try:
            found = store.read_json(name)
        except (FileNotFoundError, OutputError):
            continue  # a folder of scores and embeddings is enough; what is missing is then unknown
        told = found.get("model") if isinstance(found, dict) else None
        if isinstance(told, dict) and fields <= set(told):
            return told
    return None
