"""Runs that are stopped, at chosen places and at random, end in the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray._private.utils  # makes the psutil that Ray brings importable
import yaml
from factories import jpeg, sample_members, tar_bytes
from launching import interruptible
from pools import config_tree, snapshot, stamps

from curate.stopping import INTERRUPTED, TERMINATED

psutil = pytest.importorskip("psutil", reason=f"not brought by Ray {ray.__version__}")

pytestmark = pytest.mark.ray

REPOSITORY = Path(__file__).resolve().parents[1]

SHARDS = 12
SAMPLES = 24
PACE_SECONDS = 0.25
AT_ONCE = 1
SCORE_WORKER = "ray::MapWorker(MapBatches(ScoreWorker"
RUN_SECONDS = 240
LOOKING_SECONDS = 0.5
DYING_SECONDS = 120

# Loaded by every process of a run through PYTHONPATH: when a file that matches is about to be
# written ("before") or is half-written ("middle"), the driver and the writer get SIGKILL. Once.
# A pace keeps shards from being committed faster than a test can act.
SITECUSTOMIZE = """
import os, re, signal, sys, time
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

os.environ.setdefault("FAULT_DRIVER", str(os.getpid()))


def die():
    try:
        os.close(os.open(os.environ["FAULT_FIRED"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(int(os.environ["FAULT_DRIVER"]), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def arm(module):
    place, _, pattern = os.environ["FAULT_POINT"].partition(" ")
    pace = float(os.environ["FAULT_PACE"])
    create = module.Store.create
    write = module.HashingFile.write

    class Half(module.HashingFile):
        def write(self, data):
            write(self, data[: len(data) // 2])
            die()
            return write(self, data[len(data) // 2 :])

    from contextlib import contextmanager

    @contextmanager
    def watched(self, relative, **options):
        hit = re.fullmatch(pattern, relative)
        if hit and place == "before":
            die()
        if re.fullmatch(r"state/\\d+\\.json", relative):
            time.sleep(pace)
        with create(self, relative, **options) as sink:
            if hit and place == "middle":
                sink.__class__ = Half
            yield sink

    module.Store.create = watched


class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "curate.outputs":
            return None
        spec = PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module

        def execute(module):
            run(module)
            arm(module)

        spec.loader.exec_module = execute
        return spec


if "FAULT_POINT" in os.environ:
    sys.meta_path.insert(0, Finder())
"""

FAMILIES: dict[int, Any] = {}
"""Every process that a run of this module started."""


@dataclass
class Place:
    """A configuration and the folder its runs start in; the run directory is `run` in there."""

    folder: Path
    tree: dict[str, object]
    attempts: list[str] = field(default_factory=list)
    committed: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def markers(self) -> list[Path]:
        return [p for p in (self.run / "state").glob("*.json") if p.stem.isdigit()]

    def note(self) -> None:
        """Check that what was committed has not been written again since."""
        done = {p.stem for p in self.markers()}
        for name, stamp in stamps(self.run).items():
            shard = Path(name).stem
            if shard in done and re.match(r"(scores|embeddings|state)/\d+\.\w+$", name):
                assert self.committed.setdefault(name, stamp) == stamp, f"{name} written again"


@dataclass
class Going:
    """A run that goes on in another process group."""

    process: subprocess.Popen[str]
    log: Path
    family: dict[int, Any] = field(default_factory=dict)
    looked: float = 0.0

    def look(self, now: bool = False) -> None:
        """Note every descendant, to be able to find it when its parents are gone."""
        if not now and time.monotonic() < self.looked + LOOKING_SECONDS:
            return  # to walk all processes costs more than what is tested
        self.looked = time.monotonic()
        try:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.family.setdefault(child.pid, child)
        except psutil.NoSuchProcess:
            return

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + RUN_SECONDS
        while not holds():
            self.look()
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def wait(self) -> int:
        deadline = time.monotonic() + RUN_SECONDS
        while self.process.poll() is None:
            self.look()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return self.process.returncode

    def named(self, title: str) -> Any:
        """A descendant whose title begins so; None if there is none."""
        return next((p for p in self.family.values() if _title(p).startswith(title)), None)

    def lose_power(self) -> None:
        """Kill everything at once."""
        self.look(now=True)
        os.killpg(self.process.pid, signal.SIGKILL)
        for child in self.family.values():
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(self.family.values(), timeout=DYING_SECONDS)


def _title(process: Any) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def going(place: Place, fault: str = "", pace: float = 0.0) -> Iterator[Going]:
    """Start `curate run`; a run that is left going is killed."""
    site = place.folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
    config = place.folder / "run.yaml"
    config.write_text(yaml.safe_dump(place.tree))
    number = len(place.attempts)
    place.attempts.append(fault)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
        "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)]),
        "OMP_NUM_THREADS": "1",
        "FAULT_POINT": fault,
        "FAULT_PACE": str(pace),
        "FAULT_FIRED": str(place.folder / f"fired-{number}"),
    }
    log = place.folder / f"log-{number}.txt"
    with log.open("w") as sink:
        process = subprocess.Popen(
            interruptible("-m", "curate.cli", "run", str(config)),
            cwd=place.folder,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    run = Going(process, log)
    try:
        yield run
    finally:
        if process.poll() is None:
            run.look(now=True)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        FAMILIES.update(run.family)


def half_written(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*.partial")]


def finish(place: Place) -> None:
    with going(place) as run:
        assert run.wait() == 0, run.log.read_text()
    place.note()


# --- stories: each is one run directory, from its first run to the last -----------------------


def undisturbed(place: Place) -> None:
    """A run that nothing happens to."""
    finish(place)


def killed(place: Place) -> None:
    """Runs that get SIGKILL at chosen places."""

    def die_at(point: str) -> None:
        with going(place, point) as run:
            assert run.wait() == -signal.SIGKILL, run.log.read_text()
            assert (place.folder / f"fired-{len(place.attempts) - 1}").exists()
        place.note()

    # The Reference is there but for its description, which makes it count.
    die_at(r"middle reference/reference\.json")
    assert (place.run / "reference" / "reference.npz").exists()
    assert not (place.run / "reference" / "reference.json").exists()

    # Scores and embeddings of a shard are there, the marker is not.
    die_at(r"before state/00003\.json")
    assert (place.run / "scores" / "00003.parquet").exists()
    assert not (place.run / "state" / "00003.json").exists()

    # The pool is scored, its decisions are half there.
    die_at(r"before subsets/default/decisions/00005\.parquet")
    assert len(place.markers()) == SHARDS
    assert not (place.run / "subsets" / "default" / "summary.json").exists()

    # In the middle of a tar; then with the tar complete and its marker missing.
    die_at(r"middle shards/default/00002\.tar")
    assert half_written(place.run)
    assert not (place.run / "shards" / "default" / "00002.tar").exists()
    die_at(r"before state/shards/default/00004\.json")
    assert half_written(place.run) == []
    assert (place.run / "shards" / "default" / "00004.tar").exists()

    finish(place)


def interrupted(place: Place) -> None:
    """Runs that are stopped by hand, at whatever moment, and one whose actors are killed."""
    rng = random.Random(20240607)

    def commits_another(run: Going) -> None:
        before = len(place.markers())
        run.wait_until(lambda: len(place.markers()) > before)

    # Ctrl-C, which a terminal sends to the whole group, is the gentle way to stop.
    with going(place, pace=PACE_SECONDS) as run:
        commits_another(run)
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.wait() == INTERRUPTED, run.log.read_text()
        text = run.log.read_text()
    assert "Traceback" not in text
    assert "run again" in text
    place.note()

    # SIGTERM, the notice of a preemption, may go to the driver alone.
    with going(place, pace=PACE_SECONDS) as run:
        commits_another(run)
        run.look(now=True)
        run.process.terminate()
        assert run.wait() == TERMINATED, run.log.read_text()
        text = run.log.read_text()
    assert "Traceback" not in text
    assert "terminated; what is finished is kept: run again" in text
    place.note()

    with going(place, pace=PACE_SECONDS) as run:
        commits_another(run)
        time.sleep(rng.uniform(0, 2 * PACE_SECONDS))
        run.lose_power()
        assert run.wait() == -signal.SIGKILL
    place.note()

    # The only embedder and the only worker die, and the run goes on.
    with going(place, pace=PACE_SECONDS) as run:
        commits_another(run)
        run.look(now=True)
        embedder, worker = run.named("ray::Embedder"), run.named(SCORE_WORKER)
        assert embedder is not None
        assert worker is not None
        embedder.kill()
        time.sleep(PACE_SECONDS)
        worker.kill()
        assert len(place.markers()) < SHARDS, "killed too late to matter"
        assert run.wait() == 0, run.log.read_text()
    place.note()


STORIES = (killed, interrupted, undisturbed)


@pytest.fixture(scope="module")
def stories(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: str
) -> Iterator[dict[str, Future[Place]]]:
    """The stories, told two at a time: a run mostly waits for one process or another to start."""
    folder = tmp_path_factory.mktemp("stories")
    (folder / "pool").mkdir()
    for number in range(SHARDS):
        members: list[tuple[str, bytes]] = []
        for i in range(SAMPLES):
            key = f"{number:05d}{i:04d}"
            image = jpeg(320, 240, seed=int(key))
            rest = sample_members(key, f"a thing called {key}")[1:]
            members += [(f"{key}.jpg", image), *rest]
        (folder / "pool" / f"{number:05d}.tar").write_bytes(tar_bytes(members))
    tree = config_tree(
        tiny_model,
        f"{folder}/pool/*.tar",
        Path("run"),
        reference={"samples": 50},
        rules={"all": [{"image_informativeness": {"drop_lowest": 0.3}}]},
        output={"save_embeddings": True},
        limits={"member_bytes": 1_000_000},
    )

    def told(story: Callable[[Place], None]) -> Place:
        place = Place(folder / story.__name__, tree)
        place.folder.mkdir()
        story(place)
        return place

    with ThreadPoolExecutor(AT_ONCE) as tellers:
        yield {story.__name__: tellers.submit(told, story) for story in STORIES}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("story", ["killed", "interrupted"])
def test_a_stopped_run_goes_on_where_it_was(stories: dict[str, Future[Place]], story: str) -> None:
    run = stories[story].result().run
    assert half_written(run) == []
    assert snapshot(run) == snapshot(stories["undisturbed"].result().run)


def test_no_process_outlives_its_run() -> None:
    if not FAMILIES:
        pytest.skip("no run was started before this test")
    left = psutil.wait_procs(FAMILIES.values(), timeout=DYING_SECONDS)[1]
    titles = [_title(process) for process in left]
    for process in left:
        process.kill()
    assert titles == []
