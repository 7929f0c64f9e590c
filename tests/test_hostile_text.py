"""Bytes of the data, and credentials, on their way to the operator: none steers, none leaks."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories import sample_members, tar_bytes
from local_run import LocalRun, filter_locally, score_locally
from test_cli import call

from curate.config import Rules
from curate.encoder import Encoder
from curate.manifest import RunDir
from curate.outputs import Store
from curate.reporting import console, print_outcome
from curate.run_log import LOCAL, RunLog
from curate.workspace import Outcome

TITLE = "\x1b]0;x\x07"
"""Sets the title of a terminal."""

STEERS = {chr(c) for c in (*range(32), *range(127, 160), 0x202E, 0x2066, 0x200B)} - {"\n"}
SECRET = "s3cr3t-v4lu3"


def assert_harmless(text: str) -> None:
    assert not STEERS & set(text)
    text.encode()


@pytest.fixture
def hostile(tmp_path: Path, tiny_encoder: Encoder) -> LocalRun:
    """A run over a shard whose name, keys and captions steer terminals, selected and filtered."""
    pool = tmp_path / "pool"
    pool.mkdir()
    members = [m for i in range(4) for m in sample_members(f"{TITLE}{i}", f"{TITLE} cat {i}", i)]
    members += [(f"\x1b[2J{TITLE}.jpg", b"no picture"), (f"\x1b[2J{TITLE}.txt", TITLE.encode())]
    members += [(f"\u202e{TITLE}.jpg", b"alone")]
    # Cut inside of a member: damage is told with its place.
    (pool / f"{TITLE}.tar").write_bytes(tar_bytes(members)[:-1500])
    made = score_locally(RunDir(Store(str(tmp_path / "run"))), f"{pool}/*.tar", tiny_encoder)
    made.run.fail(made.shards[0], f"{made.shards[0].url}: {TITLE} is no tar")
    filter_locally(made.store, made.select(Rules(all=())))
    return made


def test_commands_show_hostile_names_without_obeying(
    hostile: LocalRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(hostile.folder)
    shard = hostile.shards[0]
    assert TITLE in shard.url
    for damaged in (False, True):
        if damaged:
            hostile.store.write_bytes(f"scores/{shard.id}.parquet", TITLE.encode())
            hostile.store.remove(f"state/{shard.id}.json")
        for command in (["status"], ["status", "--json"], ["status", "--quick"], ["verify"]):
            code, out, err = call(*command, run, monkeypatch=monkeypatch, capsys=capsys)
            assert_harmless(out + err)
            if "--json" in command:
                told = json.loads(out)
                assert list(told["unreadable"]) == [shard.id] * damaged
            assert code == (0 if command[0] == "status" else code)
            if damaged and command == ["status"]:
                assert "�]0;x�" in out


def test_outcomes_and_warnings_are_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pools import config_of

    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    print_outcome(console(), Outcome(TITLE, unreadable={TITLE: TITLE}))
    with RunLog(Store(str(tmp_path))).command("score", config_of("embedded", "x", tmp_path)):
        logging.getLogger("curate.x").warning("%s: token=%s", TITLE, SECRET)
    out, err = capsys.readouterr()
    assert_harmless(out + err)
    assert "]0;x" in out
    assert "]0;x" in err
    assert SECRET not in err
    assert_harmless((tmp_path / LOCAL).read_text())


def test_the_traceback_of_a_bug_is_harmless(tmp_path: Path) -> None:
    script = (
        "import sys; from curate import cli, status_page\n"
        "def bug(*a, **k): raise ZeroDivisionError('\\x1b]0;x\\x07 AWS_SECRET_ACCESS_KEY=' + 'K')\n"
        f"status_page.print_status = bug; sys.argv = ['curate', 'status', {str(tmp_path)!r}]\n"
        "import curate.status; curate.status.look = lambda *a, **k: None; cli.main()\n"
    ).replace("'K'", repr(SECRET[::-1]) + "[::-1]")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ZeroDivisionError: �]0;x� AWS_SECRET_ACCESS_KEY=***" in done.stderr
    assert "Traceback" in done.stderr
    assert_harmless(done.stdout + done.stderr)


# --- credentials ----------------------------------------------------------------------------------


def test_credentials_of_the_environment_and_of_errors_go_nowhere(
    scored_run: LocalRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    signed = f"https://example.org/0.tar?X-Amz-Signature={SECRET}"
    made, folder = scored_run, scored_run.folder
    shard = made.shards[0]
    made.store.remove(f"state/{shard.id}.json")
    made.run.fail(shard, f"{signed}: 403, sent Authorization: Bearer {SECRET}, AccountKey={SECRET}")
    tree: dict[str, Any] = {
        "input": {"shards": str(Path(shard.url).parent / "*.tar")},
        "output": {"run_dir": str(folder)},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    texts = []
    for command in (
        ["select", str(tmp_path / "run.yaml")],
        ["select", str(tmp_path / "run.yaml"), "--set", f"aws.secret_access_key={SECRET}"],
        ["select", str(tmp_path / "run.yaml"), "--set", f"output.run_dir=s3://a:{SECRET}@b/c"],
        ["status", str(folder)],
        ["status", str(folder), "--json"],
        ["verify", str(folder)],
        ["status", f"s3://key:{SECRET}@bucket/run"],
        ["verify", "uids.npy", "--pool", f"s3://key:{SECRET}@bucket/run"],
        ["status", f"nowhere://{signed.partition('://')[2]}"],
    ):
        _, out, err = call(*command, monkeypatch=monkeypatch, capsys=capsys)
        texts += [out, err]
    written = [p.read_text() for p in folder.rglob("*.json*")] + [(folder / LOCAL).read_text()]
    for text in (*texts, *written):
        assert SECRET not in text
    assert any("403, sent Authorization: ***" in text for text in texts)
