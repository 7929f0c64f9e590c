"""Whole reports: of a scored run with its shards, and of made-up scores."""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import jpeg, places_in, sample_members, tar_bytes
from local_run import LocalRun, decisions, fabricate, recommit, score_rows, tree, uid
from reading import cells_of, reason_of
from test_subsets import all_of, pool_of, rules

from curate import subsets
from curate.cli import main
from curate.errors import AccountingError, ConfigError, RunDirError
from curate.manifest import IDENTITY, RunDir
from curate.outputs import Store
from curate.report.build import Built, build_report, write_report
from curate.report.opened import open_run
from curate.report.payload import Payload
from curate.shards import Shard
from curate.sweep.run import sweep
from curate.sweep.tables import RuleSet

RULES = {
    "all": [
        {"image_informativeness": {"drop_lowest": 0.2}},
        {"any": [{"text_informativeness": {"drop_lowest": 0.3}}, {"clip_score": {"min": 0.9}}]},
    ]
}


@pytest.fixture(scope="module")
def reported(
    pristine_run: LocalRun, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LocalRun, Built]:
    """A scored run with decisions, and its report."""
    folder = tmp_path_factory.mktemp("reported") / "run"
    copied = pristine_run.moved(Store(str(folder)))
    for relative, data in tree(pristine_run.folder).items():
        copied.store.write_bytes(relative, data)
    copied.select(rules(RULES))
    return copied, build_report(copied.run, samples=4)


@pytest.fixture
def payload(reported: tuple[LocalRun, Built]) -> Payload:
    return reported[1].payload


def rows_of(run: LocalRun) -> dict[tuple[str, str], dict[str, Any]]:
    """(shard, uid) -> scores with reasons; keys may repeat."""
    found = {}
    for shard in run.shards:
        scores = run.store.read_table(f"scores/{shard.id}.parquet").to_pylist()
        reasons = decisions(run.store, shard.id)["reason"].to_pylist()
        for row, reason in zip(scores, reasons, strict=True):
            found[shard.id, row["key"]] = row | {"reason": reason}
    return found


def test_the_accounts_are_those_of_the_subset(reported: tuple[LocalRun, Built]) -> None:
    run, built = reported
    counts = subsets.load(run.store, "default").counts  # type: ignore[union-attr]
    told = built.payload["accounts"]
    assert (told["read"], told["kept"]) == (counts.read, counts.kept)
    assert {one["reason"]: one["count"] for one in told["dropped"] if one["count"]} == dict(
        counts.dropped
    )
    assert {one["reason"]: one["count"] for one in told["rejected"]} == dict(counts.rejected)
    assert counts.rejected
    assert counts.dropped["duplicate_uid"] == 1
    assert told["read"] == told["kept"] + sum(
        one["count"] for one in (*told["dropped"], *told["rejected"])
    )
    assert [one["rule"] for one in told["dropped"]] == [0, 1, None]


def test_samples_are_shown_as_they_are_stored(reported: tuple[LocalRun, Built]) -> None:
    run, built = reported
    payload, rows = built.payload, rows_of(run)
    explorer = payload["explorer"]
    assert explorer is not None
    assert [one["id"] for one in payload["samples"]] == list(range(len(payload["samples"])))
    for sample in payload["samples"]:
        row = rows[sample["shard"], sample["key"]]
        assert sample["uid"] == row["uid"]
        assert sample["reason"] == row["reason"]
        assert sample["status"] == row["status"]
        for name, value in sample["values"].items():
            assert value == row[name]
        if sample["digits"] is not None:
            told = reason_of(explorer, explorer["rules"], sample["digits"])
            assert told == ("" if row["reason"] == "kept" else row["reason"])
        assert (sample["digits"] is None) == (
            row["reason"] == "duplicate_uid" or row["status"] != "ok"
        )
    good = [one for one in payload["samples"] if one["status"] == "ok"]
    assert all(re.fullmatch(r"(red cat|blue dog|green hen) \d+", str(s["caption"])) for s in good)
    assert {s["thumb"] for s in good} <= set(built.thumbnails)
    broken = [one for one in payload["samples"] if one["status"] == "undecodable_image"]
    assert [one["thumb"] for one in broken] == [None]
    assert "undecodable_image" in str(broken[0]["thumb_note"])
    assert broken[0]["caption"] == "red cat 4"


def test_percentiles_and_quantiles_are_exact(reported: tuple[LocalRun, Built]) -> None:
    run, built = reported
    payload = built.payload
    decided = [
        row for row in rows_of(run).values()
        if row["status"] == "ok" and row["reason"] != "duplicate_uid"
    ]  # fmt: skip
    for column in payload["columns"]:
        values = np.sort([row[column["name"]] for row in decided])
        assert column["count"] == len(values) == 13
        assert (column["min"], column["max"]) == (values[0], values[-1])
        assert column["mean"] == pytest.approx(values.mean(), rel=1e-6)
        assert column["sd"] == pytest.approx(values.std(), rel=1e-5, abs=1e-12)
        for p, value in zip(*column["quantiles"].values(), strict=True):  # type: ignore[call-overload]
            assert value == values[min(int(p * 13), 12)]
        for histogram in (column["linear"], column["log"]):
            if histogram is not None:
                assert sum(histogram["pool"]) == 13
                assert sum(histogram["kept"]) == payload["accounts"]["kept"]
        for sample in payload["samples"]:
            if sample["values"][column["name"]] is not None:
                below = np.sum(values < sample["values"][column["name"]])
                assert sample["percentiles"][column["name"]] == pytest.approx(below / 13, abs=1e-6)
    assert payload["columns"][0]["linear"]["reference"] is not None  # type: ignore[index]


def test_galleries_show_what_they_say(payload: Payload) -> None:
    galleries = {gallery["id"]: gallery for gallery in payload["galleries"]}
    samples = payload["samples"]

    def values(name: str, column: str) -> list[Any]:
        return [samples[e["sample"]]["values"][column] for e in galleries[name]["entries"]]

    for column in ("image_informativeness", "clip_score"):
        everything = sorted(
            s["values"][column]
            for s in samples
            if s["digits"] is not None  # type: ignore[type-var]
        )
        assert len(everything) == 13  # a pool this small is shown whole
        assert values(f"lowest:{column}", column) == everything[:4]
        assert values(f"highest:{column}", column) == everything[:-5:-1]
    below = values("around:0:below", "image_informativeness")
    above = values("around:0:above", "image_informativeness")
    assert below == sorted(below, reverse=True)
    assert above == sorted(above)
    assert max(below) < min(above)
    for gallery in payload["galleries"]:
        assert 0 < len(gallery["entries"]) <= 4
        ids = [entry["sample"] for entry in gallery["entries"]]
        assert len(set(ids)) == len(ids)
        kind, _, what = gallery["id"].partition(":")
        reasons = {samples[at]["reason"] for at in ids}
        if kind in ("dropped", "rejected"):
            assert reasons == {f"rejected:{what}" if kind == "rejected" else what}
        if kind == "kept":
            assert reasons == {"kept"}
    assert {"rejected:undecodable_image", "rejected:empty_caption", "dropped:duplicate_uid",
            "random", "kept"} <= set(galleries)  # fmt: skip


def test_near_samples_lie_in_their_intervals(payload: Payload) -> None:
    explorer, samples = payload["explorer"], payload["samples"]
    assert explorer is not None
    for at, column in enumerate(explorer["columns"]):
        near = payload["near"][column["name"]]
        assert len(near) == column["intervals"]
        seen = 0
        for interval, ids in enumerate(near):
            values = [samples[one]["values"][column["name"]] for one in ids]
            assert values == sorted(values)  # type: ignore[type-var]
            assert all(samples[one]["digits"][at] == interval for one in ids)  # type: ignore[index]
            seen += len(ids)
        assert seen >= min(13, column["intervals"])


def test_joint_histograms_and_correlations(payload: Payload) -> None:
    assert [(one["x"], one["y"]) for one in payload["joint"]] == [
        ("image_informativeness", "text_informativeness"),
        ("image_informativeness", "clip_score"),
        ("text_informativeness", "clip_score"),
    ]
    for one in payload["joint"]:
        assert np.sum(one["pool"]) == 13
        assert np.sum(one["kept"]) == payload["accounts"]["kept"]
        assert np.shape(one["pool"]) == (len(one["x_edges"]) - 1, len(one["y_edges"]) - 1)
    told = payload["correlations"]
    assert told is not None
    assert told["names"] == [column["name"] for column in payload["columns"]]
    assert (told["rows"], told["of"]) == (13, 13)
    assert told["spearman"][0][0] == told["pearson"][0][0] == 1.0


def test_the_same_run_gives_the_same_bytes(reported: tuple[LocalRun, Built]) -> None:
    run, built = reported
    before = tree(run.folder)
    again = build_report(run.run, samples=4)
    assert again == built
    assert tree(run.folder) == before


def test_shards_that_are_gone_leave_a_note(scored_run: LocalRun) -> None:
    Path(scored_run.shards[0].url).unlink()
    Path(scored_run.shards[1].url).write_bytes(b"short")
    built = build_report(scored_run.run, samples=4)
    notes = Counter(
        str(sample["thumb_note"]).split(":")[0].split(" ")[0]
        for sample in built.payload["samples"]
        if sample["thumb"] is None
    )
    assert len(notes) == 2
    assert any("could not be opened" in warning for warning in built.payload["warnings"])
    assert built.thumbnails


def test_a_shard_that_was_replaced_does_not_lend_its_pictures(scored_run: LocalRun) -> None:
    """As when the same numbers are downloaded again: keys alike, samples others."""
    members = [
        m
        for i in (0, 1, 2, 3, 5, 4, 6, 7, 8)
        for m in sample_members(f"{i:09d}", f"lent {i}", i + 50, uid=uid(i))
    ]
    Path(scored_run.shards[0].url).write_bytes(tar_bytes(members))
    payload = build_report(scored_run.run, samples=4).payload
    shown = [one for one in payload["samples"] if one["shard"] == "00000"]
    assert {one["key"] for one in shown} == {f"{i:09d}" for i in range(9)}
    assert {(one["caption"], one["thumb"], one["look"]) for one in shown} == {(None, None, None)}
    assert all("the shard changed since it was scored" in str(s["thumb_note"]) for s in shown)
    others = [one for one in payload["samples"] if one["shard"] != "00000"]
    assert all(re.match(r"blue dog|green hen| ", str(one["caption"])) for one in others)
    (warning,) = (one for one in payload["warnings"] if "do not give all" in one)
    assert warning.startswith("1 shards")
    assert "00000: " in warning
    assert "score it again" in warning


def test_samples_that_a_changed_shard_still_holds_are_shown(scored_run: LocalRun) -> None:
    path = Path(scored_run.shards[0].url)
    path.write_bytes(path.read_bytes().replace(b"000000002.", b"00000002x."))
    payload = build_report(scored_run.run, samples=4).payload
    captions = {one["key"]: one["caption"] for one in payload["samples"] if one["shard"] == "00000"}
    assert captions["000000002"] is None
    assert captions["000000003"] == "red cat 3"


# --- other kinds of runs --------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[Store]:
    store = Store(f"memory://{uuid.uuid4().hex}")
    yield store
    store.remove("")


def test_nothing_selected_yet(memory: Store) -> None:
    built = build_report(fabricate(memory, pool_of(40)))
    payload = built.payload
    assert payload["subset"] is None
    assert (payload["accounts"]["kept"], payload["accounts"]["dropped"]) == (None, [])
    assert "nothing is selected yet" in payload["warnings"][0]
    explorer = payload["explorer"]
    assert explorer is not None
    assert explorer["kept"] == 40
    assert {sample["reason"] for sample in payload["samples"]} == {"undecided"}
    assert {row["kept"] for row in payload["shards"]["rows"]} == {None}
    assert sum(count for _, count in cells_of(explorer, built.cells)) == 40
    assert not any(one["id"].startswith(("kept", "dropped")) for one in payload["galleries"])


def test_shards_that_could_not_be_read_are_told(memory: Store) -> None:
    run = fabricate(memory, pool_of(20, shards=2))
    run.write_manifest([*run.read_manifest(), Shard("00002", "/nowhere/00002.tar", 1)])
    run.fail(Shard("00002", "/nowhere/00002.tar", 1), "https://user:secret@host/x: no tar")
    memory.write_bytes("config.yaml", b"model: {name: embedded}\nextra: {token: abcdefgh}\n")
    payload = build_report(run).payload
    assert payload["run"]["pool"]["shards"] == 3
    assert payload["run"]["pool"]["unreadable"] == {"00002": "https://***@host/x: no tar"}
    assert any(warning.startswith("1 shards could not be read") for warning in payload["warnings"])
    assert payload["shards"]["total"] == 2
    assert "abcdefgh" not in payload["run"]["config_yaml"]


def test_many_tests_do_not_make_a_page_of_many_galleries(memory: Store) -> None:
    tree = {"all": [{"clip_score": {"min": -2 + n / 20}} for n in range(40)]}
    run = fabricate(memory, pool_of(200))
    subset = subsets.select(run, "default", rules(tree), None)
    payload = build_report(run, samples=1).payload
    groups = Counter(gallery["group"] for gallery in payload["galleries"])
    assert groups["Around cuts"] == 20
    assert groups["Dropped"] == 20
    told = {one["reason"]: one["count"] for one in payload["accounts"]["dropped"]}
    assert {reason: n for reason, n in told.items() if n} == dict(subset.counts.dropped)
    shown = {gallery["title"]: gallery["total"] for gallery in payload["galleries"]}
    least = sorted(told.values())[-20]
    assert all(shown.get(f"Dropped: {reason}") == n for reason, n in told.items() if n > least)


def test_a_pool_without_a_row_or_a_shard(memory: Store) -> None:
    for pool in ({"00000": []}, {}):
        run = fabricate(Store(f"{memory.url}/{len(pool)}"), pool)
        subsets.select(run, "default", all_of(clip_score={"drop_lowest": 0.5}), None) if pool else 0
        payload = build_report(run).payload
        assert payload["accounts"]["read"] == 0
        assert payload["samples"] == []


def test_subsets_of_a_sweep_need_no_decisions(memory: Store) -> None:
    run = fabricate(memory, pool_of(60))
    half, most = all_of(clip_score={"keep_highest": 0.5}), all_of(clip_score={"drop_lowest": 0.1})
    sweep(run, [RuleSet("half", half, baseline=True), RuleSet("most", most)], None)
    files = memory.fs.find(memory.path(""))
    payload = build_report(run, "most").payload
    assert payload["accounts"]["kept"] == 54
    assert memory.fs.find(memory.path("")) == files
    told = payload["sweep"]
    assert told is not None
    assert [(one["name"], one["kept"], one["baseline"]) for one in told["subsets"]] == [
        ("half", 30, True),
        ("most", 54, False),
    ]
    assert told["subsets"][1]["uids"] == "../subsets/most/uids.npy"
    assert told["overlaps"] == [{"a": "half", "b": "most", "kept_both": 30, "jaccard": 30 / 54}]
    unchosen = build_report(run).payload
    assert unchosen["subset"] is None
    assert "--subset: half, most" in unchosen["warnings"][0]


def test_a_stale_subset_is_decided_anew_and_told(memory: Store) -> None:
    run = fabricate(memory, {"00000": [{"uid": uid(n), "clip_score": 0.1} for n in range(4)]})
    subsets.select(run, "default", all_of(clip_score={"min": 0.5}), None)
    rows = [{"uid": uid(n), "clip_score": 0.9} for n in range(4)]
    identity = run.read_identity(IDENTITY)
    assert identity is not None
    recommit(run, "00000", score_rows("00000", rows), identity[0])
    payload = build_report(run).payload
    assert payload["accounts"]["kept"] == 4
    assert any("other scores" in warning for warning in payload["warnings"])


def test_unknown_subsets_and_unfinished_runs(memory: Store) -> None:
    run = fabricate(memory, pool_of(10))
    with pytest.raises(ConfigError, match="no subset 'x'"):
        build_report(run, "x")
    memory.remove_file("state/00001.json")
    with pytest.raises(RunDirError, match="not scored yet"):
        build_report(run)
    with pytest.raises(RunDirError, match="holds no run"):
        open_run(RunDir(Store(f"{memory.url}/nowhere")))


def test_markers_that_do_not_fit_the_scores_are_not_reported(memory: Store) -> None:
    run = fabricate(memory, pool_of(10))
    table = score_rows("00000", [{"uid": uid(999)}])
    memory.write_table("scores/00000.parquet", table)
    with pytest.raises(AccountingError, match="curate verify"):
        build_report(run)


def test_a_subset_that_was_tampered_with_is_not_reported(memory: Store) -> None:
    run = fabricate(memory, pool_of(10))
    subset = subsets.select(run, "default", all_of(clip_score={"drop_lowest": 0.5}), None)
    summary = subset.summary | {"counts": {**subset.summary["counts"], "kept": 6}}
    memory.write_json("subsets/default/summary.json", summary)
    with pytest.raises(AccountingError, match="keeps 6 samples, its rules keep 5"):
        build_report(run)


def test_copies_take_one_place_only_where_they_look_alike(tmp_path: Path) -> None:
    picture, other = jpeg(seed=1), jpeg(seed=2)
    members = [
        (f"{n:09d}.{kind}", data)
        for n in range(60)
        for kind, data in (
            ("jpg", other if n in (1, 40) else picture if n < 50 else jpeg(seed=n)),
            ("txt", b"a caption"),
        )
    ]
    data = tar_bytes(members)
    (tmp_path / "00000.tar").write_bytes(data)
    rows = [
        {
            "uid": place.uid,
            # 30 is the same picture with another score, as batches of other sizes give it.
            "image_informativeness": 0.0015 if n == 30 else 0.002 if n < 50 else n / 100,
            "text_informativeness": 0.1,
            "tar_offset": place.offset,
            "tar_size": place.size,
        }
        for n, place in enumerate(places_in(data, "00000"))
    ]
    run = fabricate(Store(str(tmp_path / "run")), {"00000": rows})
    run.commit(replace(run.require_marker("00000"), url=str(tmp_path / "00000.tar")))
    built = build_report(run, samples=3)
    galleries = {gallery["id"]: gallery for gallery in built.payload["galleries"]}
    lowest = galleries["lowest:image_informativeness"]["entries"]
    # Of the rows of one score the first two are looked at, and they differ: none speaks for others.
    assert [entry["copies"] for entry in lowest] == [2, 1, 1]
    texts = galleries["lowest:text_informativeness"]["entries"]
    assert [entry["copies"] for entry in texts] == [60]


# --- writing --------------------------------------------------------------------------------


def test_a_report_is_written_and_replaced(memory: Store, reported: Any) -> None:
    _, built = reported
    write_report(built, memory, "report")
    first = memory.fs.find(memory.path("report"))
    memory.write_bytes("report/thumbs/9999.webp", b"of an older report")
    write_report(built, memory, "report")
    assert memory.fs.find(memory.path("report")) == first
    text = memory.read_bytes("report/data/report.js").decode()
    told = json.loads(text.partition("=")[2].rstrip().rstrip(";"))
    assert told == json.loads(json.dumps(built.payload))


def test_another_folder_is_not_overwritten(tmp_path: Path, reported: Any) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        write_report(reported[1], Store(str(tmp_path)), "")
    assert (tmp_path / "index.html").read_text() == "mine"


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["curate", "report", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command(
    scored_run: LocalRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scored_run.select(rules(RULES))
    folder = str(scored_run.folder)
    assert command(monkeypatch, folder) == 0
    assert (scored_run.folder / "report/index.html").is_file()
    assert "subset default: 16 samples" in capsys.readouterr().out
    out = tmp_path / "elsewhere"
    assert command(monkeypatch, folder, "--out", str(out), "--samples", "2", "--no-thumbnails") == 0
    assert not (out / "thumbs").exists()
    text = (out / "data/report.js").read_text()
    link = re.search(r'"uids":"([^"]*)"', text)
    assert link is not None
    assert (out / link[1]).samefile(scored_run.folder / "subsets/default/uids.npy")
    assert command(monkeypatch, folder, "--subset", "other") == 2
    assert "there is default" in capsys.readouterr().err.replace("\n", " ")
