"""What embeddings say in terms of the Reference's sample: nearest pairs, and those that gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import ReferenceFileError
from curate.explaining.contents import Embedding
from curate.explaining.findings import Meaning, Neighbour
from curate.numerics.gain_terms import GainTerms, gain_terms, largest
from curate.numerics.posterior import Posterior
from curate.outputs import Store
from curate.reference import Reference, SampleEmbeddings
from curate.reference_files import (
    SAMPLE_SCORES,
    load_sample,
    load_sample_captions,
    load_sample_table,
)
from curate.schema import CAPTIONS_SCHEMA

AT_ONCE: Final = 16
"""Queries whose posterior over the sample is held at once: 10,000 numbers each, a few times."""


@dataclass(frozen=True)
class Labels:
    """How the pairs of a sample are called; None where that was not kept."""

    shards: Sequence[str] | None
    keys: Sequence[str] | None
    captions: Sequence[str | None] | None

    def at(self, row: int) -> dict[str, Any]:
        """Shard, key and caption of a pair."""
        return {
            "shard": None if self.shards is None else self.shards[row],
            "key": None if self.keys is None else self.keys[row],
            "caption": None if self.captions is None else self.captions[row],
        }


@dataclass(frozen=True)
class Neighbourhood:
    """The sample of a Reference, and its labels.

    Attributes:
        sample: embeddings and priors.
        posterior: the Reference's link.
        labels: of the pairs.
        notes: what of the labels is missing, and why.
    """

    sample: SampleEmbeddings
    posterior: Posterior
    labels: Labels
    notes: tuple[str, ...]

    def of_images(self, embeddings: Sequence[Embedding], count: int) -> list[Meaning]:
        """What images mean, in texts."""
        queries = np.stack([image for image, _ in embeddings])
        return self._of(queries, self.sample.text, self.sample.text_weights, count)

    def of_texts(self, embeddings: Sequence[Embedding], count: int) -> list[Meaning]:
        """What texts mean, in images."""
        queries = np.stack([text for _, text in embeddings])
        return self._of(queries, self.sample.image, self.sample.image_weights, count)

    def _of(
        self,
        queries: npt.NDArray[np.float32],
        candidates: npt.NDArray[np.float32],
        prior: npt.NDArray[np.float64],
        count: int,
    ) -> list[Meaning]:
        found = []
        for first in range(0, len(queries), AT_ONCE):
            terms = gain_terms(queries[first : first + AT_ONCE], candidates, prior, self.posterior)
            found += [self._meaning(terms, row, count) for row in range(len(terms.terms))]
        return found

    def _meaning(self, terms: GainTerms, row: int, count: int) -> Meaning:
        def neighbours(values: npt.NDArray[np.float64]) -> tuple[Neighbour, ...]:
            return tuple(
                Neighbour(
                    row=at,
                    **self.labels.at(at),
                    cosine=float(terms.cosine[row, at]),
                    posterior=float(terms.posterior[row, at]),
                    prior=float(terms.prior[at]),
                    term=float(terms.terms[row, at]),
                )
                for at in largest(values, count).tolist()
            )

        nearest, gaining = neighbours(terms.cosine[row]), neighbours(terms.terms[row])
        return Meaning(float(terms.gains[row]), nearest, gaining)


def neighbourhood(store: Store, folder: str, reference: Reference) -> Neighbourhood:
    """Read the sample of a Reference, and how its pairs are called.

    Raises:
        ReferenceFileError: the embeddings are missing, or something is damaged.
    """
    sample = load_sample(store, folder, reference)
    labels, notes = _labels(store, folder, reference, len(sample.text))
    return Neighbourhood(sample, reference.posterior, labels, notes)


def _labels(
    store: Store, folder: str, reference: Reference, rows: int
) -> tuple[Labels, tuple[str, ...]]:
    place = store.path(folder)
    table = load_sample_captions(store, folder, reference)
    if table is not None:
        return Labels(*(_column(table, name, rows, place) for name in CAPTIONS_SCHEMA.names)), ()
    if not store.exists(f"{folder}/{SAMPLE_SCORES}"):
        note = "the Reference keeps no keys of its sample: it was adopted without them"
        return Labels(None, None, None), (note,)
    table = load_sample_table(store, folder)
    shards, keys = (_column(table, name, rows, place) for name in ("shard", "key"))
    note = (
        "the Reference keeps no captions of its sample: it was fitted by an older version, or on a"
        " pool that tells none"
    )
    return Labels(shards, keys, None), (note,)


def _column(table: pa.Table, name: str, rows: int, place: str) -> list[Any]:
    if table.num_rows != rows:
        raise ReferenceFileError(
            f"{place}: {rows} embeddings and {table.num_rows} rows of the sample do not go"
            " together; fit the Reference again"
        )
    found: list[Any] = table[name].to_pylist()
    return found
