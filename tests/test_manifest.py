"""The run directory: counts that balance, markers that come back, directories that stay bound."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import AccountingError, OutputError, RunDirError
from curate.manifest import Counts, Marker, RunDir, counts_of_statuses
from curate.outputs import Store, Written
from curate.schema import OK, REJECTIONS
from curate.shards import Shard


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(Store(str(tmp_path)))


def marker(shard: str = "00000", **fields: Any) -> Marker:
    values: dict[str, Any] = {
        "url": f"/pool/{shard}.tar",
        "size": 10_240,
        "sha256": "0" * 64,
        "identity": "i",
        "counts": Counts(read=3, rejected={"missing_text": 1}),
        "damage": ({"kind": "truncated", "offset": 7, "detail": "ü"},),
        "notes": {"missing_json": 2},
        "outputs": (Written(f"scores/{shard}.parquet", 5, "1" * 64),),
    }
    return Marker(shard, **(values | fields))


# --- counts ---------------------------------------------------------------------------------

reasons = st.dictionaries(st.sampled_from("abc"), st.integers(1, 9))
balanced = st.builds(
    lambda kept, dropped, rejected: Counts(
        read=kept + sum(dropped.values()) + sum(rejected.values()),
        rejected=rejected,
        kept=kept,
        dropped=dropped,
    ),
    st.integers(0, 9),
    reasons,
    reasons,
)


@given(st.lists(balanced, max_size=6), st.randoms(use_true_random=False))
def test_sums_of_balanced_counts_balance_in_any_order(parts: list[Counts], random: Any) -> None:
    total = sum(parts, Counts())
    total.check("all")
    assert total.read == sum(part.read for part in parts)
    random.shuffle(parts)
    assert sum(parts, Counts()) == total


@given(balanced, st.sampled_from(["read", "kept"]), st.sampled_from([-1, 1]))
def test_a_count_that_is_off_by_one_is_refused(counts: Counts, field: str, by: int) -> None:
    wrong = Counts(**{**vars_of(counts), field: getattr(counts, field) + by})
    with pytest.raises(AccountingError, match="shard 7"):
        wrong.check("shard 7")


def vars_of(counts: Counts) -> dict[str, Any]:
    return {name: getattr(counts, name) for name in ("read", "rejected", "kept", "dropped")}


def test_undecided_counts_only_need_enough_read() -> None:
    Counts(read=2, rejected={"missing_text": 2}).check("x")
    with pytest.raises(AccountingError, match="1 read"):
        Counts(read=1, rejected={"missing_text": 2}).check("x")
    assert (Counts(read=1) + Counts(read=2)).kept is None
    assert (Counts(read=1) + Counts(read=2, kept=2)).kept == 2


@given(st.lists(st.sampled_from([OK, *REJECTIONS])))
def test_statuses_are_counted(statuses: list[str]) -> None:
    counts = counts_of_statuses(statuses)
    assert counts == counts_of_statuses(Counter(statuses))
    assert counts.read == len(statuses)
    assert counts.scored == statuses.count(OK)
    assert counts.rejected == {s: statuses.count(s) for s in set(statuses) - {OK}}
    assert list(counts.rejected) == sorted(counts.rejected)


def test_a_status_that_nobody_declared_is_refused() -> None:
    with pytest.raises(AccountingError, match="boredom"):
        counts_of_statuses([OK, "boredom"])


# --- markers --------------------------------------------------------------------------------


def test_a_marker_comes_back_equal(run: RunDir) -> None:
    run.commit(marker())
    assert run.marker("00000") == marker()
    assert run.require_marker("00000") == marker()
    assert run.marker("00001") is None
    with pytest.raises(RunDirError, match=r"'00001'.*curate score"):
        run.require_marker("00001")


def test_equal_work_gives_equal_markers(run: RunDir, tmp_path: Path) -> None:
    run.commit(marker())
    first = (tmp_path / "state/00000.json").read_bytes()
    run.commit(marker())
    assert (tmp_path / "state/00000.json").read_bytes() == first


def test_counts_that_do_not_balance_are_not_committed(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(AccountingError, match="00000"):
        run.commit(marker(counts=Counts(read=0, rejected={"missing_text": 1})))
    assert run.committed() == frozenset()


BROKEN = ["[]", "[1]", "{}", "null", "3", '"text"', '{"shard": "00000"}', "{", ""]


@pytest.mark.parametrize("content", BROKEN)
def test_a_marker_that_is_no_marker_is_named(run: RunDir, tmp_path: Path, content: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/00000.json").write_text(content)
    with pytest.raises(OutputError, match=r"00000.*delete it"):
        run.marker("00000")


@pytest.mark.parametrize("field", list(marker().to_json()))
def test_a_marker_without_a_field_or_with_one_too_many_is_named(
    run: RunDir, tmp_path: Path, field: str
) -> None:
    run.commit(marker())
    path = tmp_path / "state/00000.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in value.items() if k != field}))
    with pytest.raises(OutputError, match="incomplete"):
        run.marker("00000")
    path.write_text(json.dumps(value | {"extra": 1}))
    with pytest.raises(OutputError, match="extra"):
        run.marker("00000")


def test_failures_are_listed_and_no_commits(run: RunDir, tmp_path: Path) -> None:
    shard = Shard("00001", "/pool/00001.tar", None)
    run.fail(shard, "it is a zip")
    run.commit(marker())
    assert run.failures() == {"00001": "it is a zip"}
    assert run.committed() == {"00000"}
    run.commit(marker("00001"))
    assert run.failures() == {}
    assert run.committed() == {"00000", "00001"}


@pytest.mark.parametrize("content", ["[]", "{}", "null"])
def test_a_failure_that_is_none_is_named(run: RunDir, tmp_path: Path, content: str) -> None:
    (tmp_path / "state/failed").mkdir(parents=True)
    (tmp_path / "state/failed/00000.json").write_text(content)
    with pytest.raises(OutputError, match=r"state/failed/00000\.json"):
        run.failures()


@pytest.mark.parametrize(
    "shard", ["a.failed", "failed", "identity", "a.json", "x.partial", "shards"]
)
def test_odd_ids_of_shards_are_commits_like_others(run: RunDir, shard: str) -> None:
    run.commit(marker(shard))
    assert run.marker(shard) == marker(shard)
    assert shard in run.committed()
    assert run.failures() == {}


# --- manifest -------------------------------------------------------------------------------

SHARDS = (
    Shard("00001", "/pool/00001.tar", 100),
    Shard("00000", "s3://pool/00000.tar", None),
    Shard("ü%20x", "/pool/ü x.tar", 2**40),
)


def test_a_manifest_comes_back_in_order(run: RunDir) -> None:
    run.write_manifest(SHARDS)
    assert run.read_manifest() == SHARDS
    run.write_manifest(SHARDS[:2])
    assert run.read_manifest() == SHARDS[:2]
    run.write_manifest([])
    assert run.read_manifest() == ()


def test_a_place_without_a_run_says_what_to_do(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match=r"manifest\.parquet.*curate score") as caught:
        run.read_manifest()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("change", [{"url": "/other/00001.tar"}, {"size": 101}])
def test_a_scored_shard_must_stay_the_same_file(run: RunDir, change: dict[str, Any]) -> None:
    run.write_manifest(SHARDS)
    run.commit(marker("00001"))
    now = Shard(**({"id": "00001", "url": "/pool/00001.tar", "size": 100} | change))
    with pytest.raises(RunDirError, match=r"'00001' was .*output\.run_dir"):
        run.write_manifest([now])
    assert run.read_manifest() == SHARDS


def test_sizes_that_one_listing_does_not_tell_are_no_change(run: RunDir) -> None:
    run.write_manifest(SHARDS)
    for shard in SHARDS:
        run.commit(marker(shard.id))
    run.write_manifest([Shard(s.id, s.url, None if s.size else 5) for s in SHARDS])


# --- identities -----------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@settings(max_examples=25, deadline=None)
@given(parts=st.dictionaries(st.sampled_from(["model", "limits", "seed"]), plain, min_size=1))
def test_a_claim_holds_for_equal_parts(
    tmp_path_factory: pytest.TempPathFactory, parts: dict[str, Any]
) -> None:
    run = RunDir(Store(str(tmp_path_factory.mktemp("claim"))))
    first = run.claim("identity.json", parts)
    assert run.claim("identity.json", dict(reversed(parts.items()))) == first
    assert run.claim("identity.json", json.loads(json.dumps(parts))) == first


def test_a_claim_names_what_differs(run: RunDir) -> None:
    run.claim("identity.json", {"model": {"name": "a"}, "seed": 1, "old": True})
    with pytest.raises(RunDirError) as caught:
        run.claim("identity.json", {"model": {"name": "b"}, "seed": 1, "new": True})
    text = str(caught.value)
    assert "model was {'name': 'a'} and is {'name': 'b'} now" in text
    assert "old was True and is None now" in text
    assert "new was None and is True now" in text
    assert "seed" not in text
    assert "output.run_dir" in text


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"identity": "x"}'])
def test_an_identity_that_is_none_is_named(run: RunDir, tmp_path: Path, content: str) -> None:
    (tmp_path / "identity.json").write_text(content)
    with pytest.raises(OutputError, match=r"identity\.json"):
        run.claim("identity.json", {"a": 1})
