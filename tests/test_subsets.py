"""Subsets against rules read aloud in plain Python: exact counts, reasons, ties, duplicates."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_run import (
    LocalRun,
    decisions,
    fabricate,
    load_uids,
    recommit,
    score_rows,
    tree,
    uid,
)

from curate import subsets
from curate.config import Rules
from curate.errors import OutputError, ReferenceFileError, RunDirError
from curate.manifest import IDENTITY, Counts, RunDir
from curate.outputs import Store
from curate.schema import DECISIONS_SCHEMA
from curate.shards import Shard

KEEP_ALL = Rules(all=())


def rules(tree: Any) -> Rules:
    return Rules.model_validate(tree)


def all_of(**criteria: Any) -> Rules:
    return rules({"all": [{column: value} for column, value in criteria.items()]})


# --- the oracle -----------------------------------------------------------------------------

Row = Mapping[str, Any]


def survivors(pool: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Scored rows, the first of each uid in the order of (shard name, position)."""
    first: dict[str, Row] = {}
    for name in sorted(pool):
        for row in pool[name]:
            if row.get("status", "ok") == "ok":
                first.setdefault(row["uid"], row)
    return list(first.values())


def passes(row: Row, column: str, criteria: Mapping[str, Any], ranked: Sequence[Row]) -> bool:
    value = np.float32(row[column])
    if "min" in criteria and value < np.float32(criteria["min"]):
        return False
    if "max" in criteria and value > np.float32(criteria["max"]):
        return False
    order = sorted(ranked, key=lambda r: (np.float32(r[column]), r["uid"]))
    place = next(i for i, r in enumerate(order) if r is row)
    if "drop_lowest" in criteria:
        share = Fraction(str(criteria["drop_lowest"]))
        if place < math.floor(share * len(order)):
            return False
    if "keep_highest" in criteria:
        share = Fraction(str(criteria["keep_highest"]))
        if place < len(order) - math.floor(share * len(order)):
            return False
    return True


def keeps(row: Row, tree: Mapping[str, Any], ranked: Sequence[Row]) -> bool:
    ((kind, items),) = tree.items()
    verdicts = []
    for item in items:
        if set(item) & {"all", "any"}:
            verdicts.append(keeps(row, item, ranked))
        else:
            verdicts.append(all(passes(row, c, criteria, ranked) for c, criteria in item.items()))
    return all(verdicts) if kind == "all" else any(verdicts)


# --- strategies -----------------------------------------------------------------------------

values = st.sampled_from([-1.0, -0.0, 0.0, 0.1, 0.25, 0.5, 1.0, 3e38])
rows = st.fixed_dictionaries(
    {
        "uid": st.integers(0, 12).map(lambda n: f"{n * 0x9E3779B97F4A7C15 % 2**128:032x}"),
        "clip_score": values,
        "image_informativeness": values,
        "width": st.integers(1, 4),
    },
    optional={"status": st.sampled_from(["ok", "missing_text"])},
).map(
    lambda row: (
        row
        if row.get("status", "ok") == "ok"
        else row | dict.fromkeys(["clip_score", "image_informativeness", "width"])
    )
)
pools = st.dictionaries(
    st.sampled_from(["00000", "00001", "00002", "10"]), st.lists(rows, max_size=8), min_size=1
)
fractions = st.sampled_from([0, 0.05, 0.1, 0.29, 0.3, 0.5, 0.9, 1, 1 / 3])
criteria = st.one_of(
    st.fixed_dictionaries({"min": values}),
    st.fixed_dictionaries({"max": values}),
    st.fixed_dictionaries({"drop_lowest": fractions}),
    st.fixed_dictionaries({"keep_highest": fractions}),
    st.fixed_dictionaries({"drop_lowest": fractions, "keep_highest": fractions, "max": values}),
)
columns = st.dictionaries(
    st.sampled_from(["clip_score", "image_informativeness", "width"]), criteria, min_size=1
)
trees = st.recursive(
    st.builds(lambda items: {"all": items}, st.lists(columns, max_size=2)),
    lambda inner: st.builds(
        lambda kind, items: {kind: items},
        st.sampled_from(["all", "any"]),
        st.lists(inner | columns, min_size=1, max_size=2),
    ),
    max_leaves=3,
)


@settings(max_examples=30, deadline=None)
@given(pools, trees)
def test_a_subset_is_what_its_rules_say(pool: dict[str, list[Row]], tree: dict[str, Any]) -> None:
    run = fabricate(Store(f"memory://{uuid.uuid4().hex}"), pool)
    subset = subsets.select(run, "default", rules(tree), None)
    ranked = survivors(pool)
    want = {row["uid"] for row in ranked if keeps(row, tree, ranked)}
    assert subset.counts.kept == len(want)
    expected = np.array([(int(u[:16], 16), int(u[16:], 16)) for u in sorted(want)], "<u8,<u8")
    found = load_uids(run.store)
    assert found.dtype == np.dtype("u8,u8")
    assert found.tolist() == expected.tolist()
    total = Counts()
    for name, members in pool.items():
        table = decisions(run.store, name)
        assert table.schema.equals(DECISIONS_SCHEMA, check_metadata=True)
        assert table["uid"].to_pylist() == [row["uid"] for row in members]
        for row, line in zip(members, table.to_pylist(), strict=True):
            status = row.get("status", "ok")
            if status != "ok":
                assert line["reason"] == f"rejected:{status}"
            elif not any(row is r for r in ranked):
                assert line["reason"] == "duplicate_uid"
            else:
                assert (line["reason"] == "kept") == keeps(row, tree, ranked)
            assert line["kept"] == (line["reason"] == "kept")
        counts = subsets.count_decisions(table)
        counts.check(name)
        total += counts
    assert total == subset.counts
    run.store.remove("")


# --- exactness ------------------------------------------------------------------------------


def pool_of(n: int, shards: int = 3, ties: bool = False, seed: int = 0) -> dict[str, list[Row]]:
    rng = np.random.default_rng(seed)
    made: dict[str, list[Row]] = {f"{s:05d}": [] for s in range(shards)}
    for number in rng.permutation(n):
        value = 0.5 if ties else float(rng.normal())
        made[f"{number % shards:05d}"].append({"uid": uid(int(number)), "clip_score": value})
    return made


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("fraction", [0, 0.001, 0.05, 0.29, 0.5, 0.999, 1])
@pytest.mark.parametrize("rule", ["drop_lowest", "keep_highest"])
def test_fractions_of_the_pool_are_exact(
    tmp_path: Path, rule: str, fraction: float, ties: bool
) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(997, ties=ties))
    counts = subsets.select(run, "a", all_of(clip_score={rule: fraction}), None).counts
    share = math.floor(Fraction(str(fraction)) * 997)
    assert counts.kept == (997 - share if rule == "drop_lowest" else share)
    if ties and rule == "drop_lowest":  # the lowest uids go
        kept = [int(low) for _, low in load_uids(run.store, "a").tolist()]
        assert kept == list(range(share, 997))


def test_the_listing_of_shards_does_not_matter(tmp_path: Path) -> None:
    pool = pool_of(200, shards=4)
    for name in pool:
        pool[name] += [{"uid": uid(7), "clip_score": 9.0}]
    found = []
    for at, order in enumerate((sorted(pool), sorted(pool, reverse=True))):
        run = fabricate(Store(str(tmp_path / str(at))), {name: pool[name] for name in order})
        subsets.select(run, "a", all_of(clip_score={"drop_lowest": 0.3}), None)
        found.append([decisions(run.store, name, "a").to_pylist() for name in sorted(pool)])
        found.append(load_uids(run.store, "a").tolist())
    assert found[:2] == found[2:]


def test_of_twins_the_first_by_name_and_position_stays(tmp_path: Path) -> None:
    twin = {"uid": uid(1)}
    pool = {
        "00001": [twin, twin],
        "00000": [{"uid": uid(2)}, {"uid": uid(1), "status": "empty_caption"}, twin, twin],
    }
    run = fabricate(Store(str(tmp_path)), pool)
    subset = subsets.select(run, "a", KEEP_ALL, None)
    reasons = {name: decisions(run.store, name, "a")["reason"].to_pylist() for name in pool}
    assert reasons == {
        "00001": ["duplicate_uid", "duplicate_uid"],
        "00000": ["kept", "rejected:empty_caption", "kept", "duplicate_uid"],
    }
    assert subset.summary["unique_uids"] == 2


def test_a_twin_counts_once_in_a_fraction(tmp_path: Path) -> None:
    pool = {"00000": [{"uid": uid(i % 10), "clip_score": float(i)} for i in range(20)]}
    run = fabricate(Store(str(tmp_path)), pool)
    counts = subsets.select(run, "a", all_of(clip_score={"drop_lowest": 0.5}), None).counts
    assert counts.kept == 5
    assert counts.dropped == {"clip_score.drop_lowest=0.5": 5, "duplicate_uid": 10}


def test_the_first_rule_that_fails_is_the_reason(tmp_path: Path) -> None:
    pool = {"00000": [{"uid": uid(0), "clip_score": 0.0, "width": 1}]}
    run = fabricate(Store(str(tmp_path)), pool)
    both = {"clip_score": {"min": 1}}, {"width": {"min": 2}}
    for kind, items, reason in (
        ("all", both, "clip_score.min=1"),
        ("all", both[::-1], "width.min=2"),
        ("any", both, "clip_score.min=1 and width.min=2"),
    ):
        subsets.select(run, "a", rules({kind: list(items)}), None)
        assert decisions(run.store, "00000", "a")["reason"].to_pylist() == [reason]


# --- fractions of the Reference -------------------------------------------------------------


def test_fractions_of_the_reference_are_quantiles_of_its_sample(
    scored_run: LocalRun, tmp_path: Path
) -> None:
    sample = np.sort(scored_run.sample.table["clip_score"].to_numpy())
    for rule in ("drop_lowest", "keep_highest"):
        chosen = all_of(clip_score={rule: 0.4, "of": "reference"})
        scored_run.select(chosen, rule)
        rank = len(sample) * 2 // 5
        cut = sample[rank if rule == "drop_lowest" else len(sample) - rank]
        for shard in scored_run.shards:
            table = scored_run.store.read_table(f"scores/{shard.id}.parquet")
            for line, row in zip(
                decisions(scored_run.store, shard.id, rule).to_pylist(),
                table.to_pylist(),
                strict=True,
            ):
                if line["reason"] in ("kept", f"clip_score.{rule}=0.4 of reference"):
                    assert line["kept"] == (row["clip_score"] >= cut)


def test_rules_of_the_reference_need_its_sample(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(10))
    chosen = all_of(clip_score={"drop_lowest": 0.1, "of": "reference"})
    with pytest.raises(Exception, match="curate fit") as caught:
        subsets.select(run, "a", chosen, None)
    assert getattr(caught.value, "exit_code", 0) == 2
    assert subsets.load(run.store, "a") is None
    assert not isinstance(caught.value, ReferenceFileError)


# --- repetition -----------------------------------------------------------------------------


def test_selecting_again_does_nothing_and_other_rules_replace(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(60))
    first = subsets.select(run, "a", all_of(clip_score={"min": 0}), None)
    seen: list[str] = []
    before = tree(tmp_path)
    again = subsets.select(
        run, "a", all_of(clip_score={"min": 0}), None, lambda shard, counts: seen.append(shard)
    )
    assert again.summary == first.summary
    assert seen == []
    assert tree(tmp_path) == before
    other = subsets.select(
        run, "a", all_of(clip_score={"min": 1}), None, lambda shard, counts: seen.append(shard)
    )
    assert other.identity != first.identity
    assert seen == ["00000", "00001", "00002"]
    assert subsets.load(run.store, "a") == other
    subsets.select(run, "a", all_of(clip_score={"min": 0}), None)
    assert tree(tmp_path) == before


def test_scores_that_were_made_anew_make_a_new_subset(tmp_path: Path) -> None:
    pool = pool_of(30)
    run = fabricate(Store(str(tmp_path)), pool)
    chosen = all_of(clip_score={"min": 0})
    before = subsets.select(run, "a", chosen, None)
    identity = run.store.read_json(IDENTITY)["identity"]
    flipped = [dict(row, clip_score=-row["clip_score"]) for row in pool["00001"]]
    recommit(run, "00001", score_rows("00001", flipped), identity)
    after = subsets.select(run, "a", chosen, None)
    assert after.identity != before.identity
    kept = [row for rows in (pool | {"00001": flipped}).values() for row in rows]
    assert after.counts.kept == sum(row["clip_score"] >= 0 for row in kept)


def test_a_crash_on_the_way_leaves_no_subset(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(60))
    subsets.select(run, "a", KEEP_ALL, None)

    def crash(shard: str, counts: Counts) -> None:
        raise KeyboardInterrupt

    chosen = all_of(clip_score={"min": 0})
    with pytest.raises(KeyboardInterrupt):
        subsets.select(run, "a", chosen, None, crash)
    assert subsets.load(run.store, "a") is None
    subsets.select(run, "a", chosen, None)
    whole = fabricate(Store(str(tmp_path / "other")), pool_of(60))
    subsets.select(whole, "a", chosen, None)
    assert tree(tmp_path / "subsets") == tree(tmp_path / "other" / "subsets")


# --- degenerate pools -----------------------------------------------------------------------


@pytest.mark.parametrize("members", [[], [{"uid": uid(0), "status": "missing_image"}]])
@pytest.mark.parametrize(
    "chosen", [KEEP_ALL, all_of(clip_score={"drop_lowest": 0.5}), all_of(width={"min": 1})]
)
def test_pools_without_a_scored_sample_make_an_empty_subset(
    tmp_path: Path, members: list[Row], chosen: Rules
) -> None:
    run = fabricate(Store(str(tmp_path)), {"00000": members, "00001": []})
    counts = subsets.select(run, "a", chosen, None).counts
    assert (counts.read, counts.kept, counts.dropped) == (len(members), 0, {})
    uids = load_uids(run.store, "a")
    assert (len(uids), uids.dtype) == (0, np.dtype("u8,u8"))


def test_rules_that_drop_everything_make_an_empty_subset(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(20))
    counts = subsets.select(run, "a", all_of(clip_score={"keep_highest": 0}), None).counts
    assert (counts.kept, counts.dropped) == (0, {"clip_score.keep_highest=0": 20})


def test_shards_that_are_not_scored_are_an_error_and_unreadable_ones_are_not(
    tmp_path: Path,
) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(12))
    shards = [*run.read_manifest(), Shard("00009", "/nowhere/00009.tar", 1)]
    run.write_manifest(shards)
    with pytest.raises(RunDirError, match=r"1 of 4 shards.*'00009'.*curate score"):
        subsets.select(run, "a", KEEP_ALL, None)
    run.fail(shards[-1], "gone")
    assert subsets.select(run, "a", KEEP_ALL, None).counts.read == 12


def test_a_run_that_was_never_scored_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="curate score"):
        subsets.select(RunDir(Store(str(tmp_path))), "a", KEEP_ALL, None)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_scores_that_vanished_are_named(tmp_path: Path, damage: str) -> None:
    run = fabricate(Store(str(tmp_path)), pool_of(12))
    path = tmp_path / "scores" / "00001.parquet"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200])
    for chosen in (KEEP_ALL, all_of(clip_score={"drop_lowest": 0.5})):
        with pytest.raises(OutputError, match=r"00001\.parquet.*state/.*again"):
            subsets.select(run, "a", chosen, None)


# --- places ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "uid=7", "index=3/x", "a b'c", "ü", "{a,b}"])
def test_run_directories_may_be_called_anything(tmp_path: Path, name: str) -> None:
    pool = pool_of(30)
    pool["00002"].append({"uid": uid(0), "clip_score": 5.0})
    run = fabricate(Store(str(tmp_path / name)), pool)
    fabricate(Store(str(tmp_path / "a1")), pool_of(9, seed=1))  # what `a[1]` and `a?` would match
    counts = subsets.select(run, "s", KEEP_ALL, None).counts
    assert counts.kept == 30
    assert counts.dropped == {"duplicate_uid": 1}


def test_subsets_lie_on_any_store(tmp_path: Path) -> None:
    pool = pool_of(40)
    pool["00001"].append({"uid": uid(3)})
    chosen = all_of(clip_score={"drop_lowest": 0.25})
    local = fabricate(Store(str(tmp_path)), pool)
    remote = fabricate(Store("memory://curate-subsets-test/run"), pool)
    one, two = (subsets.select(run, "a", chosen, None) for run in (local, remote))
    assert one.summary == two.summary
    for name in ("uids.npy", "summary.json", "rules.yaml", "decisions/00001.parquet"):
        found = [r.store.read_bytes(f"subsets/a/{name}") for r in (local, remote)]
        assert found[0] == found[1]
    remote.store.remove("")


def test_uids_are_datacomps(tmp_path: Path) -> None:
    run = fabricate(Store(str(tmp_path)), {"00000": [{"uid": "f" * 32}, {"uid": "0" * 31 + "1"}]})
    subsets.select(run, "a", KEEP_ALL, None)
    uids = load_uids(run.store, "a")
    assert uids.dtype.names == ("f0", "f1")
    assert uids.dtype.str == "|V16"
    assert uids.tolist() == [(0, 1), (2**64 - 1, 2**64 - 1)]
    assert np.array_equal(uids, np.sort(uids))
