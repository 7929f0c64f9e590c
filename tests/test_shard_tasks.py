"""Scoring and sampling one shard: what is committed, skipped, noted and counted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from factories import sample_members, shard_bytes, tar_bytes
from local_run import EVERYTHING, LocalClient, LocalRun, plan_of, task_of, tree

from curate.config import Rules
from curate.encoder import Encoder
from curate.errors import OutputError, ShardError
from curate.manifest import Counts, RunDir
from curate.outputs import Store
from curate.rules import build
from curate.samples import SamplePolicy
from curate.sampling import choose_threshold, hash_samples
from curate.schema import SCORES_SCHEMA
from curate.scorer import Scorer
from curate.scoring import BatchPlan
from curate.shard_tasks import ScoreTask, embed_chosen, score_shard
from curate.shards import Shard


def silent(counts: Counts) -> None:
    pass


@pytest.fixture
def client(tiny_encoder: Encoder, pristine_run: LocalRun) -> LocalClient:
    return LocalClient(tiny_encoder, Scorer(pristine_run.reference))


def shard_at(path: Path, data: bytes) -> Shard:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Shard(path.stem, str(path), len(data))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(Store(str(tmp_path / "run")))


# --- commit ---------------------------------------------------------------------------------


def test_a_shard_is_scored_and_committed(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    shard = shard_at(tmp_path / "00004.tar", shard_bytes(7))
    seen: list[Counts] = []
    counts = score_shard(run, shard, task_of(tiny_encoder), client, seen.append)
    assert (counts.read, counts.scored) == (7, 7)
    assert sum(c.read for c in seen) == 7
    assert sorted(tree(tmp_path / "run")) == ["scores/00004.parquet", "state/00004.json"]
    table = pq.read_table(tmp_path / "run/scores/00004.parquet")
    assert table.schema.equals(SCORES_SCHEMA, check_metadata=True)
    assert set(table["shard"].to_pylist()) == {"00004"}
    marker = run.require_marker("00004")
    assert marker.size == shard.size
    assert marker.counts == counts
    assert marker.notes == {}


@pytest.mark.parametrize(("batch_size", "depth"), [(1, 0), (3, 1), (100, 9)])
def test_the_same_shard_gives_the_same_bytes(
    pristine_run: LocalRun, tmp_path: Path, tiny_encoder: Encoder, batch_size: int, depth: int
) -> None:
    runs = []
    for name in ("one", "two"):
        run = RunDir(Store(str(tmp_path / name)))
        task = replace(task_of(tiny_encoder), plan=plan_of(tiny_encoder, batch_size, depth))
        client = LocalClient(tiny_encoder, Scorer(pristine_run.reference))
        for shard in pristine_run.shards:
            score_shard(run, shard, task, client, silent)
        runs.append(tree(tmp_path / name))
    assert runs[0] == runs[1]


def test_a_committed_shard_is_left_alone(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    shard = shard_at(tmp_path / "00000.tar", shard_bytes(3))
    task = task_of(tiny_encoder)
    first = score_shard(run, shard, task, client, silent)
    sizes, before = list(client.batches), tree(tmp_path / "run")
    Path(shard.url).unlink()
    seen: list[Counts] = []
    assert score_shard(run, shard, task, client, seen.append) == first
    assert client.batches == sizes
    assert seen == [first]
    assert tree(tmp_path / "run") == before


def test_a_shard_of_another_identity_is_scored_again(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    shard = shard_at(tmp_path / "00000.tar", shard_bytes(3))
    score_shard(run, shard, task_of(tiny_encoder, "old"), client, silent)
    score_shard(run, shard, task_of(tiny_encoder, "new"), client, silent)
    assert run.require_marker("00000").identity == "new"
    assert sum(client.batches) == 6


def test_nothing_is_committed_when_the_model_fails(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    class Dying(LocalClient):
        def collect(self, handle: Any) -> Any:
            raise RuntimeError("gone")

    shard = shard_at(tmp_path / "00000.tar", shard_bytes(3))
    with pytest.raises(RuntimeError, match="gone"):
        score_shard(run, shard, task_of(tiny_encoder), Dying(tiny_encoder), silent)
    assert run.committed() == frozenset()
    assert not (tmp_path / "run").exists() or tree(tmp_path / "run") == {}
    score_shard(run, shard, task_of(tiny_encoder), client, silent)
    assert run.committed() == {"00000"}


def test_the_marker_is_written_last(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shard = shard_at(tmp_path / "00000.tar", shard_bytes(3))

    def fail(self: RunDir, marker: Any) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "commit", fail)
        with pytest.raises(OutputError):
            score_shard(run, shard, task_of(tiny_encoder), client, silent)
    assert run.committed() == frozenset()
    task = task_of(tiny_encoder, save_embeddings=True)
    score_shard(run, shard, task, client, silent)
    files = sorted(tree(tmp_path / "run"))
    assert files == ["embeddings/00000.npz", "scores/00000.parquet", "state/00000.json"]
    assert [w.path for w in run.require_marker("00000").outputs] == [files[1], files[0]]
    with np.load(tmp_path / "run/embeddings/00000.npz") as arrays:
        assert arrays["image"].shape == (3, 16)
        assert arrays["key"].tolist() == [f"{i:09d}" for i in range(3)]


def test_a_failed_shard_that_works_later_is_forgiven(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    shard = shard_at(tmp_path / "00000.tar", shard_bytes(3))
    run.fail(shard, "was not there")
    score_shard(run, shard, task_of(tiny_encoder), client, silent)
    assert run.failures() == {}


# --- bad shards -----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x" * 5000, b"\x1f\x8b" + b"\0" * 600])
def test_what_is_no_tar_is_a_shard_error_that_names_it(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient, data: bytes
) -> None:
    shard = shard_at(tmp_path / "00009.tar", data)
    with pytest.raises(ShardError, match=r"00009\.tar"):
        score_shard(run, shard, task_of(tiny_encoder), client, silent)
    assert run.committed() == frozenset()


def test_a_cut_tar_is_scored_up_to_the_cut_and_says_so(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    shard = shard_at(tmp_path / "00000.tar", shard_bytes(6)[:9000])
    counts = score_shard(run, shard, task_of(tiny_encoder), client, silent)
    assert 0 < counts.scored < 6
    assert [d["kind"] for d in run.require_marker("00000").damage] == ["truncated"]


def test_a_shard_without_a_single_good_sample_is_committed(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    shard = shard_at(tmp_path / "00000.tar", tar_bytes([("a.txt", b"x"), ("b.jpg", b"y")]))
    task = task_of(tiny_encoder, save_embeddings=True)
    counts = score_shard(run, shard, task, client, silent)
    assert counts.rejected == {"missing_image": 1, "missing_text": 1}
    assert counts.scored == 0


# --- notes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stats", "note"),
    [
        (b'{"successes": 3}', None),
        (None, None),
        (b'{"successes": 4}', "says 4 successes, the tar has 3"),
        (b'{"count": 3}', "cannot be read"),
        (b"[1]", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_the_stats_beside_a_shard_are_compared(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient,
    stats: bytes | None, note: str | None,
) -> None:  # fmt: skip
    shard = shard_at(tmp_path / "00000.tar", shard_bytes(3))
    if stats is not None:
        (tmp_path / "00000_stats.json").write_bytes(stats)
    score_shard(run, shard, task_of(tiny_encoder), client, silent)
    notes = run.require_marker("00000").notes
    if note is None:
        assert notes == {}
    else:
        assert note in notes["stats"]
        assert "00000_stats.json" in notes["stats"]
        json.dumps(notes)


@pytest.mark.parametrize("folder", ["a::b", "s3::x", "a[1]", "a*", "a b", "ünï", "a#b?c"])
def test_odd_folder_names_are_read_as_they_are(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient, folder: str
) -> None:
    shard = shard_at(tmp_path / folder / "00000.tar", shard_bytes(2))
    (tmp_path / folder / "00000_stats.json").write_bytes(b'{"successes": 9}')
    score_shard(run, shard, task_of(tiny_encoder), client, silent)
    assert run.require_marker("00000").notes["stats"].endswith("says 9 successes, the tar has 2")


def test_derived_uids_are_noted(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    members = [m for m in sample_members("a") if not m[0].endswith("json")]
    shard = shard_at(tmp_path / "00000.tar", tar_bytes(members))
    score_shard(run, shard, task_of(tiny_encoder), client, silent)
    assert run.require_marker("00000").notes == {"derived_uid": 1, "missing_json": 1}


# --- the preview ----------------------------------------------------------------------------


def test_a_preview_counts_what_the_rules_would_drop(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    members = [m for i in range(6) for m in sample_members(f"{i:03d}", "word " * (i + 1), i)]
    members += sample_members("zzz")[:1]
    shard = shard_at(tmp_path / "00000.tar", tar_bytes(members))
    rules = Rules.model_validate({"all": [{"caption_words": {"min": 3}}]})
    seen: list[Counts] = []
    task = task_of(tiny_encoder, preview=build(rules, {}, None))
    counts = score_shard(run, shard, task, client, seen.append)
    assert sum(sum(c.dropped.values()) for c in seen) == 2
    assert sum(c.read for c in seen) == counts.read == 7
    assert (counts.kept, counts.dropped) == (4, {"rules": 2})
    assert run.require_marker("00000").counts.dropped == {}


# --- sampling -------------------------------------------------------------------------------


def test_the_chosen_pairs_are_those_below_the_threshold(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    shard = shard_at(tmp_path / "00000.tar", shard_bytes(10))
    policy = SamplePolicy()
    threshold = choose_threshold(hash_samples(shard, policy, 3), 4)
    client = LocalClient(tiny_encoder)
    task = task_of(tiny_encoder)
    chosen = embed_chosen(shard, task, 3, threshold, client, silent).to_table()
    everything = embed_chosen(shard, task, 3, EVERYTHING, client, silent).to_table()
    assert chosen.num_rows == 4
    assert everything.num_rows == 10
    assert set(chosen["key"].to_pylist()) < set(everything["key"].to_pylist())
    assert chosen["index"].to_pylist() == sorted(chosen["index"].to_pylist())


def test_limits_of_the_policy_and_the_plan_hold(
    run: RunDir, tmp_path: Path, tiny_encoder: Encoder, client: LocalClient
) -> None:
    shard = shard_at(tmp_path / "00000.tar", shard_bytes(2))
    base = plan_of(tiny_encoder)
    tight = BatchPlan(base.pixels, base.tokenize, max_pixels=10, batch_size=4)
    task = ScoreTask("i", SamplePolicy(), tight)
    assert score_shard(run, shard, task, client, silent).rejected == {"image_too_large": 2}
    shutil.rmtree(tmp_path / "run")
    task = ScoreTask("i", SamplePolicy(caption_bytes=3), base)
    assert score_shard(run, shard, task, client, silent).rejected == {"caption_too_long": 2}
