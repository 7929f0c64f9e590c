"""Pictures and captions to scores, a batch at a time: in a loop, in `datasets`, in Ray Data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
import pyarrow as pa

from curate.api.model import Model, load_model
from curate.api.pairs import without_places
from curate.api.reference import Reference
from curate.errors import ConfigError
from curate.reference import check_model


class Scorer:
    """Scores pairs with a model and a Reference, as `curate score` does.

    A pair that cannot be used has a `status` that says why, and no scores; it never ends a batch.
    Pickled, the model is its name: hand names to `Dataset.map_batches`, and every actor loads its
    own.

    Args:
        model: loaded, or the name of one as `load_model` takes it.
        reference: fitted, or where it is saved.
        scores: those that cost more, to be computed as well.
        image: column of a batch that holds the pictures.
        text: column of a batch that holds the captions.
        keep: columns of a batch that are returned beside the scores: `datasets` keeps all by
            itself, Ray Data none.
        batch_size: pairs through the model at once; see `Model.embed`.

    Raises:
        ModelError: the model cannot be loaded.
        ReferenceFileError: the Reference cannot be read, is of another model, or lacks what a
            listed score needs.
        ConfigError: a listed score is unknown.
    """

    def __init__(
        self,
        model: Model | str = "embedded",
        reference: Reference | str | PathLike[str] = "reference",
        *,
        scores: Sequence[str] = (),
        image: str = "image",
        text: str = "text",
        keep: Sequence[str] = (),
        batch_size: int | None = None,
    ) -> None:
        self._model = load_model(model) if isinstance(model, str) else model
        if not isinstance(reference, Reference):
            reference = Reference.load(fspath(reference))
        self._reference = reference
        self._named = {
            "scores": tuple(scores),
            "image": image,
            "text": text,
            "keep": tuple(keep),
            "batch_size": batch_size,
        }
        held = reference.held(scores)
        check_model(held.reference, self._model.info)
        self._costly = held.costly
        self._scorer = held.scorer(self._model.info.device)
        self._image, self._text, self._keep = image, text, tuple(keep)
        self._batch_size = batch_size

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self._model, self._reference, self._named)

    def score(self, images: Sequence[Any], texts: Sequence[str | None]) -> pa.Table:
        """Score pairs.

        Args:
            images: pictures, of any kind that `Model.embed` takes.
            texts: captions, row by row.

        Returns:
            One row per pair: `status`, `error`, the scores, float32, and what is known without a
            model (`width`, `caption_words`, ...). Null where a pair was rejected.

        Raises:
            ValueError: there are more images than texts, or fewer.
            TypeError: something is no image or no text at all.
        """
        rows = self._model.score(images, texts, self._scorer, self._costly, self._batch_size)
        return without_places(rows.to_table())

    def __call__(self, batch: Any) -> Any:
        """Score a batch of columns, for `map` and `map_batches`.

        Args:
            batch: a mapping of columns (`datasets`; Ray Data with numpy), or an Arrow table.

        Returns:
            The columns of `score`, and those to be kept: an Arrow table, or a mapping in which
            every number is float32, NaN where it is missing, and an `error` that is missing is
            empty. So the types are the same in every batch, whatever is rejected there.

        Raises:
            ConfigError: the batch lacks a column.
        """
        names = batch.column_names if isinstance(batch, pa.Table) else list(batch)
        for name in (self._image, self._text, *self._keep):
            if name not in names:
                raise ConfigError(
                    f"curate.Scorer: the batch has no column {name!r}, but {', '.join(names)}; name"
                    " those of pictures and captions with image= and text="
                )
        if isinstance(batch, pa.Table):
            images, texts = (batch[n].to_pylist() for n in (self._image, self._text))
            table = self.score(images, texts)
            for name in self._keep:
                table = table.append_column(batch.schema.field(name), batch[name])
            return table
        images, texts = list(batch[self._image]), list(batch[self._text])
        kept = {name: batch[name] for name in self._keep}
        return kept | _columns(self.score(images, texts))


def _rebuilt(
    kind: type[Scorer], model: Model, reference: Reference, named: Mapping[str, Any]
) -> Scorer:
    return kind(model, reference, **named)


def _columns(table: pa.Table) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_string(column.type):
            found[name] = [text or "" for text in column.to_pylist()]
        else:
            found[name] = column.cast(pa.float32()).to_numpy().astype(np.float32)
    return found
