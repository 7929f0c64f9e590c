"""From tables of URLs to a filtered data set, through a web in miniature and the real img2dataset.

One story, told once: a download that is stopped, gone on with by `curate run`, and found finished.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
import yaml
from factories import encode, picture
from launching import interruptible
from PIL import Image
from pools import stamps
from url_server import Answer, Web, web

from curate import cli, commands
from curate.config import Config, load_config
from curate.errors import AccountingError, ConfigError, RunDirError
from curate.manifest import RunDir
from curate.numerics.keys import format_uids
from curate.outputs import Store
from curate.status import look
from curate.synthetic.pool import GOOD, PLACEHOLDER, PoolSpec, write_pool
from curate.workspace import Outcome

pytest.importorskip("cv2", reason="needs img2dataset: pip install 'curate[download]'")
pytestmark = pytest.mark.ray

PER_SHARD = 30
STOP_SECONDS = 120.0
"""For img2dataset to finish its first shard on a busy machine; it takes seconds to import."""

BROKEN = encode(picture(200, 150), "JPEG")
FAULTS: dict[str, tuple[str, Answer]] = {
    "/gone-1.jpg": ("http_404", Answer(b"not found", 404, "text/html")),
    "/gone-2.jpg": ("http_404", Answer(b"not found", 404, "text/html")),
    "/away.jpg": ("http_410", Answer(b"", 410)),
    "/failing.jpg": ("http_503", Answer(b"", 503)),
    "/slow.jpg": ("timeout", Answer(BROKEN, delay=2.0)),
    "/dripping.jpg": ("timeout", Answer(BROKEN, drip=0.05)),
    "/cut.jpg": ("incomplete", Answer(BROKEN[:500], missing=len(BROKEN) - 500)),
    "/truncated.jpg": ("not_an_image", Answer(BROKEN[: len(BROKEN) // 2])),
    "/page.jpg": ("not_an_image", Answer(b"<html>buy this domain</html>")),
    "/empty.jpg": ("not_an_image", Answer(b"")),
    "/opted-out.jpg": ("opted_out", Answer(BROKEN, headers={"X-Robots-Tag": "noai"})),
    "/bomb.png": ("too_large", Answer(encode(Image.new("L", (3000, 3000)), "PNG"))),
    "/replaced.jpg": ("wrong_hash", Answer(BROKEN)),
    "/huge.jpg": ("too_many_bytes", Answer(bytes(1_000_001))),
}
UNFETCHED = {
    "http://127.0.0.1:1/closed.jpg": "no_connection",
    "file:///etc/hostname": "invalid_url",
    "nonsense": "invalid_url",
}


@dataclass
class Story:
    """What was served, what was asked for, and what came of it."""

    web: Web
    folder: Path
    path: Path
    captions: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None

    @property
    def config(self) -> Config:
        return load_config(self.path)

    @property
    def shards(self) -> Path:
        return self.folder / "run" / "download"


@pytest.fixture(scope="module")
def story(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with web() as served:
        folder = tmp_path_factory.mktemp("download")
        made = Story(served, folder, folder / "run.yaml")
        write_tables(made)
        stop_it(made)
        made.outcome = commands.run_all(made.config)
        yield made


def write_tables(story: Story) -> None:
    """Serve a drawn pool and all that can go wrong; list it in a Parquet and a csv file."""
    spec = PoolSpec(pairs=90, shards=1, placeholders=0.1, scrubbed=0.0)
    truth = story.folder / "truth.parquet"
    pool = write_pool(story.folder / "pool", spec, truth)
    story.labels = {row["uid"]: row["label"] for row in pq.read_table(truth).to_pylist()}
    rows = []
    for uid, caption, image in pairs_of(pool / "00000.tar"):
        story.captions[uid] = caption
        rows.append(
            {"url": story.web.put(f"/{uid}.jpg", Answer(image)), "text": caption, "uid": uid}
        )
    bad = {story.web.put(path, answer): reason for path, (reason, answer) in FAULTS.items()}
    for i, (url, reason) in enumerate((bad | UNFETCHED).items()):
        uid = f"{i:032x}"
        story.reasons[uid] = reason
        rows.insert(5 * i, {"url": url, "text": f"caption {i}", "uid": uid})
    for row in rows:
        answer = story.web.answers.get(f"/{row['url'].rpartition('/')[2]}", Answer())
        expected = b"another" if "replaced" in row["url"] else answer.body
        row |= {"similarity": 0.5, "digest": hashlib.sha256(expected).hexdigest()}
    pq.write_table(pa.Table.from_pylist(rows[:77]), story.folder / "a.parquet")
    pcsv.write_csv(pa.Table.from_pylist(rows[77:]), story.folder / "b.csv")
    tree = {
        "download": {
            "urls": [str(story.folder / "a.parquet"), str(story.folder / "b.csv")],
            "number_sample_per_shard": PER_SHARD,
            "save_additional_columns": ["similarity"],
            "processes_count": 1,
            "thread_count": 16,
            "timeout": 1,
            "deadline": 1,
            "retries": 1,
            "allow_private_addresses": True,
            "options": {"min_image_size": 8, "verify_hash": ["digest", "sha256"]},
        },
        "reference": {"samples": 90},
        "rules": {"all": [{"image_informativeness": {"drop_lowest": 0.12}}]},
        "output": {"run_dir": str(story.folder / "run")},
        "limits": {"member_bytes": 1_000_000, "image_pixels": 4_000_000},
        "compute": {"workers": 1, "embedders": 1},
    }
    story.path.write_text(yaml.safe_dump(tree))


def pairs_of(tar: Path) -> Iterator[tuple[str, str, bytes]]:
    """uid, caption and picture of every sample of a shard."""
    with tarfile.open(tar) as archive:
        content = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]  # all are files
    for key in sorted({name.partition(".")[0] for name in content}):
        uid = json.loads(content[f"{key}.json"])["uid"]
        yield uid, content[f"{key}.txt"].decode(), content[f"{key}.jpg"]


def stop_it(story: Story) -> None:
    """Start `curate download`; press Ctrl-C when a shard is done and no answer comes any more."""
    environment = {**os.environ, "COLUMNS": "100"}
    command = interruptible("-m", "curate.cli", "download", str(story.path))
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        end = time.monotonic() + STOP_SECONDS
        while not list(story.shards.glob("*_stats.json")) and time.monotonic() < end:
            # Half of the second shard at most is answered before the first is seen to be done.
            if sum(story.web.asked.values()) > 1.5 * PER_SHARD:
                story.web.gate.clear()
            time.sleep(0.01)
        story.web.gate.clear()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    story.web.gate.set()
    finished = sorted(path.name.partition("_")[0] for path in story.shards.glob("*_stats.json"))
    story.stopped = {
        "code": process.returncode,
        "out": out,
        "err": err,
        "finished": finished,
        "stamps": stamps(story.shards),
        "asked": Counter(story.web.asked),
    }


def test_a_stopped_download_says_so_and_leaves_no_process(story: Story) -> None:
    assert (story.stopped["code"], story.stopped["out"]) == (130, "")
    assert "interrupted; what is finished is kept: run again to go on" in story.stopped["err"]
    # Nothing that img2dataset or its libraries print.
    lines = story.stopped["err"].splitlines()
    assert all(line.startswith(("download  ", "interrupted")) for line in lines)
    assert 1 <= len(story.stopped["finished"]) < 4


def test_the_next_one_goes_on_where_it_was(story: Story) -> None:
    before, after = story.stopped["stamps"], stamps(story.shards)
    kept = {
        name
        for name in before
        if name.partition("_")[0].partition(".")[0] in story.stopped["finished"]
    }
    assert kept
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    names = {path.name for path in story.shards.iterdir()}
    expected = {f"{i:05d}{end}" for i in range(4) for end in (".tar", ".parquet", "_stats.json")}
    assert names == {*expected, "_download"}
    assert {p.name for p in (story.shards / "_download").iterdir()} == {
        "accounts.parquet",
        "plan.json",
    }


def test_every_url_is_accounted_for(story: Story) -> None:
    assert story.outcome is not None
    downloaded = story.outcome.downloaded
    assert downloaded is not None
    account = downloaded.account
    assert account.listed == len(story.captions) + len(story.reasons) == 107
    assert account.downloaded == len(story.captions)
    assert account.failed == dict(Counter(story.reasons.values()))
    assert downloaded.shards == 4
    table = pq.read_table(story.shards / "_download" / "accounts.parquet")
    assert sum(table["urls"].to_pylist()) == 107
    assert set(table["shard"].to_pylist()) == {f"{i:05d}" for i in range(4)}
    # 404s were asked for again, as told.
    assert story.web.asked["/gone-1.jpg"] >= 2


def test_captions_and_uids_are_in_the_shards_and_beside_them(story: Story) -> None:
    found = {}
    for tar in sorted(story.shards.glob("*.tar")):
        for uid, caption, image in pairs_of(tar):
            found[uid] = caption
            with Image.open(io.BytesIO(image)) as shown:
                assert min(shown.size) >= 150
    assert found == story.captions
    rows = [r for p in sorted(story.shards.glob("*.parquet")) for r in pq.read_table(p).to_pylist()]
    assert {r["uid"] for r in rows} == story.captions.keys() | story.reasons.keys()
    assert {r["similarity"] for r in rows} == {0.5}
    assert {r["uid"] for r in rows if r["sha256"]} == story.captions.keys()


def test_the_run_catches_the_placeholders_and_keeps_the_uids(story: Story) -> None:
    assert story.outcome is not None
    assert story.outcome.subset is not None
    counts = story.outcome.subset.counts
    assert (counts.read, counts.rejected) == (len(story.captions), {})
    kept = set(format_uids(np.load(story.folder / "run/subsets/default/uids.npy")))
    assert kept < story.captions.keys()
    dropped = Counter(story.labels[uid] for uid in story.captions.keys() - kept)
    assert dropped[PLACEHOLDER] >= 8  # of 9
    assert dropped[GOOD] <= 2  # of 81
    filtered = [
        uid
        for tar in sorted((story.folder / "run/shards/default").glob("*.tar"))
        for uid, _, _ in pairs_of(tar)
    ]
    assert set(filtered) == kept
    assert len(filtered) == len(kept)


def test_img2dataset_prints_into_the_log_of_the_run(story: Story) -> None:
    logs = sorted((story.folder / "run" / "logs").glob("img2dataset-*.txt"))
    assert logs
    assert "Starting the downloading" in logs[-1].read_text()
    state = look(RunDir(Store(str(story.folder / "run"))))
    assert state.command is not None
    assert state.total == 4


def test_a_finished_download_asks_for_nothing(
    story: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, before = Counter(story.web.asked), stamps(story.shards)
    monkeypatch.setattr(sys, "argv", ["curate", "download", str(story.path)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    out = capsys.readouterr().out
    assert "4 downloaded shards" in out
    assert "failed: http_404" in out
    assert (story.web.asked, stamps(story.shards)) == (asked, before)


# --- what is refused, after the story ---------------------------------------------------------


def changed(story: Story, tmp_path: Path, **settings: Any) -> Config:
    tree = yaml.safe_load(story.path.read_text())
    tree["download"] |= settings
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    return load_config(tmp_path / "run.yaml")


def test_another_way_of_downloading_takes_another_folder(story: Story, tmp_path: Path) -> None:
    for settings, told in (
        ({"image_size": 64}, r"download\.image_size was 512 and is 64 now"),
        ({"options": {}}, r"download\.options\.min_image_size was 8 and is None now"),
        ({"urls": str(story.folder / "b.csv")}, r"a\.parquet as table 1 of download\.urls"),
    ):
        with pytest.raises(RunDirError, match=told):
            commands.run_download(changed(story, tmp_path, **settings))


def test_how_it_is_downloaded_may_change(story: Story, tmp_path: Path) -> None:
    config = changed(story, tmp_path, timeout=7, retries=0, thread_count=1, processes_count=2)
    outcome = commands.run_download(config)
    assert outcome.downloaded is not None
    assert outcome.seconds == {}


def test_wrong_requests_are_refused_before_anything_is_written(
    story: Story, tmp_path: Path
) -> None:
    for settings, told in (
        ({"options": {"colour": 1}}, r"download\.options\.colour: unknown option"),
        ({"urls": "none.csv"}, "does not exist"),
        ({"url_col": "link"}, "has no column 'link'"),
    ):
        config = changed(story, tmp_path, folder=str(tmp_path / "other"), **settings)
        with pytest.raises(ConfigError, match=told):
            commands.run_download(config)
    assert not list((tmp_path / "other").glob("*.tar"))
    tree = yaml.safe_load(story.path.read_text())
    del tree["download"]
    tree["input"] = {"shards": "x.tar"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError, match="there is no such section"):
        commands.run_download(load_config(tmp_path / "run.yaml"))


def test_kept_accounts_that_tables_contradict_are_refused(story: Story, tmp_path: Path) -> None:
    accounts = story.shards / "_download" / "accounts.parquet"
    kept = accounts.read_bytes()
    table = pq.read_table(accounts)
    try:
        first = table.slice(0, 1).to_pylist()[0]
        rows = [{**first, "urls": first["urls"] + 1}, *table.slice(1, 3).to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), accounts)
        with pytest.raises(AccountingError, match="URLs, but the tables give"):
            commands.run_download(story.config)
    finally:
        accounts.write_bytes(kept)
