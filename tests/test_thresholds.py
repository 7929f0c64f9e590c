"""Thresholds of the Reference's sample: which there are, what is said of them, when to warn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from local_run import LocalRun
from pools import config_of

from curate import commands
from curate.config import Config, Rules
from curate.errors import NumericsError, ReferenceFileError
from curate.numerics.quantile_error import quantile_error
from curate.rules import build, describe
from curate.thresholds import Threshold, explain, fixed_by, sample_thresholds, warning
from curate.workspace import SAMPLE_SCORES


def rules(tree: Any) -> Rules:
    return Rules.model_validate(tree)


def sample(n: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "image_informativeness": rng.gamma(4, 0.001, n).astype(np.float32),
            "clip_score": rng.normal(0.3, 0.1, n).astype(np.float32),
            "caption_words": rng.integers(1, 30, n, dtype=np.int32),
            "text_informativeness": pa.nulls(n, pa.float32()),
        }
    )


def only(tree: Any, n: int) -> Threshold:
    (found,) = sample_thresholds(rules({"all": [tree]}), sample(n))
    return found


LOWEST = {"image_informativeness": {"drop_lowest": 0.05, "of": "reference"}}


def test_every_fraction_is_found_once_under_the_name_of_its_test() -> None:
    both = {"clip_score": {"drop_lowest": 0.3, "keep_highest": 0.9, "min": 0.1, "of": "reference"}}
    tree = rules({"any": [both, {"all": [LOWEST, both]}, {"caption_words": {"min": 3}}]})
    table = sample(500)
    found = sample_thresholds(tree, table)
    tests = {line["name"]: line["cut"] for line in describe(build(tree, {}, table))}
    assert [t.name for t in found] == [
        "clip_score.drop_lowest=0.3 of reference",
        "clip_score.keep_highest=0.9 of reference",
        "image_informativeness.drop_lowest=0.05 of reference",
    ]
    for threshold in found:
        assert threshold.error is not None
        assert threshold.error.value == tests[threshold.name]["value"]
    assert fixed_by(found) == found


def test_previews_are_not_fixed_by_the_sample() -> None:
    tree = rules({"all": [LOWEST, {"clip_score": {"drop_lowest": 0.3}}]})
    found = sample_thresholds(tree, sample(500))
    assert [t.of for t in found] == ["reference", "pool"]
    assert [t.column for t in fixed_by(found)] == ["image_informativeness"]
    assert sample_thresholds(rules({"all": [{"clip_score": {"min": 0.2}}]}), sample(9)) == ()


def test_a_sample_that_is_large_enough_gets_no_warning() -> None:
    assert warning(only(LOWEST, 1900)) is None
    text = warning(only(LOWEST, 1899))
    assert text is not None
    assert "image_informativeness.drop_lowest=0.05 of reference" in text
    assert "1,899 pairs" in text
    assert "reference.samples: at least 1900" in text


@pytest.mark.parametrize(
    ("fraction", "needed"), [({"drop_lowest": 0.99}, 9900), ({"keep_highest": 0.5}, 100)]
)
def test_the_smaller_part_counts(fraction: dict[str, float], needed: int) -> None:
    tree = {"clip_score": {**fraction, "of": "reference"}}
    assert f"at least {needed} " in str(warning(only(tree, needed - 1)))
    assert warning(only(tree, needed)) is None


def test_a_preview_is_never_warned_of_but_called_rough() -> None:
    rough = only({"clip_score": {"drop_lowest": 0.05}}, 100)
    good = only({"clip_score": {"drop_lowest": 0.05}}, 10_000)
    assert warning(rough) is None
    assert "a preview, a rough one: `of: pool` cuts exactly" in list(explain(rough))[-1]
    assert "a preview: `of: pool` cuts exactly" in list(explain(good))[-1]


def test_an_explanation_gives_cut_error_and_share() -> None:
    found = only(LOWEST, 10_000)
    values = sample(10_000)["image_informativeness"].to_numpy()
    error = quantile_error(values, 0.05, "drop_lowest")
    cut, share = explain(found)
    words = cut.split()
    assert words[:2] == ["cut", "at"]
    assert words[3:6] == ["nats,", "standard", "error"]
    assert float(words[2]) == pytest.approx(error.value, abs=error.standard_error / 10)
    assert float(words[6]) == pytest.approx(error.standard_error, rel=0.05)
    assert float(words[7].strip("(")) == pytest.approx(error.low, abs=error.standard_error / 10)
    assert float(words[9].strip(")")) == pytest.approx(error.high, abs=error.standard_error / 10)
    # sqrt(0.05 x 0.95 / 10,000) = 0.00218
    assert share.startswith("drops 5 % of such pairs, standard error 0.218 % (4.")


def test_what_a_sample_cannot_tell_is_said() -> None:
    beyond = only(LOWEST, 10)
    assert list(explain(beyond)) == [
        "drops nothing: the cut lies beyond all 10 pairs of the sample"
    ]
    assert "at least 1900" in str(warning(beyond))
    everything = only({"clip_score": {"keep_highest": 0.05, "of": "reference"}}, 10)
    assert "drops everything" in next(explain(everything))
    unbounded = only(LOWEST, 30)
    assert unbounded.error is not None
    assert unbounded.error.low == -math.inf
    assert "(no bound to " in next(explain(unbounded))
    words = only({"caption_words": {"keep_highest": 1.0, "of": "reference"}}, 10)
    assert "drops nothing" in next(explain(words))
    assert warning(words) is None


@pytest.mark.parametrize("column", ["text_informativeness", "image_norm"])
def test_a_column_that_the_sample_lacks_is_named(column: str) -> None:
    found = only({column: {"drop_lowest": 0.3, "of": "reference"}}, 30)
    assert found.error is None
    (told,) = explain(found)
    assert told == "unknown: the sample's scores lack this column, or some of its values"
    assert warning(found) is None


def test_equal_values_are_shown_plainly() -> None:
    table = pa.table({"width": pa.array([640] * 50, pa.int32())})
    tree = rules({"all": [{"width": {"drop_lowest": 0.5}}]})
    (found,) = sample_thresholds(tree, table)
    assert next(explain(found)) == "cut at 640 pixels, standard error 0 (640 to 640)"


def test_scores_that_are_not_finite_are_refused() -> None:
    table = pa.table({"clip_score": pa.array([0.1, math.inf], pa.float32())})
    with pytest.raises(NumericsError, match="finite"):
        sample_thresholds(rules({"all": [{"clip_score": {"drop_lowest": 0.5}}]}), table)


# --- in the commands --------------------------------------------------------------------------


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Reference is there already: fitting, which takes Ray, is left out."""
    monkeypatch.setattr("curate.pipeline.score_pool.fit_pool", lambda *arguments: None)


PREVIEW = {"clip_score": {"drop_lowest": 0.3}}


def config(run: LocalRun, *items: Any) -> Config:
    shards = [shard.url for shard in run.shards]
    return config_of("embedded", shards, run.folder, rules={"all": list(items)})


@pytest.mark.usefixtures("fitted")
def test_fit_tells_every_threshold(scored_run: LocalRun) -> None:
    found = commands.run_fit(config(scored_run, LOWEST, PREVIEW)).thresholds
    assert found == sample_thresholds(rules({"all": [LOWEST, PREVIEW]}), scored_run.sample.table)
    assert [t.error.n for t in found if t.error] == [scored_run.sample.table.num_rows] * 2
    assert commands.run_fit(config(scored_run)).thresholds == ()


@pytest.mark.usefixtures("fitted")
def test_only_a_preview_can_do_without_the_sample(scored_run: LocalRun) -> None:
    scored_run.store.remove(SAMPLE_SCORES)
    assert commands.run_fit(config(scored_run, PREVIEW)).thresholds == ()
    with pytest.raises(ReferenceFileError, match="of: pool"):
        commands.run_fit(config(scored_run, LOWEST, PREVIEW))


def test_selecting_tells_the_thresholds_that_it_took_from_the_sample(scored_run: LocalRun) -> None:
    found = commands.run_select(config(scored_run, LOWEST, PREVIEW)).thresholds
    assert [t.name for t in found] == ["image_informativeness.drop_lowest=0.05 of reference"]
    assert warning(found[0]) is not None
