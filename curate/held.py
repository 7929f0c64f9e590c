"""What scoring holds beside the model: the Reference, and what the listed scores need besides.

Read once per run and shipped to whatever computes; nothing here knows about Ray.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch

from curate.config import BaselinesConfig, Config
from curate.outputs import Store
from curate.reference import Reference, Sample, SampleEmbeddings
from curate.reference_files import SAMPLE_CHECKSUM, load, load_sample
from curate.schema import (
    BASELINE_COLUMNS,
    CROSS_VAS,
    EXACT_COLUMNS,
    NEG_CLIP_LOSS,
    NORMSIM_INF,
    SAMPLED_CAPTION,
    SCORE_COLUMNS,
    TARGET_COLUMNS,
    TEXT_VAS,
    scores_schema,
)
from curate.scorer import Scorer
from curate.targets import CHECKSUM, Needs, Target, held_target, target_description, target_of


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
        """Build the scorer on a device.

        Raises:
            ReferenceFileError, TargetError: what a listed score needs is missing or does not fit.
        """
        return Scorer(self.reference, device, self.costly, self.sample, self.target, self.baselines)


def hold(
    store: Store,
    folder: str,
    config: Config,
    reference: Reference,
    sample: SampleEmbeddings | None,
) -> Held:
    """Put a Reference and its sample together with the target that the listed scores ask for.

    Args:
        store, folder: where the Reference is, or will be: the run's copy of its target is read
            there, and written the first time.
        config: of the run.
        reference: fitted.
        sample: what it was fitted on; None where no score asks for it.

    Raises:
        TargetError: the target is missing, damaged or does not fit.
        RunDirError: the run's copy is of another target.
    """
    costly, baselines = config.costly_scores, config.baselines
    if baselines.target is None or not set(costly) & set(TARGET_COLUMNS):
        return hold_sample(reference, sample, costly, baselines)
    target = held_target(store, folder, baselines, len(reference.image.mean), _needs(costly))
    return Held(reference, sample, target, costly, baselines)


def hold_sample(
    reference: Reference,
    sample: SampleEmbeddings | None,
    costly: tuple[str, ...],
    baselines: BaselinesConfig | None = None,
) -> Held:
    """Put a Reference together with its sample, which is the target of the listed scores too."""
    target = None
    if set(costly) & set(TARGET_COLUMNS) and sample is not None:
        needs = _needs(costly)
        text = sample.text if needs.texts else None
        target = target_of(sample.image, text, members=needs.members)
    return Held(reference, sample, target, costly, baselines or BaselinesConfig())


def _needs(costly: Collection[str]) -> Needs:
    return Needs(texts=bool({TEXT_VAS, CROSS_VAS} & set(costly)), members=NORMSIM_INF in costly)


def read_held(store: Store, folder: str, config: Config) -> Held:
    """Read a Reference, and of its sample and the target what the listed scores need.

    Raises:
        ReferenceFileError, TargetError: one of them is missing or damaged.
        RunDirError: the run's copy of the target is of another one.
    """
    reference = load(store, folder)
    sample = load_sample(store, folder, reference) if needs_sample(config) else None
    return hold(store, folder, config, reference, sample)


def needs_sample(config: Config) -> bool:
    """Whether a listed score is taken against the embeddings of the Reference's sample."""
    costly = set(config.costly_scores)
    target = config.baselines.target is None and bool(costly & set(TARGET_COLUMNS))
    return target or bool(costly & {*EXACT_COLUMNS, NEG_CLIP_LOSS})


def baseline_parts(store: Store, folder: str, held: Held) -> dict[str, Any]:
    """What scores of other methods depend on beside the configuration; JSON-ready.

    Nothing where none is listed, so that other runs keep the identity of their scores.
    """
    if not set(held.costly) & set(BASELINE_COLUMNS):
        return {}
    parts: dict[str, Any] = {}
    if held.sample is not None:
        parts[SAMPLE_CHECKSUM] = held.reference.description.get(SAMPLE_CHECKSUM)
    described = target_description(store, folder)
    if held.baselines.target is not None and described is not None:
        parts["target_sha256"] = described.get(CHECKSUM)
    return parts


def score_sample(held: Held, embeddings: SampleEmbeddings, table: pa.Table) -> Sample:
    """Fill the score columns of a sample's table with what its Reference says.

    Args:
        held: a Reference that was fitted on the embeddings, and the listed scores.
        embeddings: of the pairs.
        table: their rows, with null scores, and perhaps their captions; what no embedding tells is
            there already.
    """
    scores = held.scorer("cpu")(
        torch.from_numpy(embeddings.image), torch.from_numpy(embeddings.text)
    )
    columns = {name: table[name] for name in table.column_names}
    columns |= {name: pa.array(values.numpy()) for name, values in scores.items()}
    captions = columns.pop(SAMPLED_CAPTION, None)
    if captions is not None and captions.null_count == len(captions):
        captions = None
    own = {*scores_schema(columns).names, SAMPLED_CAPTION}
    carried = [column for column in table.schema if column.name not in own]
    located = "tar_offset" in columns
    schema = scores_schema((*SCORE_COLUMNS, *held.costly), carried, located=located)
    rows = pa.table({n: columns[n] for n in schema.names}, schema=schema)
    return Sample(embeddings, rows, captions)
