"""The scripts in jobs/, under a real `ray job submit` against a cluster started here."""

from __future__ import annotations

import os
import runpy
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
import ray._private.utils  # makes the psutil that Ray brings importable
import yaml
from hub_server import REPOSITORY as DATASET
from hub_server import Hub, serve_hub
from pools import config_tree, write_shards

from curate.manifest import RunDir
from curate.outputs import Store
from curate.run_log import read_log
from curate.verification import verify

psutil = pytest.importorskip("psutil", reason=f"not brought by Ray {ray.__version__}")

pytestmark = pytest.mark.ray

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 120
STOP_SECONDS = 60
JOB_SECONDS = 300


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, all different; another process may still be faster."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(frozen=True)
class Head:
    """A running cluster.

    Attributes:
        dashboard: its address.
        environment: of whoever submits.
        hub: what its nodes read `hf://` from.
    """

    dashboard: str
    environment: dict[str, str]
    hub: Hub

    def submit(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`ray job submit`, to its end."""
        return self.job("submit", "--", *command_of(script, *arguments))

    def job(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`ray job`, to its end."""
        ray = Path(sys.executable).with_name("ray")
        return subprocess.run(
            [str(ray), "job", action, "--address", self.dashboard, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=JOB_SECONDS,
            check=False,
        )


def command_of(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(REPOSITORY / "jobs" / script), *arguments]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub for `hf://`."""
    with serve_hub() as serving:
        yield serving


@pytest.fixture(scope="module")
def head(hub: Hub) -> Iterator[Head]:
    """A head node with a dashboard, on ports of its own; it ends with the module."""
    names = ("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port")
    names += ("metrics-export-port", "runtime-env-agent-port", "ray-client-server-port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    # Sockets live in there, and their paths are limited to about a hundred bytes.
    folder = tempfile.mkdtemp(prefix="ray")
    token = secrets.token_hex(16)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "OMP_NUM_THREADS": "1",
        "HF_ENDPOINT": hub.address,
        "RAY_JOB_STOP_WAIT_TIME_S": "60",
        "PYTHONPATH": str(REPOSITORY),
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += ["--num-cpus=2", "--num-gpus=0", "--include-dashboard=true", f"--temp-dir={folder}"]
    command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"]
    command += [f"--{name}={port}" for name, port in ports.items()]
    log = Path(folder) / "start.txt"
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, env=environment, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        _wait_for(process, ports["dashboard-port"], token, log)
        yield Head(f"http://127.0.0.1:{ports['dashboard-port']}", environment, hub)
    finally:
        end_family(process)
        shutil.rmtree(folder, ignore_errors=True)


def end_family(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started: nothing of it is wanted, and Ray ends slowly."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(family, timeout=STOP_SECONDS)
    process.wait(STOP_SECONDS)


def _wait_for(process: subprocess.Popen[bytes], port: int, token: str, log: Path) -> None:
    import urllib.error
    import urllib.request

    # Ray asks for a token of whoever may submit; before 2.52 it ignores the header.
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/version", headers={"Authorization": f"Bearer {token}"}
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(asked, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.5)
    pytest.skip(f"a Ray head with a dashboard did not start: {log.read_text()[-2000:]}")


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + JOB_SECONDS
    while not there():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def test_jobs_do_what_the_commands_do_and_read_from_the_hub(
    head: Head, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "pool", (9, 6))
    head.hub.put({f"v1/{path.name}": path.read_bytes() for path in (tmp_path / "pool").iterdir()})
    monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": head.hub.address})
    tree = config_tree(
        tiny_model,
        f"hf://datasets/{DATASET}/v1/*.tar",
        tmp_path / "run",
        reference={"samples": 8},
        rules={"all": [{"clip_score": {"keep_highest": 0.6}}]},
    )
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(tree))

    # Stopped when one of two shards is done, and submitted again: it goes on from there.
    run = RunDir(Store(str(tmp_path / "run")))
    first = tmp_path / "run" / "state" / "00000.json"
    head.hub.holds = lambda path: path.endswith("00001.tar") and first.exists()
    named = ("--no-wait", "--submission-id", "first-try")
    done = head.job("submit", *named, "--", *command_of("run.py", str(config)))
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(first.exists)
    written = first.stat().st_mtime_ns
    done = head.job("stop", "first-try")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'first-try' was stopped" in done.stdout + done.stderr
    ended = read_log(run.store)[-1]
    assert (ended["event"], ended["outcome"]) == ("command ends", "stopped")
    assert run.committed() == {"00000"}
    head.hub.holds = lambda path: False

    done = head.submit("run.py", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout + done.stderr
    assert first.stat().st_mtime_ns == written
    assert verify(run, deep=True).problems == []

    # Overrides reach the configuration; the other stages find what the first job left.
    done = head.submit("select_subset.py", str(config), "--set", "rules.all=[]")
    assert done.returncode == 0, done.stdout + done.stderr
    done = head.submit("filter.py", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    tables = sorted((tmp_path / "run" / "shards" / "default").glob("*.parquet"))
    assert sum(pq.read_table(table).num_rows for table in tables) == 15

    # A sweep finds that it runs on a cluster, and shares its scans out.
    grid = "sweep.grid={clip_score.keep_highest: [0.2, 0.6]}"
    done = head.submit("sweep.py", str(config), "--set", grid)
    assert done.returncode == 0, done.stdout + done.stderr
    swept = pq.read_table(tmp_path / "run" / "sweep" / "subsets.parquet")
    assert swept["kept"].to_pylist() == [3, 9]

    # A refusal fails the job, with the exit code of the command and its message in the log.
    refused = head.submit("score.py", str(config), "--set", "reference.seed=9")
    text = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "failed" in text
    assert "holds scores that were made in another way" in " ".join(text.split())
    assert "exit code 2" in text


def test_every_job_is_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = {"fit": "fit", "score": "score", "select_subset": "select", "filter": "filter"}
    for script, command in {**jobs, "sweep": "sweep", "run": "run", "paper": "paper"}.items():
        path = str(REPOSITORY / "jobs" / f"{script}.py")
        monkeypatch.setattr(sys, "argv", [path, "--help"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(path, run_name="__main__")
        assert not ended.value.code
        assert f"{script}.py {command} [OPTIONS]" in capsys.readouterr().out


def test_no_job_hides_a_module_of_the_standard_library() -> None:
    # `python jobs/x.py` puts the folder first on the path: a select.py there ends every import of
    # subprocess.
    names = {path.stem for path in (REPOSITORY / "jobs").glob("*.py")}
    assert names
    assert not names & sys.stdlib_module_names
