"""What is left to download, and what is made of what img2dataset left: with a stand-in for it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate import commands
from curate.config import Config, InputConfig, parse_config
from curate.downloading import stage
from curate.downloading.accounts import Account, Downloaded
from curate.downloading.process import StalledError
from curate.errors import ConfigError, DownloadError, RunDirError
from curate.numerics.keys import parse_uids
from curate.outputs import Store
from curate.shards import list_shards

pytest.importorskip("cv2", reason="needs img2dataset: pip install 'curate[download]'")

PER_SHARD = 4


class StandIn:
    """Downloads as img2dataset does, without the web: a URL with `bad` in it is not found."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.fetched: list[str] = []
        self.left_out: set[int] = set()
        self.error: Callable[[], None] = lambda: None

    def __call__(
        self, arguments: Mapping[str, Any], limits: Mapping[str, Any], request: Path, log: Path,
        activity: Callable[[], Any], stalled_seconds: float,
    ) -> None:  # fmt: skip
        self.calls.append({**arguments, "limits": limits})
        log.write_text("Starting the downloading of this file\n")
        number = 0
        for path in sorted(Path(arguments["url_list"]).glob("*.parquet")):
            rows = pq.read_table(path).to_pylist()
            for begin in range(0, len(rows), PER_SHARD):
                self._shard(arguments, number, rows[begin : begin + PER_SHARD])
                number += 1
        self.error()

    def _shard(self, arguments: Mapping[str, Any], number: int, rows: list[dict[str, Any]]) -> None:
        fs, folder = fsspec.core.url_to_fs(arguments["output_folder"])
        name = f"{folder}/{number:05d}"
        if fs.exists(f"{name}_stats.json") or number in self.left_out:
            return
        fs.makedirs(folder, exist_ok=True)
        bad = ["bad" in row[arguments["url_col"]] for row in rows]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for i, row in enumerate(rows):
                self.fetched.append(row[arguments["url_col"]])
                if not bad[i]:
                    archive.addfile(tarfile.TarInfo(f"{number:05d}{i:04d}.jpg"))
        fs.pipe_file(f"{name}.tar", buffer.getvalue())
        outcomes = {
            "status": ["failed_to_download" if b else "success" for b in bad],
            "error_message": ["HTTP Error 404: Not Found" if b else None for b in bad],
        }
        with fs.open(f"{name}.parquet", "wb") as file:
            pq.write_table(pa.table(outcomes), file)
        stats = {"count": len(rows), "successes": len(rows) - sum(bad)}
        fs.pipe_file(f"{name}_stats.json", json.dumps(stats).encode())


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setattr(stage, "run_engine", made)
    return made


def write(path: Path, name: str, rows: int, bad: int = 0) -> None:
    urls = [f"http://{name}.example/{'bad' if i < bad else 'good'}/{i}" for i in range(rows)]
    path.write_text("url,caption\n" + "".join(f"{url},caption {i}\n" for i, url in enumerate(urls)))


def configured(place: Path, **settings: Any) -> Config:
    download = {"urls": str(place / "*.csv"), "number_sample_per_shard": PER_SHARD, **settings}
    return parse_config({"download": download, "output": {"run_dir": str(place / "run")}})


def stage_files(store: Store) -> set[str]:
    return {Path(str(name)).name for name in store.fs.find(store.path(""))}


def test_new_tables_become_further_shards(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "a.csv", "a", 6, bad=1)
    config = configured(tmp_path)
    found = stage.download(config)
    assert (found.shards, found.account) == (2, Account(6, 5, {"http_404": 1}))
    assert found.seconds > 0
    write(tmp_path / "b.csv", "b", 9, bad=2)
    more = stage.download(config)
    assert (more.shards, more.account) == (5, Account(15, 12, {"http_404": 3}))
    assert len(stand_in.fetched) == 15
    assert [shard.id for shard in list_shards(str(config.input.shards))] == [
        f"{i:05d}" for i in range(5)
    ]
    assert stage.download(config) == Downloaded(more.folder, 5, more.account)
    assert len(stand_in.calls) == 2
    limits = {"max_bytes": 134_217_728, "seconds": 60.0, "private": False, "pixels": 50_000_000}
    assert stand_in.calls[0]["limits"] == limits
    assert not (tmp_path / "run/download/_download/tables").exists()


def test_other_tables_in_place_of_the_first_are_refused(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "b.csv", "b", 6)
    config = configured(tmp_path)
    stage.download(config)
    write(tmp_path / "a.csv", "a", 6)
    with pytest.raises(RunDirError, match=r"begun with .*b\.csv as table 1"):
        stage.download(config)
    assert len(stand_in.calls) == 1


def test_what_a_stop_left_half_written_is_downloaded_again(
    tmp_path: Path, stand_in: StandIn
) -> None:
    write(tmp_path / "a.csv", "a", 12)
    config = configured(tmp_path)

    def stop() -> None:
        shards = tmp_path / "run" / "download"
        (shards / "00000_stats.json").write_text("{")  # img2dataset would take it for finished
        (shards / "00001_stats.json").unlink()
        (shards / "00001.tar").write_bytes(b"half")
        raise KeyboardInterrupt

    stand_in.error = stop
    with pytest.raises(KeyboardInterrupt):
        stage.download(config)
    stand_in.error = lambda: None
    stand_in.fetched.clear()
    assert stage.download(config).account == Account(12, 12, {})
    assert sorted(stand_in.fetched) == sorted(f"http://a.example/good/{i}" for i in range(8))
    assert (tmp_path / "run/download/00001.tar").stat().st_size > 4


def test_a_shard_that_was_deleted_is_downloaded_again(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "a.csv", "a", 8)
    config = configured(tmp_path)
    stage.download(config)
    (tmp_path / "run/download/00001.tar").unlink()
    stand_in.fetched.clear()
    assert stage.download(config).shards == 2
    assert len(stand_in.fetched) == 4


def test_shards_that_are_left_out_are_an_error_and_no_input(
    tmp_path: Path, stand_in: StandIn
) -> None:
    write(tmp_path / "a.csv", "a", 12)
    config = configured(tmp_path)
    stand_in.left_out = {1}
    with pytest.raises(DownloadError, match="left out 1 of 3 shards, 00001 first; see"):
        stage.download(config)
    assert [shard.id for shard in list_shards(str(config.input.shards))] == ["00000", "00002"]
    stand_in.left_out = set()
    stand_in.fetched.clear()
    assert stage.download(config).account == Account(12, 12, {})
    assert len(stand_in.fetched) == 4


def test_one_that_is_stuck_is_started_again(
    tmp_path: Path, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.csv", "a", 12)
    config = configured(tmp_path)

    def stuck() -> None:
        if len(stand_in.calls) < 2:
            (tmp_path / "run/download/00002_stats.json").unlink()
            raise StalledError

    stand_in.error = stuck
    assert stage.download(config).account == Account(12, 12, {})
    assert "is stuck, and is started again" in caplog.text

    def always() -> None:
        raise StalledError

    stand_in.error = always
    write(tmp_path / "b.csv", "b", 2)
    with pytest.raises(DownloadError, match="did nothing for 900 s, 3 times"):
        stage.download(config)


def test_shards_may_go_to_an_object_store(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "a.csv", "a", 6, bad=1)
    folder = f"memory://downloads-{tmp_path.name}/pool"
    config = configured(tmp_path, folder=folder)
    found = stage.download(config)
    assert (found.folder, found.account) == (folder, Account(6, 5, {"http_404": 1}))
    assert len(list_shards(str(config.input.shards))) == 2
    assert stand_in.calls[0]["output_folder"] == folder
    assert stage_files(Store(folder)) == {
        *(f"{i:05d}{end}" for i in range(2) for end in (".tar", ".parquet", "_stats.json")),
        "accounts.parquet",
        "plan.json",
    }
    assert stage.download(config).seconds == 0


def test_only_the_rows_of_a_subset_are_fetched(tmp_path: Path, stand_in: StandIn) -> None:
    uids = [f"{i * 7919:032x}" for i in range(30)]
    rows = [{"url": f"http://a.example/{uid}", "text": "x", "uid": uid.upper()} for uid in uids]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    kept = uids[3::4]
    np.save(tmp_path / "uids.npy", np.sort(parse_uids(kept)))
    settings = {"urls": str(tmp_path / "a.parquet"), "uids": str(tmp_path / "uids.npy")}
    config = configured(tmp_path, **settings)
    assert stage.download(config).account == Account(len(kept), len(kept), {})
    assert stand_in.fetched == [f"http://a.example/{uid}" for uid in kept]
    assert stage.download(config).seconds == 0
    np.save(tmp_path / "uids.npy", np.sort(parse_uids(uids[:3])))
    with pytest.raises(RunDirError, match=r"download\.uids was "):
        stage.download(config)
    for wrong, told in (
        ({"uids": str(tmp_path / "none.npy")}, r"download\.uids: .*none\.npy is missing"),
        ({"uids": str(tmp_path / "a.parquet")}, r"download\.uids: .*a\.parquet holds no uids"),
    ):
        with pytest.raises(ConfigError, match=told):
            stage.download(configured(tmp_path, **{**settings, **wrong}))


def test_a_subset_takes_tables_with_uids(tmp_path: Path, stand_in: StandIn) -> None:
    np.save(tmp_path / "uids.npy", parse_uids(["0" * 32]))
    write(tmp_path / "a.csv", "a", 3)
    with pytest.raises(ConfigError, match=r"download\.uids: .*a\.csv has no uids"):
        stage.download(configured(tmp_path, uids=str(tmp_path / "uids.npy")))
    (tmp_path / "a.csv").write_text("url,uid\nu,12\n")
    with pytest.raises(ConfigError, match=r"download\.uids: .*a\.csv: .*32 hex"):
        stage.download(configured(tmp_path, uids=str(tmp_path / "uids.npy")))
    with pytest.raises(ConfigError, match=r"download\.uids needs the uids"):
        configured(tmp_path, uids="uids.npy", uid_col=None)


def test_half_a_download_is_no_pool(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "a.csv", "a", 12)
    config = configured(tmp_path)
    with pytest.raises(RunDirError, match="is not downloaded yet"):
        commands.run_score(config)
    stand_in.left_out = {1}
    with pytest.raises(DownloadError):
        stage.download(config)
    with pytest.raises(RunDirError, match="run `curate download` first"):
        commands.run_fit(config)
    stand_in.left_out = set()
    stage.download(config)
    stage.require_finished(config)
    elsewhere = config.model_copy(update={"input": InputConfig(shards="other/*.tar")})
    stage.require_finished(elsewhere)


def test_settings_that_are_new_stand_at_their_defaults(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "a.csv", "a", 3)
    stage.download(configured(tmp_path))
    path = tmp_path / "run/download/_download/plan.json"
    plan = json.loads(path.read_text())
    del plan["settings"]["quoting"]
    path.write_text(json.dumps(plan))
    assert stage.download(configured(tmp_path)).shards == 1
    with pytest.raises(RunDirError, match=r"download\.quoting was True and is False now"):
        stage.download(configured(tmp_path, quoting=False))
    path.write_text("[]")
    with pytest.raises(RunDirError, match="is no plan of a download"):
        stage.download(configured(tmp_path))


def test_shards_of_others_are_left_alone(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "a.csv", "a", 3)
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/00000.tar").write_bytes(b"mine")
    with pytest.raises(RunDirError, match=r"holds 00000\.tar, which no `curate download` left"):
        stage.download(configured(tmp_path, folder=str(tmp_path / "pool")))
    assert (tmp_path / "pool/00000.tar").read_bytes() == b"mine"
    assert stand_in.calls == []


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "a.csv", "a", 3)
    with pytest.raises(ConfigError, match="has no column 'link'"):
        stage.download(configured(tmp_path, url_col="link"))
    assert not (tmp_path / "run").exists()
    assert stand_in.calls == []


def test_an_empty_table_gives_no_shard(tmp_path: Path, stand_in: StandIn) -> None:
    write(tmp_path / "a.csv", "a", 0)
    write(tmp_path / "b.csv", "b", 3)
    assert stage.download(configured(tmp_path)).shards == 1
    assert stage.download(configured(tmp_path)).account == Account(3, 3, {})
    assert len(stand_in.calls) == 1
