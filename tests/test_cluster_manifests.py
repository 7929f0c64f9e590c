"""The manifests in configs/cluster/: they parse, name what exists, and the batch script works."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from curate.config import load_config

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "configs" / "cluster"
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
YAMLS = [path for path in FILES if path.suffix == ".yaml"]
NAMED = re.compile(r"(?<![\w/.-])((?:configs|jobs|docs)/[\w./-]*\w)")
"""A path of the repository, wherever a manifest mentions one."""


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def ray_version() -> str:
    (found,) = re.findall(r"^ray==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    return str(found)


def test_there_is_one_for_each_kind_of_cluster() -> None:
    names = {path.name for path in FILES}
    assert {"kuberay-rayjob.yaml", "aws-launcher.yaml", "slurm.sbatch", "Dockerfile"} <= names


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.name)
def test_it_is_yaml_with_comments(path: Path) -> None:
    text = path.read_text()
    assert isinstance(yaml.safe_load(text), dict)
    assert text.startswith("# ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_it_names_exists(path: Path) -> None:
    for name in NAMED.findall(path.read_text()):
        assert (REPOSITORY / name).exists(), f"{path.name} names {name}"


def test_the_rayjob_runs_a_job_with_a_configuration_that_loads() -> None:
    spec = read("kuberay-rayjob.yaml")["spec"]
    python, script, config, *overrides = shlex.split(spec["entrypoint"])
    assert (python, script) == ("python", "jobs/run.py")
    assert set(overrides[::2]) == {"--set"}
    loaded = load_config(REPOSITORY / config, overrides[1::2])
    assert loaded.output.run_dir.startswith("s3://")
    assert loaded.model.device == "cuda"
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["backoffLimit"] > 0


def test_the_rayjob_ships_the_folder_of_the_image() -> None:
    spec = read("kuberay-rayjob.yaml")["spec"]
    folder = re.search(r"^WORKDIR (\S+)$", (FOLDER / "Dockerfile").read_text(), re.M)
    assert folder is not None
    environment = yaml.safe_load(spec["runtimeEnvYAML"])
    assert environment["working_dir"] == folder[1]
    assert spec["rayClusterSpec"]["rayVersion"] == ray_version()


def test_the_rayjob_has_an_idle_head_and_fixed_groups() -> None:
    cluster = read("kuberay-rayjob.yaml")["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    assert set(groups) == {"cpu", "gpu"}
    gpus = {}
    for name, group in groups.items():
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        gpus[name] = int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
    assert gpus["cpu"] == 0 < gpus["gpu"]


def test_the_image_copies_what_exists() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (FOLDER / "Dockerfile").read_text(), re.M)
    sources = [source for line in copied for source in line.split()]
    assert "curate" in sources
    for source in sources:
        assert (REPOSITORY / source).exists(), source


def test_the_launcher_file_follows_rays_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema, which Ray brings")
    package = importlib.util.find_spec("ray")
    assert package is not None
    assert package.origin is not None
    schema = json.loads((Path(package.origin).parent / "autoscaler/ray-schema.json").read_text())
    tree = read("aws-launcher.yaml")
    jsonschema.validate(tree, schema)
    kinds = tree["available_node_types"]
    assert kinds["head"]["resources"] == {"CPU": 0}
    assert kinds["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in kinds["cpu"]["node_config"]
    workers = [kind for name, kind in kinds.items() if name != tree["head_node_type"]]
    assert all(kind["min_workers"] == kind["max_workers"] for kind in workers)
    assert tree["max_workers"] == sum(kind["max_workers"] for kind in workers)


def test_the_runtime_environment_installs_the_checkout() -> None:
    placeholder = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"
    packages = read("runtime-env.yaml")["pip"]["packages"]
    assert placeholder in packages
    (constraint,) = [line for line in packages if line.startswith("--constraint ")]
    path = constraint.removeprefix(f"--constraint {placeholder}/")
    assert (REPOSITORY / path).is_file()


# --- the batch script, with Slurm and Ray played by scripts that write down how they are called ---

SRUN = """#!/bin/bash
echo "srun $*" | head -n 1 >>"$CALLS"
exec sleep 60
"""
SCONTROL = """#!/bin/bash
if [[ "$1" == show ]]; then tr , '\\n' <<<"$3"; else echo "scontrol $*" >>"$CALLS"; fi
"""
RAY = """#!/bin/bash
echo "ray $*" >>"$CALLS"
case "$*" in
  list*) echo '[{}, {}, {}]' ;;
  "job submit -- true") ;;
  "job submit"*) sleep "${JOB_SECONDS:-0}" >/dev/null 2>&1; exit "${JOB_CODE:-0}" ;;
esac
"""


def slurm(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start the batch script in a folder, as Slurm would, over one CPU node and two GPU nodes."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "ray": RAY}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    (folder / "calls").touch()
    environment = {
        "PATH": os.environ["PATH"],
        "USER": "someone",
        "CALLS": str(folder / "calls"),
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": "42",
        "SLURMD_NODENAME": "node0",
        "SLURM_HET_SIZE": "2",
        "SLURM_JOB_NODELIST_HET_GROUP_0": "node0",
        "SLURM_JOB_NODELIST_HET_GROUP_1": "node1,node2",
        "SLURM_CPUS_PER_TASK_HET_GROUP_0": "8",
        "SLURM_CPUS_PER_TASK_HET_GROUP_1": "16",
        **variables,
    }
    return subprocess.Popen(
        ["/bin/bash", str(FOLDER / "slurm.sbatch"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_the_batch_script_is_bash() -> None:
    subprocess.run(["/bin/bash", "-n", str(FOLDER / "slurm.sbatch")], check=True)
    directives = re.findall(r"^#SBATCH (.+)$", (FOLDER / "slurm.sbatch").read_text(), re.M)
    assert "--requeue" in directives
    assert any(line.startswith("--signal=B:TERM@") for line in directives)
    groups = " ".join(directives).split("hetjob")
    assert ["--gpus-per-node" in group for group in groups] == [False, True]


def test_shellcheck_finds_nothing() -> None:
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    program = shutil.which("shellcheck", path=folders)
    if program is None:
        pytest.skip("needs shellcheck: install the extra dev")
    command = [program, str(FOLDER / "slurm.sbatch")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_batch_script_starts_every_node_and_submits_the_job(tmp_path: Path) -> None:
    process = slurm(tmp_path, "a.yaml", "--set", "output.run_dir=x")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0, text
    started = sorted(line for line in calls(tmp_path) if line.startswith("srun"))
    assert len(started) == 2
    assert "--het-group=0 --nodes=1 --ntasks=1 --ntasks-per-node=1 --cpus-per-task=8" in started[0]
    assert "--het-group=1 --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=16" in started[1]
    *_, ready, submitted = calls(tmp_path)
    assert ready == "ray job submit -- true"
    assert submitted.startswith("ray job submit --submission-id curate-42-0 -- python ")
    assert submitted.endswith("/jobs/run.py a.yaml --set output.run_dir=x")


def test_the_batch_script_runs_on_one_group_alone(tmp_path: Path) -> None:
    alone = {"SLURM_JOB_NODELIST": "node0,node1,node2", "SLURM_CPUS_PER_TASK": "4"}
    names = ("SLURM_HET_SIZE", *(f"SLURM_JOB_NODELIST_HET_GROUP_{i}" for i in range(2)))
    names += tuple(f"SLURM_CPUS_PER_TASK_HET_GROUP_{i}" for i in range(2))
    process = slurm(tmp_path, "a.yaml", **(dict.fromkeys(names, "") | alone))
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0, text
    (started,) = [line for line in calls(tmp_path) if line.startswith("srun")]
    assert started.startswith("srun --nodes=3 --ntasks=3 --ntasks-per-node=1 --cpus-per-task=4")


def test_a_failed_job_fails_the_batch_script(tmp_path: Path) -> None:
    process = slurm(tmp_path, "a.yaml", JOB_CODE="1")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1, text
    assert not any("requeue" in line for line in calls(tmp_path))


def test_a_preempted_batch_script_stops_the_job_and_queues_itself_again(tmp_path: Path) -> None:
    process = slurm(tmp_path, "a.yaml", JOB_SECONDS="30")
    deadline = time.monotonic() + 30
    while not any("--submission-id" in line for line in calls(tmp_path)):
        assert time.monotonic() < deadline, "the job was not submitted"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 143, text
    assert calls(tmp_path)[-2:] == ["ray job stop curate-42-0", "scontrol requeue 42"]


def test_a_batch_script_without_a_configuration_says_so(tmp_path: Path) -> None:
    text, _ = (process := slurm(tmp_path)).communicate(timeout=60)
    assert process.returncode == 2
    assert "give a configuration" in text
