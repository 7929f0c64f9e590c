"""Scoring one shard: rows in order whatever the batches, outputs checked, pictures let go."""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from factories import jpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import LocalClient, fit_locally, plan_of

from curate import scoring
from curate.config import ReferenceConfig
from curate.encoder import Encoder
from curate.errors import AccountingError
from curate.pixels import PixelSpec
from curate.reference import fit
from curate.samples import Rejection, Sample
from curate.schema import IMAGE_NORM, OK, SCORE_COLUMNS, SCORES_SCHEMA, TEXT_NORM
from curate.scorer import Scorer
from curate.scoring import BatchPlan, ModelOutput, ShardScores, embeddings_to_bytes, score_samples

PICTURES = [jpeg(40, 40, seed=i) for i in range(4)]
SPEC = PixelSpec((8, 8))


def sample(index: int, **fields: Any) -> Sample:
    values = {
        "key": f"{index:05d}",
        "uid": f"{index:032x}",
        "uid_derived": False,
        "image": PICTURES[index % 4],
        "caption": f"caption number {index}",
        "metadata": {},
        "tar_offset": 1024 * index,
        "tar_size": 1024,
    }
    return Sample(index, **(values | fields))


def rejection(index: int) -> Rejection:
    return Rejection(index, f"{index:05d}", f"{index:032x}", True, "missing_text", "x", 0, 512)


def tokenize(captions: Sequence[str]) -> Any:
    return np.array([[int(c.split()[-1])] for c in captions], dtype=np.int32)


def plan(batch_size: int = 3, depth: int = 2) -> BatchPlan:
    return BatchPlan(SPEC, tokenize, 10**6, batch_size, depth)


class Echo:
    """A client whose scores are the caption's number; it records what was in flight."""

    def __init__(self, columns: Sequence[str] = SCORE_COLUMNS, embeds: bool = True) -> None:
        self.columns, self.embeds = columns, embeds
        self.sizes: list[int] = []
        self.waiting = self.most = 0

    def submit(self, pixels: Any, tokens: Any) -> Any:
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (8, 8, 3)
        assert len(pixels) == len(tokens)
        self.sizes.append(len(pixels))
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return tokens[:, 0].astype(np.float32)

    def collect(self, handle: Any) -> ModelOutput:
        self.waiting -= 1
        scores = {name: handle + at / 16 for at, name in enumerate(self.columns)}
        vectors = handle[:, None] * np.ones(2, np.float32)
        return ModelOutput(
            scores, vectors if self.embeds else None, -vectors if self.embeds else None
        )


kinds = st.lists(st.sampled_from(["good", "rejected", "undecodable"]), max_size=25)


def items_of(kinds: Sequence[str]) -> list[Sample | Rejection]:
    made: list[Sample | Rejection] = []
    for index, kind in enumerate(kinds):
        if kind == "rejected":
            made.append(rejection(index))
        else:
            made.append(sample(index, **({"image": b"junk"} if kind != "good" else {})))
    return made


@settings(max_examples=60, deadline=None)
@given(kinds, st.integers(1, 9), st.integers(0, 4))
def test_rows_are_in_shard_order_for_any_batch_and_depth(
    kinds: list[str], batch_size: int, depth: int
) -> None:
    client, seen = Echo(), list[tuple[int, int]]()
    scores = score_samples(
        items_of(kinds),
        "s",
        plan(batch_size, depth),
        client,
        lambda output, read, rejected: seen.append((read, rejected)),
    )
    table = scores.to_table()
    good = [i for i, kind in enumerate(kinds) if kind == "good"]
    assert table.schema.equals(SCORES_SCHEMA, check_metadata=True)
    assert table["index"].to_pylist() == list(range(len(kinds)))
    assert table["key"].to_pylist() == [f"{i:05d}" for i in range(len(kinds))]
    status = {"good": OK, "rejected": "missing_text", "undecodable": "undecodable_image"}
    assert table["status"].to_pylist() == [status[kind] for kind in kinds]
    for at, name in enumerate(SCORE_COLUMNS):
        want = [i + at / 16 if i in good else None for i in range(len(kinds))]
        assert table[name].to_pylist() == want
    assert table["caption_words"].to_pylist() == [
        3 if i in good else None for i in range(len(kinds))
    ]
    assert client.sizes == [batch_size] * (len(good) // batch_size) + (
        [len(good) % batch_size] if len(good) % batch_size else []
    )
    assert client.waiting == 0
    assert client.most <= depth + 1
    assert sum(read for read, _ in seen) == len(kinds)
    assert sum(rejected for _, rejected in seen) == len(kinds) - len(good)
    counts = scores.counts()
    assert (counts.read, counts.scored) == (len(kinds), len(good))
    image, text = scores.embeddings(np.float32)
    assert image.shape == text.shape == (len(kinds), 2 if good else 0)
    if good:
        assert np.array_equal(np.isfinite(image[:, 0]), [kind == "good" for kind in kinds])
        assert np.array_equal(image[good, 0], np.array(good, np.float32))


def test_the_batch_changes_scores_by_rounding_only(tiny_encoder: Encoder) -> None:
    items = [sample(i, image=jpeg(30 + i, 50 - i, seed=i)) for i in range(11)]
    scored = {}
    reference = None
    for batch_size, depth in ((1, 0), (4, 3), (11, 1)):
        batches = plan_of(tiny_encoder, batch_size, depth)
        if reference is None:
            found = score_samples(items, "s", batches, LocalClient(tiny_encoder))
            reference = scoring_reference(tiny_encoder, found)
        client = LocalClient(tiny_encoder, reference)
        scored[batch_size] = score_samples(items, "s", batches, client).to_table()
    for name in SCORE_COLUMNS:
        columns = [table[name].to_numpy() for table in scored.values()]
        for column in columns[1:]:
            np.testing.assert_allclose(column, columns[0], rtol=2e-5, atol=1e-6)


def scoring_reference(encoder: Encoder, found: ShardScores) -> Scorer:
    return Scorer(fit(*found.embeddings(np.float32), ReferenceConfig(), encoder.info)[0])


# --- what a model may return ----------------------------------------------------------------


class Faulty(Echo):
    """Returns whatever `break_` makes of a good output."""

    def __init__(self, break_: Any) -> None:
        super().__init__()
        self.break_ = break_

    def collect(self, handle: Any) -> ModelOutput:
        return self.break_(super().collect(handle))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", SCORE_COLUMNS)
def test_what_is_not_finite_rejects_its_own_row_alone(value: float, column: str) -> None:
    def break_(output: ModelOutput) -> ModelOutput:
        scores = {name: values.copy() for name, values in output.scores.items()}
        scores[column][scores[SCORE_COLUMNS[0]] == 4] = value
        return replace(output, scores=scores)

    scores = score_samples([sample(i) for i in range(7)], "s", plan(), Faulty(break_))
    table = scores.to_table()
    assert table["status"].to_pylist() == [
        "nonfinite_embedding" if i == 4 else OK for i in range(7)
    ]
    assert table[column].to_pylist()[4] is None
    assert table["width"].to_pylist()[4] == 40
    assert scores.counts().rejected == {"nonfinite_embedding": 1}
    assert np.isnan(scores.embeddings(np.float32)[0][4]).all()


@pytest.mark.parametrize("column", [IMAGE_NORM, TEXT_NORM])
def test_a_zero_vector_rejects_its_own_row_alone(column: str) -> None:
    def break_(output: ModelOutput) -> ModelOutput:
        scores = {name: values.copy() for name, values in output.scores.items()}
        scores[column][scores[SCORE_COLUMNS[0]] == 4] = 0
        return replace(output, scores=scores)

    scores = score_samples([sample(i) for i in range(7)], "s", plan(), Faulty(break_))
    table = scores.to_table()
    assert table["status"].to_pylist() == ["zero_embedding" if i == 4 else OK for i in range(7)]
    assert "no direction" in table["error"].to_pylist()[4]
    assert table["image_informativeness"].to_pylist()[4] is None


BROKEN = {
    "a score short": lambda o: replace(o, scores={n: v[:-1] for n, v in o.scores.items()}),
    "a score long": lambda o: replace(o, scores={n: np.append(v, 0) for n, v in o.scores.items()}),
    "no score": lambda o: replace(o, scores={n: v[:0] for n, v in o.scores.items()}),
    "images short": lambda o: replace(o, image=o.image[:-1]),
    "texts long": lambda o: replace(o, text=np.concatenate([o.text, o.text])),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_outputs_of_another_length_are_an_accounting_error(kind: str) -> None:
    with pytest.raises(AccountingError, match="pairs were sent"):
        score_samples([sample(i) for i in range(5)], "s", plan(), Faulty(BROKEN[kind]))


def test_a_row_without_a_result_is_an_accounting_error() -> None:
    scores = ShardScores("00007")
    scores.accept(sample(0), (1, 1))
    with pytest.raises(AccountingError, match=r"00007.*\[0\]"):
        scores.to_table()


def test_an_unknown_status_is_an_accounting_error() -> None:
    scores = ShardScores("s")
    scores.reject(rejection(0), "boredom", "x")
    with pytest.raises(AccountingError, match="boredom"):
        scores.counts()


def test_an_error_of_the_model_ends_the_shard() -> None:
    class Broken(Echo):
        def collect(self, handle: Any) -> ModelOutput:
            raise ConnectionError("the embedder died")

    with pytest.raises(ConnectionError):
        score_samples([sample(i) for i in range(5)], "s", plan(), Broken())


def test_no_samples_make_an_empty_table() -> None:
    client = Echo()
    scores = score_samples([], "s", plan(), client)
    assert scores.to_table().num_rows == 0
    assert scores.to_table().schema == SCORES_SCHEMA
    assert client.sizes == []
    assert scores.embeddings(np.float16)[0].shape == (0, 0)


@pytest.mark.parametrize("columns", [(), SCORE_COLUMNS[:2]])
def test_columns_that_were_not_asked_for_are_null(columns: tuple[str, ...]) -> None:
    table = score_samples([sample(0)], "s", plan(), Echo(columns)).to_table()
    for at, name in enumerate(SCORE_COLUMNS):
        assert table[name].to_pylist() == [at / 16 if name in columns else None]


def test_the_language_of_scored_captions_is_told_where_they_are_read() -> None:
    items = [
        sample(0, caption="A photo of two dogs in the park number 0"),
        sample(1, caption="Собака играет в парке номер 1"),
        rejection(2),
        sample(3, image=b"junk"),
        sample(4, caption="A photo of a red car in the street 4"),
    ]
    asked = replace(plan(), costly=("caption_english",))

    def spoil(output: ModelOutput) -> ModelOutput:
        for values in output.scores.values():
            values[-1] = np.nan
        return output

    told = score_samples(items, "s", asked, Echo()).to_table()
    assert told["caption_english"].to_pylist() == [1, 0, None, None, 1]
    faulty = score_samples(items, "s", asked, Faulty(spoil)).to_table()
    assert faulty["status"].to_pylist()[4] == "nonfinite_embedding"
    assert faulty["caption_english"].to_pylist() == [1, 0, None, None, None]
    plain = score_samples(items, "s", plan(), Echo()).to_table()
    assert "caption_english" not in plain.column_names


# --- memory ---------------------------------------------------------------------------------


class Metadata(dict[str, Any]):
    """A dict that a weak reference may point at."""


class Frame(np.ndarray[Any, Any]):
    """An array that stands for one picture's pixels."""


def test_pictures_are_let_go_as_the_shard_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    samples: list[weakref.ref[Metadata]] = []
    frames: list[weakref.ref[Frame]] = []
    most = 0
    real = scoring.to_pixels

    def alive(references: Sequence[weakref.ref[Any]]) -> int:
        return sum(reference() is not None for reference in references)

    def spy(image: Any, spec: PixelSpec, size: tuple[int, int]) -> Any:
        frame = real(image, spec, size).view(Frame)
        frames.append(weakref.ref(frame))
        return frame

    def stream() -> Iterator[Sample]:
        nonlocal most
        for index in range(60):
            metadata = Metadata()
            samples.append(weakref.ref(metadata))
            yield sample(index, metadata=metadata)
            most = max(most, alive(samples), alive(frames))

    monkeypatch.setattr(scoring, "to_pixels", spy)
    scores = score_samples(stream(), "s", plan(batch_size=4, depth=2), Echo(embeds=False))
    assert scores.counts().read == 60
    assert most <= 6  # one batch, the item at hand and the one before it
    assert alive(samples) + alive(frames) == 0


# --- embeddings -----------------------------------------------------------------------------


def test_embeddings_are_saved_row_by_row_in_half_precision() -> None:
    scores = score_samples(items_of(["good", "rejected", "good"]), "s", plan(), Echo())
    keys = scores.to_table()["key"].to_pylist()
    data = embeddings_to_bytes(scores, keys)
    assert data == embeddings_to_bytes(scores, keys)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert arrays["key"].tolist() == ["00000", "00001", "00002"]
        assert arrays["image"].dtype == arrays["text"].dtype == np.float16
        assert arrays["image"][2].tolist() == [2, 2]
        assert np.isnan(arrays["text"][1]).all()


def test_fitting_and_scoring_agree(tiny_encoder: Encoder, pristine_run: Any) -> None:
    again, sample_ = fit_locally(tiny_encoder, pristine_run.shards)
    assert again.identity == pristine_run.reference.identity
    assert sample_.table.equals(pristine_run.sample.table)
