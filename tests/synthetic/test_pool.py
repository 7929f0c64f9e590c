"""Pools: img2dataset's layout, exact shares, equal bytes for equal specifications."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.errors import ConfigError
from curate.synthetic.drawings import SCENE_KINDS
from curate.synthetic.placeholders import PLACEHOLDER_DESIGNS
from curate.synthetic.pool import (
    GOOD,
    PLACEHOLDER,
    SCRUBBED,
    WRITTEN_AT,
    PoolSpec,
    write_plain_shards,
    write_pool,
)
from curate.synthetic.scrubbed import SCRUBBED_FAMILIES

SPEC = PoolSpec(pairs=90, shards=4, placeholders=0.1, scrubbed=0.2, seed=3, sides=(48, 72))


def read_tar(path: Path) -> dict[str, dict[str, bytes]]:
    """Members by key and extension, in the order of the tar."""
    samples: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            assert member.isreg()
            assert (member.mtime, member.uid, member.uname) == (WRITTEN_AT, 0, "")
            key, _, extension = member.name.partition(".")
            file = tar.extractfile(member)
            assert file is not None
            samples.setdefault(key, {})[extension] = file.read()
    return samples


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    assert write_pool(folder / "shards", SPEC, folder / "truth.parquet") == folder / "shards"
    return folder


@pytest.fixture(scope="module")
def truth(pool: Path) -> dict[str, dict[str, str]]:
    return {row["uid"]: row for row in pq.read_table(pool / "truth.parquet").to_pylist()}


def test_files_are_those_of_img2dataset(pool: Path) -> None:
    stems = [f"{n:05d}" for n in range(4)]
    expected = {f"{s}{end}" for s in stems for end in (".tar", ".parquet", "_stats.json")}
    assert {p.name for p in (pool / "shards").iterdir()} == expected


def test_samples_sidecar_and_statistics_agree(pool: Path) -> None:
    total = 0
    for path in sorted((pool / "shards").glob("*.tar")):
        samples = read_tar(path)
        rows = pq.read_table(path.with_suffix(".parquet")).to_pylist()
        stats = json.loads(path.with_name(f"{path.stem}_stats.json").read_text())
        assert [row["key"] for row in rows] == list(samples)
        assert stats["successes"] == stats["count"] == len(rows)
        assert stats["status_dict"] == {"success": len(rows)}
        for place, (row, (key, members)) in enumerate(zip(rows, samples.items(), strict=True)):
            assert key == f"{path.stem}{place:04d}"
            assert list(members) == ["jpg", "json", "txt"]
            assert json.loads(members["json"]) == row
            assert members["txt"].decode() == row["caption"]
            assert hashlib.sha256(members["jpg"]).hexdigest() == row["sha256"]
            image = Image.open(io.BytesIO(members["jpg"]))
            assert image.format == "JPEG"
            assert image.size == (row["width"], row["height"])
            assert all(48 <= side <= 72 for side in image.size)
            assert len(row["uid"]) == 32
            assert int(row["uid"], 16) >= 0
        total += len(rows)
    assert total == SPEC.pairs


def test_shares_are_exact_and_designs_known(truth: dict[str, dict[str, str]]) -> None:
    labels = Counter(row["label"] for row in truth.values())
    assert labels == {PLACEHOLDER: 9, SCRUBBED: 18, GOOD: 63}
    vocabulary = {PLACEHOLDER: PLACEHOLDER_DESIGNS, SCRUBBED: SCRUBBED_FAMILIES, GOOD: SCENE_KINDS}
    for row in truth.values():
        assert row["design"] in vocabulary[row["label"]]


def test_truth_covers_every_pair_and_points_to_it(
    pool: Path, truth: dict[str, dict[str, str]]
) -> None:
    found = {}
    for path in (pool / "shards").glob("*.parquet"):
        found |= {row["uid"]: (path.stem, row["key"]) for row in pq.read_table(path).to_pylist()}
    assert found == {uid: (row["shard"], row["key"]) for uid, row in truth.items()}


def test_nothing_inside_the_pool_gives_the_label_away(
    pool: Path, truth: dict[str, dict[str, str]]
) -> None:
    by_label: dict[str, list[dict[str, object]]] = {}
    for path in sorted((pool / "shards").glob("*.tar")):
        for members in read_tar(path).values():
            row = json.loads(members["json"])
            by_label.setdefault(truth[row["uid"]]["label"], []).append(row)
    for label, rows in by_label.items():
        for other in by_label.values():
            for field in ("source", "license", "attribution", "status", "exif"):
                assert {r[field] for r in rows} == {r[field] for r in other}
        assert all(label not in str(row["url"]) for row in rows)
    labels = [row["label"] for row in truth.values()]
    assert labels != sorted(labels), "the kinds are mixed"


def test_no_two_good_pairs_are_alike(pool: Path, truth: dict[str, dict[str, str]]) -> None:
    pictures, captions = Counter[str](), Counter[str]()
    for path in sorted((pool / "shards").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            if truth[row["uid"]]["label"] == GOOD:
                pictures[row["sha256"]] += 1
                captions[row["caption"]] += 1
    assert max(pictures.values()) == max(captions.values()) == 1


def test_equal_specifications_give_equal_bytes(pool: Path, tmp_path: Path) -> None:
    write_pool(tmp_path / "shards", SPEC, tmp_path / "truth.parquet")
    assert digests(tmp_path) == digests(pool)


def test_another_seed_gives_another_pool(pool: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, seed=4, pairs=10, shards=1)
    write_pool(tmp_path / "shards", spec, tmp_path / "truth.parquet")
    ours = set(pq.read_table(pool / "shards" / "00000.parquet")["sha256"].to_pylist())
    theirs = set(pq.read_table(tmp_path / "shards" / "00000.parquet")["sha256"].to_pylist())
    assert not ours & theirs


def test_shards_are_even_and_may_hold_one_pair(tmp_path: Path) -> None:
    spec = PoolSpec(pairs=5, shards=3, placeholders=0, scrubbed=0, sides=(32, 40))
    write_pool(tmp_path / "s", spec, tmp_path / "t.parquet")
    sizes = [len(read_tar(p)) for p in sorted((tmp_path / "s").glob("*.tar"))]
    assert sizes == [2, 2, 1]


def test_all_pairs_may_be_noise(tmp_path: Path) -> None:
    spec = PoolSpec(pairs=4, shards=1, placeholders=0.5, scrubbed=0.5, sides=(32, 40))
    write_pool(tmp_path / "s", spec, tmp_path / "t.parquet")
    labels = pq.read_table(tmp_path / "t.parquet")["label"].to_pylist()
    assert Counter(labels) == {PLACEHOLDER: 2, SCRUBBED: 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pairs", 0),
        ("shards", 0),
        ("shards", 91),
        ("placeholders", -0.1),
        ("scrubbed", 1.1),
        ("scrubbed", 0.95),
        ("seed", -1),
        ("sides", (40, 30)),
        ("sides", (8, 64)),
        ("jpeg_quality", 0),
        ("jpeg_quality", 100),
    ],
)
def test_impossible_specifications_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(SPEC, **{field: value})


def test_a_shard_holds_at_most_ten_thousand_pairs() -> None:
    with pytest.raises(ConfigError, match="shards"):
        PoolSpec(pairs=10_001, shards=1)


def test_truth_may_not_lie_in_the_pool(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="truth"):
        write_pool(tmp_path, SPEC, tmp_path / "deep" / "truth.parquet")
    assert not list(tmp_path.iterdir())


def test_plain_shards_are_unique_and_deterministic(tmp_path: Path) -> None:
    paths = write_plain_shards(tmp_path / "a", 3, 50, size=24, seed=1)
    write_plain_shards(tmp_path / "b", 3, 50, size=24, seed=1)
    assert [p.name for p in paths] == ["00000.tar", "00001.tar", "00002.tar"]
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    rows = [row for p in paths for row in pq.read_table(p.with_suffix(".parquet")).to_pylist()]
    for field in ("uid", "key", "caption"):
        assert len({row[field] for row in rows}) == 150
    samples = read_tar(paths[2])
    assert len(samples) == 50
    for members in samples.values():
        image = Image.open(io.BytesIO(members["jpg"]))
        assert image.size == (24, 24)
        assert np.asarray(image).std() > 5


@pytest.mark.parametrize(("shards", "samples", "size"), [(0, 5, 8), (1, 0, 8), (1, 5, 0)])
def test_impossible_plain_shards_are_refused(
    tmp_path: Path, shards: int, samples: int, size: int
) -> None:
    with pytest.raises(ConfigError, match="plain shards"):
        write_plain_shards(tmp_path, shards, samples, size=size)
