"""A configuration with its run directory: what the commands share, light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from curate.config import Config, Places, to_yaml
from curate.downloading.accounts import Downloaded
from curate.embedding_pools.layouts import (
    EMBEDDINGS_FIELD,
    METADATA_FIELD,
    Part,
    list_parts,
)
from curate.errors import ConfigError
from curate.image_subsets import ImageSubset
from curate.manifest import RunDir
from curate.outputs import Store
from curate.rules import needs_reference
from curate.schema import BASELINE_COLUMNS, CAPTION_ENGLISH, SCHEMA_VERSION
from curate.shards import Shard, list_shards
from curate.subsets import Subset
from curate.sweep.tables import SweepTables
from curate.thresholds import Threshold

REFERENCE_FOLDER: Final = "reference"
SAMPLE_SCORES: Final = "reference/sample_scores.parquet"
FIT_IDENTITY: Final = "reference/identity.json"
CONFIG: Final = "config.yaml"


@dataclass
class Outcome:
    """What a command did.

    Attributes:
        run_dir: where the outputs are.
        unreadable: shard -> error, of the shards that could not be read at all.
        seconds: stage -> wall time.
        subset: the selected subset, where there is one.
        images: what became of the subset's images, where the pool came without them.
        output_shards: filtered shards in place, where they were written.
        thresholds: what the Reference's sample says of the rules' fractions.
        fidelity: score -> R², slope and intercept of the exact Information Gain on it.
        sweep: what a sweep found.
        downloaded: what became of the URLs, where the configuration has a section `download`.
    """

    run_dir: str
    unreadable: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    subset: Subset | None = None
    images: ImageSubset | None = None
    output_shards: int | None = None
    thresholds: tuple[Threshold, ...] = ()
    fidelity: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sweep: SweepTables | None = None
    downloaded: Downloaded | None = None


@dataclass(frozen=True)
class Workspace:
    """A configuration with its run directory."""

    config: Config
    run: RunDir

    @property
    def store(self) -> Store:
        """The run directory as a store."""
        return self.run.store

    def write_config(self) -> None:
        """Leave the resolved configuration in the run directory."""
        self.store.write_if_changed(CONFIG, to_yaml(self.config).encode())


def open_workspace(config: Config) -> Workspace:
    """Open the run directory of a configuration; nothing is written yet."""
    return Workspace(config, RunDir(Store(config.output.run_dir)))


def listed(spec: Places | None) -> tuple[Shard, ...]:
    """The shards that a setting names. Raises ConfigError if there are none."""
    if spec is None:
        raise ConfigError("input.shards: this needs the images; name the shards that hold them")
    return list_shards(spec if isinstance(spec, str) else list(spec))


def listed_parts(config: Config) -> tuple[Part, ...]:
    """The parts of a pool of metadata, with or without embeddings.

    Raises:
        ConfigError: there are none, or something is asked of them that takes images or embeddings.
    """
    if config.output.save_embeddings:
        raise ConfigError(
            "output.save_embeddings: the embeddings of this pool are there already; remove it"
        )
    places, field = config.input.embeddings, EMBEDDINGS_FIELD
    if places is None:
        _check_metadata_suffices(config)
        places, field = config.input.metadata, METADATA_FIELD
    if places is None:
        raise ConfigError(f"{field}: this needs the metadata; name the folder that holds it")
    return list_parts(places if isinstance(places, str) else list(places), field)


def _check_metadata_suffices(config: Config) -> None:
    if lost := [name for name in config.costly_scores if name != CAPTION_ENGLISH]:
        raise ConfigError(
            f"scores: {', '.join(lost)} take embeddings; give input.embeddings in place of"
            " input.metadata"
        )
    if needs_reference(config.rules):
        raise ConfigError(
            "rules use `of: reference`, but a pool of metadata alone has no Reference; use"
            " `of: pool`, or give input.embeddings"
        )


def configured_parts(config: Config) -> dict[str, Any]:
    """What scores depend on, as far as the configuration tells; JSON-ready."""
    # Only where a score depends on them: other runs keep the identity of their scores.
    compared = bool(set(BASELINE_COLUMNS) & set(config.costly_scores))
    return {
        "schema": SCHEMA_VERSION,
        "costly_scores": list(config.costly_scores),
        **(_of_shards(config) if config.input.over_images else _of_metadata(config)),
        **({"baselines": config.baselines.model_dump(mode="json")} if compared else {}),
    }


def _of_shards(config: Config) -> dict[str, Any]:
    # Runs of versions that could not compile keep the identity of their scores.
    untold = {"device"} if config.model.compile else {"device", "compile"}
    return {
        "model": config.model.model_dump(exclude=untold, mode="json"),
        "reference": config.reference.model_dump(mode="json"),
        "limits": config.limits.model_dump(exclude={"tolerate_unreadable_shards"}),
        "verify_sha256": config.input.verify_sha256,
        "save_embeddings": config.output.save_embeddings,
    }


def _of_metadata(config: Config) -> dict[str, Any]:
    parts: dict[str, Any] = {"columns": sorted(config.input.columns)}
    if config.input.embeddings is None:
        return parts | {"pool": "metadata"}
    keys = config.input.embedding_keys
    return parts | {
        "pool": "embeddings",
        "keys": None if keys is None else keys.model_dump(),
        "link": config.model.link,
        "reference": config.reference.model_dump(mode="json"),
    }
