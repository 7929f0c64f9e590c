"""What `curate paper` embeds: which model on which shards, and in which run directory.

Each combination is an ordinary run of `curate fit`, whose sample is what the studies work on: a
fit that is there is not made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from curate.config import Config, ModelConfig, Places, ReferenceConfig, Rules
from curate.errors import ConfigError
from curate.outputs import Store
from curate.paper.pairs import Pool
from curate.paper.sample import Labelled, PaperSample, load_sample
from curate.samples import SamplePolicy
from curate.schema import SCORE_COLUMNS
from curate.workspace import listed

Fit = Callable[[Config], Any]
"""`commands.run_fit`: embeds a sample and leaves it in the run directory of a configuration."""

MAIN: Final = "main"
ALL_PAIRS: Final = 10**9
"""As many samples as any pool for studies has: labelled pairs are all taken."""


@dataclass(frozen=True)
class Inputs:
    """A configuration whose models can be embedded.

    Attributes:
        config: of the whole.
        fit: runs one fit.
    """

    config: Config
    fit: Fit

    def models(self) -> dict[str, ModelConfig]:
        """Name in the report -> model, main first."""
        paper = self.config.paper
        trained = {"unnormalised": paper.unnormalised, "normalised": paper.normalised}
        further = {name: model for name, model in trained.items() if model is not None}
        return {MAIN: self.config.model, **paper.compare, **further}

    def folder(self, name: str) -> str:
        """Where a model's runs lie: models that are configured alike share one."""
        models = self.models()
        return next(other for other in models if models[other] == models[name])

    def main_pool(self) -> Pool:
        """The shards that the sample is taken from."""
        spec = self.config.reference.shards
        return self._pool(self.config.input.shards if spec is None else spec)

    def sample(self, name: str) -> PaperSample:
        """The sample of the main pool, embedded by a model."""
        return self._embed(name, f"models/{self.folder(name)}", {})

    def visual_genome(self, name: str) -> tuple[PaperSample, Pool] | None:
        """A sample of Visual Genome's images, embedded by a model; None where not configured."""
        settings = self.config.paper.visual_genome
        if settings is None:
            return None
        shards = {"shards": settings.shards}
        sample = self._embed(name, f"models/{self.folder(name)}-visual-genome", shards)
        return sample, self._pool(settings.shards)

    def labelled(self, name: str) -> Labelled | None:
        """All labelled pairs, embedded by a model; None where not configured.

        Raises:
            ConfigError: no pair carries the field, or none has a label that is looked for.
        """
        settings = self.config.paper.labelled
        if settings is None:
            return None
        shards = {"shards": settings.shards, "samples": ALL_PAIRS}
        sample = self._embed(name, f"models/{self.folder(name)}-labelled", shards)
        labels = self._pool(settings.shards).metadata(sample.table, settings.field)
        is_bad_image = np.array([label == settings.image for label in labels])
        is_bad_text = np.array([label == settings.text for label in labels])
        if not (is_bad_image.any() and is_bad_text.any()):
            raise ConfigError(
                f"paper.labelled: no pair of {settings.shards!r} has {settings.field!r}"
                f" {settings.image!r} (image) or {settings.text!r} (text); name the json's field"
                " and its values"
            )
        return Labelled(sample, is_bad_image, is_bad_text)

    def _embed(self, name: str, folder: str, reference: dict[str, Any]) -> PaperSample:
        run_dir = f"{self.config.output.run_dir.rstrip('/')}/{folder}"
        # What a sample holds depends on none of these; at their defaults, changing them in the
        # configuration does not ask for another fit.
        fixed = ReferenceConfig().model_dump(exclude={"path", "shards", "samples", "seed"})
        config = self.config
        config = config.model_copy(
            update={
                "model": self.models()[name],
                "reference": config.reference.model_copy(update=fixed | reference),
                "scores": SCORE_COLUMNS,
                "rules": Rules(all=()),
                "output": config.output.model_copy(update={"run_dir": run_dir}),
            }
        )
        self.fit(config)
        return load_sample(Store(run_dir), name)

    def _pool(self, spec: Places | None) -> Pool:
        limits = self.config.limits
        policy = SamplePolicy(
            image_pixels=limits.image_pixels,
            caption_bytes=limits.caption_bytes,
            member_bytes=limits.member_bytes,
            verify_sha256=self.config.input.verify_sha256,
        )
        return Pool(listed(spec), policy)


def check(config: Config) -> None:
    """Refuse what would fail only after hours of embedding.

    Raises:
        ConfigError: a part of the configuration cannot work, or its shards are not there.
    """
    if config.reference.path is not None:
        raise ConfigError(
            f"reference.path={config.reference.path!r}: curate paper needs the embeddings of a"
            " sample, which it takes itself; remove the setting"
        )
    specs = [config.input.shards, config.reference.shards]
    specs += [part.shards for part in (config.paper.labelled, config.paper.visual_genome) if part]
    for spec in specs:
        if spec is not None:
            listed(spec)
