"""What scoring holds beside the model: the Reference, and what the listed scores need besides.

Read once per run and shipped to whatever computes; nothing here knows about Ray.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from curate.config import BaselinesConfig, Config
from curate.outputs import Store
from curate.reference import Reference, SampleEmbeddings
from curate.reference_files import load, load_sample
from curate.schema import EXACT_COLUMNS, NEG_CLIP_LOSS, TARGET_COLUMNS
from curate.scorer import Scorer
from curate.targets import Target, target_of


@dataclass(frozen=True, slots=True)
class Held:
    """A Reference with what the listed scores are taken against.

    Attributes:
        reference: fitted.
        sample: its sample, where a score is taken against it.
        target: of VAS and NormSim, where one of these is listed.
        costly: the listed scores that cost extra.
        baselines: how those of other methods are computed.
    """

    reference: Reference
    sample: SampleEmbeddings | None = None
    target: Target | None = None
    costly: tuple[str, ...] = ()
    baselines: BaselinesConfig = field(default_factory=BaselinesConfig)

    def scorer(self, device: torch.device | str) -> Scorer:
        """Build the scorer on a device. Raises ReferenceFileError if something is missing."""
        return Scorer(self.reference, device, self.costly, self.sample)


def read_held(store: Store, folder: str, config: Config) -> Held:
    """Read a Reference, and of its sample and the target what the listed scores need.

    Raises:
        ReferenceFileError: one of them is missing or damaged.
    """
    reference = load(store, folder)
    costly = set(config.costly_scores)
    sample = None
    own_target = bool(costly & set(TARGET_COLUMNS)) and config.baselines.target is None
    if costly & {*EXACT_COLUMNS, NEG_CLIP_LOSS} or own_target:
        sample = load_sample(store, folder, reference)
    target = None
    if own_target and sample is not None:
        target = target_of(sample.image, sample.text, members=True)
    return Held(reference, sample, target, config.costly_scores, config.baselines)
