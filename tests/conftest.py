"""Fixtures that every test module may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # torch and open_clip take seconds to import: fixtures import what they need
    from local_run import LocalRun

    from curate.encoder import Encoder

# A call of Ray that no cluster was started for would start one, or join whichever another test
# process has just noted for the machine: it would end with that, a minute later. Read when Ray is
# imported.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"

# The driver of Google Storage asks by gRPC what kind of bucket it has. The server that plays the
# store answers one connection at a time and no gRPC: it hangs. Read when the driver is first
# imported, by whichever test that is.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


LONGEST = (
    "test_resume.py",
    "test_end_to_end.py",
    "test_jobs.py",
    "test_costly_scores.py",
    "paper/test_command.py",
    "test_pipeline.py",
    "test_bad_shards.py",
    "test_download.py",
)
"""Modules that take minutes begin first: side by side with the others, none is left to the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first, and leave the order as it is otherwise."""

    def rank(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((i for i, name in enumerate(LONGEST) if path.endswith(name)), len(LONGEST))

    items.sort(key=rank)


LOG_TAIL = 40
"""Lines of each of Ray's logs that are shown when a test process is lost."""


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Show the last words of the Ray of a test process that was lost: Ray may end its driver."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if error is None or process is None:
        return
    for session in Path("/tmp/ray").glob(f"session_*_{process.pid}"):
        for name in ("gcs_server.out", "gcs_server.err", "raylet.out", "python-core-driver*"):
            for log in session.glob(f"logs/{name}"):
                lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
                terminal = node.config.get_terminal_writer()
                terminal.write("\n".join(["", f"--- {log}", *lines, ""]))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pairs beside the checkout; the test is skipped, visibly, without it."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip(f"needs the real data at {SHARED_DATA}, which is not there")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The `local-dir:` name of a CLIP model with random weights, width 16."""
    from models import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same with a bias and a sigmoid."""
    from models import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "siglip", siglip=True)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_model: str) -> Encoder:
    """The CLIP model, loaded on the CPU."""
    from curate.config import ModelConfig
    from curate.encoder import Encoder

    return Encoder(ModelConfig(name=tiny_model, device="cpu"))


@pytest.fixture(scope="session")
def pristine_run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> LocalRun:
    """Three small shards, scored in this process; not to be changed: see `scored_run`."""
    from local_run import score_locally, write_pool

    from curate.manifest import RunDir
    from curate.outputs import Store

    folder = tmp_path_factory.mktemp("pristine")
    spec = write_pool(folder / "pool")
    return score_locally(RunDir(Store(str(folder / "run"))), spec, tiny_encoder)


@pytest.fixture
def scored_run(pristine_run: LocalRun, tmp_path: Path) -> LocalRun:
    """A copy of the scored run and of its shards, free to be damaged."""
    from curate.manifest import RunDir
    from curate.outputs import Store

    shutil.copytree(pristine_run.folder.parent, tmp_path, dirs_exist_ok=True)
    old, new = str(pristine_run.folder.parent), str(tmp_path)
    run = RunDir(Store(str(tmp_path / "run")))
    shards = tuple(replace(s, url=s.url.replace(old, new)) for s in pristine_run.shards)
    (tmp_path / "run" / "manifest.parquet").unlink()
    run.write_manifest(shards)
    for shard in shards:
        marker = run.require_marker(shard.id)
        run.commit(replace(marker, url=shard.url))
    return replace(pristine_run, run=run, shards=shards)


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray of four logical CPUs for all tests that need one; what is tested joins it."""
    import logging

    import ray

    from curate.pipeline.cluster import ENVIRONMENT

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, os.environ.get(name, value))
        # Actors import the helpers beside the tests.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(REPOSITORY)]))
        ray.init(
            address="local",
            num_cpus=4,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        yield
        ray.shutdown()
