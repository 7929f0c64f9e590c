"""Reading `hf://` through its own driver from a hub on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from hub_server import COMMIT, REPOSITORY, Hub, serve_hub
from local_run import LocalRun, score_locally

from curate import hub as hub_module
from curate import places, retrying, shards
from curate.embedding_pools.layouts import list_parts
from curate.encoder import Encoder
from curate.errors import ConfigError, ShardError
from curate.manifest import RunDir
from curate.outputs import Store
from curate.shards import Shard, list_shards, open_shard, read_beside, read_range
from curate.verification.run import verify

POOL = f"hf://datasets/{REPOSITORY}"
DATA = bytes(range(256)) * 3000
BLOCK = 200_000


@pytest.fixture(scope="module")
def serving() -> Iterator[Hub]:
    with serve_hub() as hub:
        yield hub


@pytest.fixture
def hub(serving: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty repository; the driver is told of it by fsspec's configuration."""
    from huggingface_hub import constants

    monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": serving.address})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere/token")
    unhurried = SimpleNamespace(sleep=lambda seconds: None)  # the driver's own pauses
    monkeypatch.setattr("huggingface_hub.utils._http.time", unhurried)
    quick = replace(retrying.RETRY, sleep=lambda seconds: None, tries=3, stall=5.0)
    monkeypatch.setattr(retrying, "RETRY", quick)
    monkeypatch.setattr(hub_module, "STALL_SECONDS", 5.0)
    monkeypatch.setattr(shards, "REMOTE_BLOCK", BLOCK)
    serving.forget()
    forget_drivers()
    yield serving
    forget_drivers()


def forget_drivers() -> None:
    """Let the next driver be one that knows nothing yet, as in a new process."""
    from huggingface_hub import HfFileSystem

    HfFileSystem.clear_instance_cache()
    hub_module._driver.cache_clear()


def shard_at(path: str) -> Shard:
    (shard,) = list_shards(f"{POOL}/{path}")
    return shard


def read_all(shard: Shard) -> bytes:
    with open_shard(shard) as file:
        return file.read()


def test_shards_are_listed_by_folder_page_by_page(hub: Hub) -> None:
    names = [f"shards/{n:05d}" for n in range(7)]
    hub.put({f"{name}.tar": b"x" * 9 for name in names} | {"README.md": b"hi"})
    found = list_shards(f"{POOL}/shards/*.tar")
    assert [(s.id, s.url, s.size) for s in found] == [
        (name[-5:], f"{POOL}/{name}.tar", 9) for name in names
    ]
    assert hub.asked["tree"] == 3  # of three entries each
    assert len(list_shards(f"{POOL}/**/*[0-2].tar")) == 3
    with pytest.raises(ConfigError, match=r"input\.shards: .*none/\*\.tar' matches no file"):
        list_shards(f"{POOL}/none/*.tar")


def test_pools_of_metadata_are_found(hub: Hub) -> None:
    names = ("metadata/x.parquet", "metadata/x.npz", "metadata/y.parquet", "metadata/y.npz")
    hub.put(dict.fromkeys(names, b"x"))
    for spec in ("metadata", "metadata/{x,y}.parquet", "metadata/*.parquet"):
        parts = list_parts(f"{POOL}/{spec}")
        assert [part.url for part in parts] == [f"{POOL}/metadata/{n}.parquet" for n in "xy"]
        assert parts[0].arrays == (f"{POOL}/metadata/x.npz",)


def test_braces_and_lists_ask_for_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.put({"list.txt": f"{POOL}/b.tar\n{POOL}@v1/c.tar\n".encode()})
    assert [s.url for s in list_shards(f"{POOL}@v1/{{00..02}}.tar")] == [
        f"{POOL}@v1/{n:02d}.tar" for n in range(3)
    ]
    (tmp_path / "list.txt").write_text(f"{POOL}/a.tar\n")
    assert [s.url for s in list_shards(f"@{tmp_path}/list.txt")] == [f"{POOL}/a.tar"]
    assert not hub.asked
    assert [s.id for s in list_shards(f"@{POOL}/list.txt")] == ["b", "c"]


def test_a_revision_is_read_as_it_was(hub: Hub) -> None:
    hub.put({"a.tar": b"new"})
    hub.put({"a.tar": b"of old"}, "v1")
    hub.put({"a.tar": b"converted"}, "refs/convert/tar")
    assert read_all(shard_at("a.tar")) == b"new"
    for revision, content in (
        (f"@{COMMIT}", b"new"),
        ("@v1", b"of old"),
        ("@refs%2Fconvert%2Ftar", b"converted"),
    ):
        for name in ("a.tar", "*.tar"):
            (shard,) = list_shards(f"{POOL}{revision}/{name}")
            assert read_all(shard) == content
    with pytest.raises(ShardError, match=r"pool@v2/a\.tar: cannot be opened: FileNotFoundError"):
        read_all(*list_shards(f"{POOL}@v2/a.tar"))


def test_a_shard_is_read_in_ranges_and_no_folder_is_listed(hub: Hub) -> None:
    hub.put({f"{n:05d}.tar": DATA for n in range(20)})
    shard = shard_at("00007.tar")
    with open_shard(shard) as file:
        assert b"".join(iter(lambda: file.read(BLOCK // 4), b"")) == DATA
    with open_shard(shard, ahead=False) as file:
        assert read_range(file, len(DATA) - 700, 700) == DATA[-700:]
        assert read_range(file, 512, 10) == DATA[512:522]
    # Two files opened; four blocks and two ranges.
    assert hub.asked == {"info": 1, "paths-info": 2, "resolve": 6, "cdn": 6}


KINDS = ("info", "tree", "paths-info", "resolve", "cdn")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [*((kind, status) for kind in KINDS for status in (429, 503)), ("cdn", "cut")],
)
def test_what_passes_is_asked_again(hub: Hub, kind: str, fault: int | str) -> None:
    hub.put({"a.tar": DATA})
    hub.faults = {kind: [fault, fault]}
    (shard,) = list_shards(f"{POOL}/*.tar")
    assert read_all(shard) == DATA
    assert hub.asked[kind] >= 3
    assert not hub.faults[kind]


def test_a_hub_that_stays_away_is_named(hub: Hub) -> None:
    hub.put({"a.tar": DATA})
    hub.faults = {"paths-info": [503] * 99, "tree": [503] * 99}
    with pytest.raises(ShardError, match=r"pool/a\.tar: cannot be opened: .*503"):
        read_all(shard_at("a.tar"))
    assert hub.asked["paths-info"] == 3
    with pytest.raises(ConfigError, match=r"input\.shards: cannot list .*503"):
        list_shards(f"{POOL}/*.tar")
    with pytest.raises(ConfigError, match=r"input\.embeddings: cannot .*503"):
        list_parts(f"{POOL}/metadata")


def test_a_file_that_is_replaced_meanwhile_is_noticed(hub: Hub) -> None:
    hub.put({"a.tar": DATA})
    with open_shard(shard_at("a.tar")) as file:
        assert file.read(1000) == DATA[:1000]
        hub.put({"a.tar": DATA[::-1]})
        hub.faults = {"cdn": [403]}
        with pytest.raises(OSError, match="403"):
            file.read(len(DATA))  # permanent; the connection is opened anew by the next one
        with pytest.raises(ValueError, match="it changed while it was read"):
            file.read(len(DATA))


def test_what_is_missing_or_closed_is_asked_for_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put({"a.tar": b"x"})
    shard = shard_at("a.tar")
    assert read_beside(shard, "_stats.json") is None
    assert hub.asked["paths-info"] == 1
    hub.token = "hf_secret_token"
    for fresh in (f"{POOL}@{COMMIT}/a.tar", "hf://datasets/org/other/a.tar"):
        with pytest.raises(ShardError, match="cannot be opened: FileNotFoundError"):
            read_all(Shard("a", fresh, None))
    monkeypatch.setenv("HF_TOKEN", "hf_secret_token")
    forget_drivers()
    assert read_all(Shard("a", f"{POOL}@{COMMIT}/a.tar", None)) == b"x"
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget_drivers()
    with pytest.raises(ShardError, match="HF_HUB_OFFLINE"):
        read_all(Shard("a", f"{POOL}@main/a.tar", None))


def test_without_its_driver_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "hf", raising=False)
    places._driver.cache_clear()
    with pytest.raises(ConfigError, match=r"input\.shards: .*install the driver of hf://"):
        list_shards(f"{POOL}/a.tar")
    places._driver.cache_clear()


def test_scoring_from_the_hub_gives_the_bytes_of_a_local_run(
    hub: Hub, pristine_run: LocalRun, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    pool = Path(pristine_run.shards[0].url).parent
    hub.put({f"data/{path.name}": path.read_bytes() for path in pool.iterdir()})
    hub.faults = {"cdn": [503, "cut", 429], "paths-info": [503]}
    run = RunDir(Store(str(tmp_path / "run")))
    made = score_locally(run, f"{POOL}/data/*.tar", tiny_encoder)
    for shard in pristine_run.shards:
        here, there = run.require_marker(shard.id), pristine_run.run.require_marker(shard.id)
        assert (here.sha256, here.counts, here.outputs) == (
            there.sha256,
            there.counts,
            there.outputs,
        )
    assert len(made.shards) == len(pristine_run.shards) >= 3
    assert verify(run, deep=True).problems == []
