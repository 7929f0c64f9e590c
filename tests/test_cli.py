"""The command line without Ray: help, exit codes, and errors that name what is wrong."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_run import LocalRun, filter_locally
from typer.testing import CliRunner

from curate import __version__, cli, commands
from curate.config import Config, Rules
from curate.errors import ShardError
from curate.workspace import Outcome

COMMANDS = ["fit", "score", "select", "filter", "sweep", "run", "paper", "status"]
COMMANDS += ["explain", "report", "verify", "demo", "download", "init", "schema"]
MINIMAL = {"input": {"shards": "none/*.tar"}, "output": {"run_dir": "runs/x"}}
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def call(
    *arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Run the entry point in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["curate", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, ANSI.sub("", err)


@pytest.fixture
def curate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: call(*arguments, monkeypatch=monkeypatch, capsys=capsys)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def write(**sections: Any) -> str:
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(MINIMAL | sections))
        return str(path)

    return write


# --- help -----------------------------------------------------------------------------------


def test_the_front_page_lists_every_command_and_exit_code() -> None:
    result = CliRunner().invoke(cli.app, ["--help"])
    text = ANSI.sub("", result.output)
    assert result.exit_code == 0
    assert {c.name or c.callback.__name__ for c in cli.app.registered_commands} == set(COMMANDS)
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", text)
    for code in ("0 done", "2 wrong configuration", "3 done, but", "4 the accounts"):
        assert code in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself_with_an_example(command: str, option: str) -> None:
    result = CliRunner().invoke(cli.app, [command, option], env={"COLUMNS": "200"})
    text = ANSI.sub("", result.output)
    assert result.exit_code == 0
    assert f"Example: curate {command} " in text.replace("`", "")


def test_help_starts_in_a_moment_and_without_the_heavy_modules() -> None:
    script = (
        "import sys; from curate.cli import app; from typer.testing import CliRunner;"
        "assert CliRunner().invoke(app, ['run', '--help']).exit_code == 0;"
        "print(sorted({'ray', 'torch', 'open_clip'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_version_is_told(curate: Any) -> None:
    code, out, err = curate("--version")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first == f"curate {__version__}"
    assert second.startswith(f"Python {platform.python_version()}, ")
    assert f"ray {version('ray')}" in second


def test_the_entry_point_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "curate.cli", "status", "/none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "holds no run" in done.stderr
    assert "Traceback" not in done.stderr


# --- wrong requests -------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["fit", "score", "select", "filter", "run", "paper"])
def test_a_missing_configuration_is_refused(curate: Any, command: str) -> None:
    code, out, err = curate(command, "none.yaml")
    assert (code, out) == (2, "")
    assert "none.yaml" in err
    assert "error:" in err


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["score"], ["score", "a", "b"]])
def test_a_wrong_call_shows_how(curate: Any, arguments: list[str]) -> None:
    code, out, err = curate(*arguments)
    assert code == 2
    assert "Usage" in out + err


def test_a_wrong_value_is_named_with_what_is_allowed(curate: Any, config: Any) -> None:
    code, _, err = curate("score", config(model={"device": "tpu"}, colour=1))
    assert code == 2
    assert "model.device" in err
    assert "'auto', 'cpu' or 'cuda'" in err
    assert '(found "tpu")' in err
    assert "colour: unknown key" in err


def test_overrides_are_checked_like_the_file(curate: Any, config: Any) -> None:
    code, _, err = curate("score", config(), "--set", "reference.samples=1")
    assert code == 2
    assert "reference.samples" in err
    code, _, err = curate("score", config(), "--set", "reference.samples")
    assert code == 2
    assert "--set" in err


def test_shards_that_do_not_exist_are_refused_before_any_work(
    curate: Any, config: Any, tmp_path: Path
) -> None:
    for command in ("fit", "score", "run", "paper"):
        code, _, err = curate(command, config())
        assert code == 2
        assert "input.shards" in err
        assert "matches no file" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["select", "filter"])
def test_a_stage_without_the_one_before_says_which(curate: Any, config: Any, command: str) -> None:
    code, _, err = curate(command, config())
    assert code == 2
    assert "curate score" in err or "curate select" in err
    assert "Traceback" not in err


def test_names_from_the_data_are_text_in_errors(curate: Any) -> None:
    code, _, err = curate("status", "/none/[red]:cat:[/]\x1b[31m")
    assert code == 2
    assert "[red]:cat:[/]" in err
    assert "\x1b[31m" not in err


# --- commands without Ray -------------------------------------------------------------------


def test_status_of_a_run(curate: Any, scored_run: LocalRun) -> None:
    code, out, err = curate("status", str(scored_run.folder))
    assert (code, err) == (0, "")
    assert "3 of 3 shards scored" in out
    assert "undecodable_image" in out


def test_verify_of_a_run_and_of_a_damaged_one(curate: Any, scored_run: LocalRun) -> None:
    filter_locally(scored_run.store, scored_run.select(Rules(all=())), 5)
    for deep in ([], ["--deep"]):
        code, out, err = curate("verify", str(scored_run.folder), *deep)
        assert (code, err) == (0, "")
        assert "no problems" in out
    (scored_run.folder / "scores/00001.parquet").write_bytes(b"cut")
    (scored_run.folder / "state/00002.json").write_text("{")
    code, out, err = curate("verify", str(scored_run.folder))
    assert code == 4
    assert "scores/00001.parquet is not what was written" in out
    assert "00002" in out
    assert "problems in" in err


@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_place_without_a_run_is_refused(curate: Any, tmp_path: Path, command: str) -> None:
    code, _, err = curate(command, str(tmp_path))
    assert code == 2
    assert str(tmp_path) in err
    assert list(tmp_path.iterdir()) == []


def test_select_needs_no_ray(curate: Any, config: Any, scored_run: LocalRun) -> None:
    pattern = str(Path(scored_run.shards[0].url).parent / "*.tar")
    path = config(
        input={"shards": pattern},
        output={"run_dir": str(scored_run.folder), "subset": "strict"},
        rules={"all": [{"clip_score": {"drop_lowest": 0.5}}]},
    )
    code, out, _ = curate("select", path)
    assert code == 0
    assert "subset strict" in out
    assert "clip_score.drop_lowest=0.5" in out
    assert "subsets/strict/uids.npy" in out
    code, out, _ = curate("select", path, "--set", "rules={all: [{clip_score: {max: -2}}]}")
    assert code == 0
    assert re.search(r"kept\s+│\s+0\b", out)


@pytest.mark.parametrize(
    ("command", "arguments", "subset", "size"),
    [
        ("filter", ["--subset", "00012", "--samples-per-shard", "7"], "00012", 7),
        ("filter", ["--set", "output.subset=a", "--subset", "no"], "no", None),
        ("run", ["--samples-per-shard", "100"], "default", 100),
    ],
)
def test_short_options_stand_for_settings(
    curate: Any,
    config: Any,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    arguments: list[str],
    subset: str,
    size: int | None,
) -> None:
    seen: list[Config] = []
    name = {"filter": "run_filter", "run": "run_all"}[command]
    monkeypatch.setattr(commands, name, lambda c: seen.append(c) or Outcome("runs/x"))
    assert curate(command, config(), *arguments)[0] == 0
    assert (seen[0].output.subset, seen[0].output.samples_per_shard) == (subset, size)
    assert curate(command, config(), "--samples-per-shard", "0")[0] == 2


# --- exit codes -----------------------------------------------------------------------------


@pytest.mark.parametrize(("tolerated", "code"), [(False, 3), (True, 0)])
def test_unreadable_shards_set_the_exit_code_unless_tolerated(
    curate: Any, config: Any, monkeypatch: pytest.MonkeyPatch, tolerated: bool, code: int
) -> None:
    seen: list[Config] = []

    def run_score(config: Config) -> Outcome:
        seen.append(config)
        return Outcome("runs/x", unreadable={"00007": "a zip [/red]"})

    monkeypatch.setattr(commands, "run_score", run_score)
    path = config(limits={"tolerate_unreadable_shards": tolerated})
    found, out, _ = curate("score", path, "--set", "reference.seed=9")
    assert found == code
    assert "00007: a zip [/red]" in out
    assert seen[0].reference.seed == 9


def test_an_error_of_ours_is_one_message_and_a_bug_is_a_traceback(
    curate: Any, config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: Config) -> Outcome:
        raise ShardError("no shard for the Reference can be read")

    monkeypatch.setattr(commands, "run_fit", refuse)
    code, _, err = curate("fit", config())
    assert code == 3
    assert err.strip() == "error: no shard for the Reference can be read"

    def break_(config: Config) -> Outcome:
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "run_fit", break_)
    monkeypatch.setattr(sys, "argv", ["curate", "fit", config()])
    with pytest.raises(ZeroDivisionError):
        cli.main()


# --- signals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_ends_a_command_with_its_exit_code_and_advice(
    curate: Any,
    config: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    number: int,
    code: int,
    told: str,
) -> None:
    cleaned = []

    def work(config: Config) -> Outcome:
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            cleaned.append(True)
        raise AssertionError("the signal did not arrive")

    # Background jobs of a shell inherit SIGINT ignored.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, inherited))
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(commands, "run_score", work)
    assert curate("score", config())[0] == code
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) == before
    _, _, err = curate("score", config())
    assert err == f"{told}; what is finished is kept: run again to go on\n"
