"""Embedding a few samples with the model of their run, on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.config import Config
from curate.encoder import Encoder
from curate.explaining.contents import Embedding
from curate.in_process import InProcess, batch_plan
from curate.reference import Reference, check_model
from curate.samples import Sample
from curate.schema import OK
from curate.scoring import score_samples


def embed(
    samples: Sequence[Sample], config: Config, reference: Reference
) -> list[Embedding | None]:
    """Embed samples; None for one that cannot be decoded or has no direction.

    Args:
        samples: at least one.
        config: of the run. Its device may be one that this machine lacks, and compiling takes
            longer than a few samples do: both change values by rounding only.
        reference: of the run.

    Raises:
        ModelError: the model cannot be loaded.
        ReferenceFileError: its weights are not those of the Reference.
    """
    model = config.model.model_copy(update={"device": "auto", "compile": False})
    encoder = Encoder(model)
    check_model(reference, encoder.info)
    plan = batch_plan(encoder, config.limits.image_pixels)
    rows = score_samples(samples, "explain", plan, InProcess(encoder))
    statuses = rows.to_table()["status"].to_pylist()
    image, text = rows.embeddings(np.float32)
    return [(image[at], text[at]) if status == OK else None for at, status in enumerate(statuses)]
