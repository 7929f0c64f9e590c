"""The pipeline's parts: the Reference's way to an embedder, errors of workers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import SIZES, config_of, write_shards
from ray_workers import Doubler, Owner, Poisoned, Unstartable

from curate import reference_files
from curate.encoder import Encoder
from curate.errors import (
    ConfigError,
    ModelError,
    ReferenceFileError,
    ResourceError,
    ShardError,
    WorkerError,
)
from curate.held import Held
from curate.manifest import RunDir
from curate.outputs import Store
from curate.pipeline.attempts import counted_attempts
from curate.pipeline.cluster import Cluster, cluster
from curate.pipeline.mapping import (
    BLOCKS_PER_WORKER,
    MAX_BLOCKS,
    MAX_ROWS_PER_BLOCK,
    block_count,
    map_rows,
    shard_rows,
    tallied,
    unwrapped,
)
from curate.progress import Task
from curate.reference import Reference, Sample
from curate.samples import SamplePolicy
from curate.sampling import choose_threshold, hash_samples, sample_hash, sampling_order
from curate.shards import Shard, list_shards
from curate.stopping import Terminated
from curate.workspace import REFERENCE_FOLDER

# --- blocks ------------------------------------------------------------------------------------


@given(rows=st.integers(1, 2_000_000), workers=st.integers(1, 4096))
def test_blocks_are_small_until_there_are_many(rows: int, workers: int) -> None:
    blocks = block_count(rows, workers)
    assert 1 <= blocks <= rows
    assert rows / blocks <= max(MAX_ROWS_PER_BLOCK, -(-rows // MAX_BLOCKS))
    assert blocks <= max(MAX_BLOCKS, workers * BLOCKS_PER_WORKER * 2)
    assert blocks >= min(rows, workers)


# --- connecting -------------------------------------------------------------------------------


def test_an_absent_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # and never listens
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        begin = time.monotonic()
        with pytest.raises(ResourceError, match=f"no Ray cluster answers at '{address}'") as caught:
            Cluster(address).connect()
    assert "ray start --head" in str(caught.value)
    assert time.monotonic() - begin < 30


def test_a_ray_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def give_up(**options: Any) -> None:
        raise Exception("The current node timed out during startup.")  # noqa: TRY002 - as Ray does

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", give_up)
    with pytest.raises(ResourceError, match=r"timed out during startup\. If the machine is busy"):
        Cluster("local").connect()


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_connected_ray_is_used_and_left_alone() -> None:
    import ray

    with cluster("auto") as offered:
        assert offered.resources() == (4.0, 0.0)
    assert ray.is_initialized()


class _Executor:
    """Like Ray Data's executor: ends when nothing holds it."""

    def __init__(self, ended: list[str]) -> None:
        self._ended = ended

    def __del__(self) -> None:
        self._ended.append("executor")


@pytest.mark.parametrize("told_as", ["itself", "cause", "its own cause"])
def test_what_an_interrupted_frame_holds_ends_before_ray(
    monkeypatch: pytest.MonkeyPatch, told_as: str
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(Cluster, "close", lambda self: ended.append("Ray"))

    def interrupted() -> None:
        held = _Executor(ended)
        raise Terminated(held is None)

    def stage() -> None:
        try:
            interrupted()
        except Terminated as exc:
            if told_as == "itself":
                raise
            error = WorkerError("a worker failed")
            if told_as == "its own cause":
                exc.__cause__ = error
            raise error from exc

    with pytest.raises((Terminated, WorkerError)), cluster("local"):
        stage()
    assert ended == ["executor", "Ray"]


# --- mapping ----------------------------------------------------------------------------------


def _doubled(arguments: dict[str, Any], count: int = 40) -> list[int]:
    rows = [{"number": i} for i in range(count)]
    return sorted(row["number"] for row in map_rows(rows, Doubler, arguments, 2, 1.0))


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
class TestMapping:
    def test_every_row_comes_back_once(self) -> None:
        assert _doubled({"mode": "double"}) == list(range(0, 80, 2))

    def test_a_killed_worker_is_replaced_and_its_rows_repeated(self, tmp_path: Path) -> None:
        arguments = {"mode": "die once", "folder": str(tmp_path)}
        assert _doubled(arguments) == list(range(0, 80, 2))
        assert (tmp_path / "died").exists()

    def test_an_error_raised_on_purpose_arrives_as_it_was(self) -> None:
        with pytest.raises(ConfigError, match=r"^the worker says no$"):
            _doubled({"mode": "own error"})

    def test_a_bug_ends_with_one_clear_message(self) -> None:
        with pytest.raises(WorkerError) as caught:
            _doubled({"mode": "bug"})
        first, *rest = str(caught.value).splitlines()
        assert first == "a worker failed: ZeroDivisionError: a bug in a worker"
        assert "run again" in rest[0]
        assert any("ray_workers.py" in line for line in rest)
        assert caught.value.exit_code == 1

    def test_a_bug_in_a_constructor_does_not_hang(self) -> None:
        with pytest.raises(WorkerError, match="a bug in a constructor"):
            list(map_rows([{"number": 1}], Unstartable, {}, 1, 1.0))

    def test_a_shard_that_kills_its_workers_is_set_aside_and_the_rest_goes_on(
        self, tmp_path: Path
    ) -> None:
        names = ["a", "b", "poison", "c", "d"]
        rows = shard_rows([Shard(name, f"/pool/{name}.tar", None) for name in names])
        with counted_attempts() as attempts:
            arguments = {"attempts": attempts, "folder": str(tmp_path)}
            results = list(map_rows(rows, Poisoned, arguments, 2, 1.0))
        errors = {row["id"]: row["error"] for row in results}
        assert sorted(errors) == sorted(names)
        assert errors.pop("poison").startswith("/pool/poison.tar: 3 workers died over it")
        assert set(errors.values()) == {""}
        assert (tmp_path / "deaths").read_text() == "..."

    def test_the_progress_line_counts_a_repeated_shard_once(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import ray

        with tallied(Task("score", 2)) as tally:
            for _ in range(3):
                ray.get(tally.add.remote({"shards": 1, "read": 5}))
        assert "score  2/2 shards · 15 pairs" in capsys.readouterr().err

    def test_a_lost_tally_does_not_end_the_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        import ray

        with tallied(Task("score", 2)) as tally:
            ray.kill(tally)
            time.sleep(0.1)
        assert "score  0/2 shards" in capsys.readouterr().err

    def test_errors_of_ray_itself_are_told_as_ours(self) -> None:
        import ray

        actor = ray.remote(Doubler).options(num_cpus=0).remote("double")
        ray.kill(actor)
        with pytest.raises(WorkerError, match="run again"), unwrapped():
            ray.get(actor.__call__.remote({}))


# --- the Reference's sample -------------------------------------------------------------------


def test_the_sample_is_the_smallest_hashes(tmp_path: Path) -> None:
    write_shards(tmp_path)
    shards = list_shards(f"{tmp_path}/*.tar")
    policy = SamplePolicy()
    hashes = np.concatenate([hash_samples(shard, policy, 3) for shard in shards])
    assert len(np.unique(hashes)) == sum(SIZES)
    threshold = choose_threshold(hashes, 10)
    assert (hashes <= threshold).sum() == 10
    assert choose_threshold(hashes, 1000) >= hashes.max()
    assert hashes.min() >= 0


def test_the_order_of_sampling_depends_on_the_seed_alone(tmp_path: Path) -> None:
    write_shards(tmp_path, (1,) * 12)
    shards = list_shards(f"{tmp_path}/*.tar")
    assert sampling_order(shards, 0) == sampling_order(shards[::-1], 0)
    assert sampling_order(shards, 0) != sampling_order(shards, 1)
    assert sample_hash(0, "a", "bc") != sample_hash(0, "ab", "c")


# --- sessions ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def started(
    local_ray: None, tiny_model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A session with one embedder, over the usual pool."""
    from curate.pipeline.stages import session

    folder = tmp_path_factory.mktemp("session")
    write_shards(folder / "pool")
    config = config_of(tiny_model, f"{folder}/pool/*.tar", folder / "run")
    with session(config, Store(str(folder / "settled")), (4.0, 0.0), 5) as opened:
        yield opened


@pytest.fixture(scope="module")
def fitted(started: Any) -> tuple[Reference, Sample]:
    from curate.pipeline.stages import fit_reference

    store = Store(started.config.output.run_dir)
    return fit_reference(started, store, REFERENCE_FOLDER, list_shards(started.config.input.shards))


def _batch(encoder: Encoder, n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    height, width = encoder.info.pixels.size
    pixels = rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    tokens = rng.integers(1, 1000, (n, encoder.info.context_length), dtype=np.int32)
    return pixels, tokens


@pytest.mark.ray
class TestSession:
    def test_batch_size_does_not_matter(
        self, started: Any, fitted: tuple[Reference, Sample], tmp_path: Path
    ) -> None:
        from curate.pipeline.stages import score

        shards = list_shards(started.config.input.shards)
        tables = {}
        for size in (1, 7, 32):
            run = RunDir(Store(str(tmp_path / str(size))))
            held = Held(fitted[0])
            changed = replace(started, batch_size=size)
            assert score(changed, run.store, shards, "id", held, "reference", None) == {}
            tables[size] = [run.store.read_table(f"scores/{s.id}.parquet") for s in shards]
        for size in (1, 7):
            for ours, theirs in zip(tables[size], tables[32], strict=True):
                for name in ours.column_names:
                    if name.endswith(("informativeness", "score", "norm")):
                        np.testing.assert_allclose(
                            ours[name].to_numpy(), theirs[name].to_numpy(), rtol=1e-4, atol=1e-6
                        )
                    else:
                        assert ours[name].equals(theirs[name])

    def test_shards_that_cannot_be_read_fail_alone(
        self, started: Any, fitted: tuple[Reference, Sample], tmp_path: Path
    ) -> None:
        from curate.pipeline.stages import score

        write_shards(tmp_path / "pool", (3, 2))
        shards = list_shards(f"{tmp_path}/pool/*.tar")
        (tmp_path / "pool" / "00000.tar").unlink()
        run = RunDir(Store(str(tmp_path / "run")))
        errors = score(started, run.store, shards, "id", Held(fitted[0]), "reference", None)
        assert set(errors) == {"00000"}
        assert "cannot be opened" in errors["00000"]
        assert run.failures() == errors
        assert run.committed() == {"00001"}

    def test_no_readable_shard_for_the_reference_is_an_error(
        self, started: Any, tmp_path: Path
    ) -> None:
        from curate.pipeline.stages import fit_reference

        write_shards(tmp_path, (3,))
        shards = list_shards(f"{tmp_path}/*.tar")
        (tmp_path / "00000.tar").unlink()
        with pytest.raises(ShardError, match=r"00000\.tar"):
            fit_reference(started, Store(str(tmp_path)), REFERENCE_FOLDER, shards)

    def test_a_bug_while_scoring_names_the_shard_and_keeps_the_others(
        self, started: Any, fitted: tuple[Reference, Sample], tmp_path: Path
    ) -> None:
        from curate.pipeline.stages import score

        write_shards(tmp_path / "pool", (3, 2))
        shards = list_shards(f"{tmp_path}/pool/*.tar")
        run = RunDir(Store(str(tmp_path / "run")))
        assert score(started, run.store, shards[:1], "id", Held(fitted[0]), "r", None) == {}
        # A worker that is told of a geometry the model does not have stands for any bug.
        spec = replace(started.model.pixels, size=(7, 7))
        broken = replace(started, model=replace(started.model, pixels=spec))
        with pytest.raises(WorkerError, match=r"00001\.tar"):
            score(broken, run.store, shards[1:], "id", Held(fitted[0]), "r", None)
        assert run.committed() == {"00000"}

    def test_a_model_that_is_not_there_is_named(self, local_ray: None, tmp_path: Path) -> None:
        from curate.pipeline.stages import session

        config = config_of(f"local-dir:{tmp_path}/nothing", "x", tmp_path)
        with (
            pytest.raises(ModelError, match="nothing"),
            session(config, Store(str(tmp_path)), (4.0, 0.0), 1),
        ):
            pytest.fail("a session without a model")

    def test_a_killed_embedder_comes_back_and_answers(
        self,
        started: Any,
        fitted: tuple[Reference, Sample],
        tiny_encoder: Encoder,
        tmp_path: Path,
    ) -> None:
        import ray

        from curate.pipeline.embed_client import LeastLoaded
        from curate.pipeline.embedder import ReferenceHandle

        store = Store(str(tmp_path))
        reference_files.save(store, "reference", *fitted)
        handle = ReferenceHandle(
            "id", (ray.put(Held(fitted[0])),), store, "reference", started.config
        )
        shard = Shard("a", "/pool/a.tar", None)
        with counted_attempts() as attempts:
            client = LeastLoaded(shard, started.embedders, attempts, "score", handle, True)
            self._kill_and_collect(client, _batch(tiny_encoder))

    def _kill_and_collect(self, client: Any, batch: tuple[np.ndarray, np.ndarray]) -> None:
        pixels, tokens = batch
        first = client.collect(client.submit(pixels, tokens))
        pending = [client.submit(pixels, tokens) for _ in range(4)]
        _kill_embedder()
        for again in map(client.collect, pending):
            for name, values in first.scores.items():
                np.testing.assert_array_equal(again.scores[name], values)

    def test_the_reference_is_read_from_its_file_when_the_object_is_gone(
        self,
        started: Any,
        fitted: tuple[Reference, Sample],
        local_ray: None,
        tmp_path: Path,
    ) -> None:
        import ray

        from curate.pipeline.embedder import ReferenceHandle

        # Owned by a process that dies: what becomes of the object if a driver goes down.
        owner = ray.remote(Owner).options(num_cpus=0).remote()
        kept = ray.get(owner.put.remote(Held(fitted[0])))
        store = Store(str(tmp_path))
        handle = ReferenceHandle("id", tuple(kept), store, "reference", started.config)
        fetch = ray.remote(ReferenceHandle.fetch).options(num_cpus=0, max_retries=0)
        assert ray.get(fetch.remote(handle)).reference.identity == fitted[0].identity
        ray.kill(owner)
        deadline = time.monotonic() + 60
        lost = None
        while lost is None and time.monotonic() < deadline:
            try:
                with unwrapped():
                    ray.get(fetch.remote(handle))
            except ReferenceFileError as exc:
                lost = exc
        assert lost is not None, "the object outlived its owner"
        assert "holds no complete Reference" in str(lost)
        reference_files.save(store, "reference", *fitted)
        assert ray.get(fetch.remote(handle)).reference.identity == fitted[0].identity


def _kill_embedder() -> None:
    psutil = pytest.importorskip("psutil", reason="not brought by this Ray")
    found = [p for p in psutil.process_iter(["cmdline"]) if _is_embedder(p.info["cmdline"])]
    own = {p.pid for p in psutil.Process().children(recursive=True)}
    embedders = [p for p in found if p.pid in own]
    assert len(embedders) == 1
    embedders[0].kill()


def _is_embedder(command: list[str] | None) -> bool:
    return bool(command) and command[0].startswith("ray::Embedder")
