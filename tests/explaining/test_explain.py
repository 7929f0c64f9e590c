"""Whole explanations: verdicts of every sample, what the model says, what can be missing."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from datacomp_pool import ALL_ROW_FAULTS, make_pool
from explained_runs import write_config
from factories import sample_members, tar_bytes
from local_run import EVERYTHING, LocalRun, score_locally
from test_cli import call
from test_hostile_text import TITLE, assert_harmless

from curate import reference_files, subsets
from curate.config import Config, Rules, parse_config, to_yaml
from curate.embedding_pools.layouts import list_parts
from curate.embedding_pools.source import find_source
from curate.embedding_pools.task import PartTask, sample_part, score_part
from curate.encoder import Encoder
from curate.errors import AccountingError, ReferenceFileError, RunDirError
from curate.explain_page import show
from curate.explaining import Explanation, Wanted, explain, to_json
from curate.explaining import run as running
from curate.manifest import IDENTITY, RunDir
from curate.numerics.posterior import log_posterior
from curate.outputs import Store
from curate.pipeline.sample_stage import fit_on_rows, pack
from curate.reporting import console
from curate.schema import DUPLICATE_UID, SCORE_COLUMNS
from curate.scorer import Scorer
from curate.workspace import CONFIG

CUT = {"drop_lowest": 0.2}
RULES: dict[str, Any] = {
    "fractions": {
        "all": [{"image_informativeness": CUT}, {"text_informativeness": {"keep_highest": 0.7}}]
    },
    "reference": {"all": [{"image_informativeness": CUT | {"of": "reference"}}]},
    "datacomp": {"all": [{"clip_score": {"keep_highest": 0.5, "method": "datacomp"}}]},
    "nested": {
        "any": [
            {"clip_score": {"keep_highest": 0.3}},
            {
                "all": [
                    {"caption_words": {"min": 3, "max": 3}},
                    {"width": {"max": 1000}, "image_norm": {"drop_lowest": 0.5}},
                ]
            },
        ]
    },
    "nothing": {"all": []},
}
LIGHT = Wanted(neighbours=0)


def places(made: LocalRun) -> list[str]:
    found = []
    for shard in made.shards:
        keys = made.store.read_table(f"scores/{shard.id}.parquet")["key"].to_pylist()
        found += [f"{shard.id}/{key}" for key in dict.fromkeys(keys)]
    return found


@pytest.mark.parametrize("name", RULES)
def test_every_verdict_is_the_stored_decision(explained_run: LocalRun, name: str) -> None:
    rules = Rules.model_validate(RULES[name])
    subset = explained_run.select(rules, name)
    stored = {}
    for shard in explained_run.shards:
        table = subsets.read_decisions(explained_run.store, subset, shard.id)
        stored |= {(shard.id, row["key"]): row for row in table.to_pylist()}
    told = explain(explained_run.run, places(explained_run), Wanted(name, 0))
    assert len(told) == len(stored) == 16
    reasons = set()
    for one in told:
        row, verdict = stored[one.shard, one.key], one.verdict
        assert verdict is not None
        assert (verdict.kept, verdict.reason) == (row["kept"], row["reason"])
        assert (one.status == "ok") == (verdict.rules is not None)
        assert (verdict.same_uid is None) == (verdict.reason != DUPLICATE_UID)
        reasons.add(row["reason"].partition(":")[0])
        json.dumps(to_json(one), allow_nan=False)
    assert {"kept", "rejected", DUPLICATE_UID} <= reasons
    twin = next(one for one in told if one.verdict and one.verdict.same_uid)
    assert twin.verdict
    assert twin.verdict.same_uid == "00000/000000001"


def test_a_subset_of_a_sweep_is_explained_without_its_decisions(explained_run: LocalRun) -> None:
    """Its verdicts are those that its decision tables will hold."""
    subset = explained_run.select(Rules.model_validate(RULES["fractions"]))
    before = explain(explained_run.run, places(explained_run), LIGHT)
    explained_run.store.remove(f"{subset.folder}/decisions")
    lesser = subset.summary | {"decisions": False}
    explained_run.store.write_json(f"{subset.folder}/{subsets.SUMMARY}", lesser)
    assert explain(explained_run.run, places(explained_run), LIGHT) == before


def test_decisions_that_the_rules_do_not_give_are_an_error(explained_run: LocalRun) -> None:
    subset = explained_run.select(Rules(all=()))
    relative = f"{subset.folder}/decisions/00000.parquet"
    table = explained_run.store.read_table(relative)
    wrong = ["clip_score.min=2"] * table.num_rows
    at = table.schema.get_field_index("reason")
    explained_run.store.write_table(relative, table.set_column(at, table.schema.field(at), [wrong]))
    with pytest.raises(AccountingError, match=r"says 'clip_score.min=2' of 00000/000000001, but"):
        explain(explained_run.run, ["000000001"], LIGHT)


# --- which subset -----------------------------------------------------------------------------


def test_the_subset_is_the_named_the_configured_or_the_only_one(
    explained_run: LocalRun, tiny_model: str
) -> None:
    run, key = explained_run.run, "000000003"

    def told(subset: str | None) -> Any:
        return explain(run, [key], Wanted(subset, 0))[0].verdict

    assert told(None) is None
    with pytest.raises(RunDirError, match="there is no subset 'x'; run `curate select` first"):
        told("x")
    explained_run.select(Rules(all=()), "one")
    assert told(None).subset == "one"
    explained_run.select(Rules.model_validate(RULES["nested"]), "two")
    with pytest.raises(RunDirError, match=r"which subset\? it has one, two"):
        told(None)
    write_config(explained_run, tiny_model, output={"run_dir": str(run.store), "subset": "two"})
    assert told(None).subset == "two"
    assert told("one").subset == "one"


def test_nothing_is_written(explained_run: LocalRun) -> None:
    explained_run.select(Rules.model_validate(RULES["fractions"]))
    for name in ("state/markers.cache", "state/duplicates.npz"):
        (explained_run.folder / name).unlink(missing_ok=True)
    before = {path: path.stat().st_mtime_ns for path in explained_run.folder.rglob("*")}
    explain(explained_run.run, places(explained_run))
    assert {path: path.stat().st_mtime_ns for path in explained_run.folder.rglob("*")} == before


def test_a_run_that_is_half_done_is_explained(explained_run: LocalRun) -> None:
    explained_run.store.remove("state/00002.json")
    (one,) = explain(explained_run.run, ["000000003"], LIGHT)
    assert one.verdict is None
    assert one.pool["clip_score"].of == 12
    for name in ("00000", "00001"):
        explained_run.store.remove(f"state/{name}.json")
    with pytest.raises(RunDirError, match="no shard is scored yet"):
        explain(explained_run.run, ["000000003"])


# --- scores -----------------------------------------------------------------------------------


def test_standings_are_counted_over_the_pool_and_the_sample(explained_run: LocalRun) -> None:
    explained_run.select(Rules.model_validate({"all": [{"caption_words": {"min": 1}}]}))
    store = explained_run.store
    tables = [store.read_table(f"scores/{shard.id}.parquet") for shard in explained_run.shards]
    rows = [row for table in tables for row in table.to_pylist()]
    first = {r["uid"]: r for r in reversed(rows) if r["status"] == "ok"}.values()
    told = explain(explained_run.run, places(explained_run), LIGHT)
    sample = explained_run.sample.table
    for one in told:
        if one.status != "ok":
            assert not one.pool
            assert not one.reference
            assert one.meaning_of_status
            continue
        assert set(one.pool) == {*SCORE_COLUMNS, "caption_words"}
        for name, standing in one.pool.items():
            value = one.values[name]
            assert value is not None
            assert standing.of == len(first)
            assert standing.below == sum(r[name] < value for r in first)
            assert standing.equal == sum(r[name] == value for r in first)
            assert one.reference[name].below == sum(x < value for x in sample[name].to_pylist())
    assert explain(explained_run.run, ["000000003"], Wanted(neighbours=0, pool=False))[0].pool == {}


# --- what the model makes of it ---------------------------------------------------------------


def test_the_model_tells_what_samples_mean(explained_run: LocalRun) -> None:
    """Nearest texts and those that gain most, against a loop over the sample."""
    keys = ["000000003", "00001/000000013", "000000004", "000000012"]
    told = {one.key: one for one in explain(explained_run.run, keys, Wanted(neighbours=3))}
    assert told["000000003"].caption == "red cat 3"
    assert told["000000004"].caption == "red cat 4"
    assert told["000000004"].image is None
    assert told["000000012"].caption == " "
    held, posterior = explained_run.sample.embeddings, explained_run.reference.posterior
    table = explained_run.sample.table
    for key in ("000000003", "000000013"):
        row = table["key"].to_pylist().index(key)
        one = told[key]
        assert one.notes == ()
        for meaning, query, others, prior in (
            (one.image, held.image[row], held.text, held.text_weights),
            (one.text, held.text[row], held.image, held.image_weights),
        ):
            assert meaning is not None
            p = np.exp(log_posterior(query[None], others, posterior))[0]
            terms = [float(p[t] * np.log(p[t] / prior[t])) for t in range(len(p))]
            cosines = [float(query.astype(float) @ others[t]) for t in range(len(p))]
            assert meaning.information_gain == pytest.approx(sum(terms), rel=1e-3)
            assert [n.cosine for n in meaning.nearest] == pytest.approx(
                sorted(cosines)[:-4:-1], abs=1e-5
            )
            assert [n.term for n in meaning.gaining] == pytest.approx(
                sorted(terms)[:-4:-1], rel=1e-2
            )
            best = meaning.nearest[0]
            assert (best.shard, best.key) == (
                table["shard"][best.row].as_py(),
                table["key"][best.row].as_py(),
            )
            assert best.caption in {
                f"{what} {int(best.key or 0)}" for what in ("red cat", "blue dog", "green hen")
            }
            assert best.posterior == pytest.approx(p[best.row], rel=1e-4)
            assert best.prior == pytest.approx(prior[best.row])


def test_saved_embeddings_stand_in_for_the_model(
    tmp_path: Path, tiny_encoder: Encoder, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    members = [m for i in range(6) for m in sample_members(f"{i:09d}", f"red cat {i}", i)]
    (pool / "00000.tar").write_bytes(tar_bytes(members))
    run = RunDir(Store(str(tmp_path / "run")))
    made = score_locally(run, f"{pool}/*.tar", tiny_encoder, save_embeddings=True)
    write_config(made, tiny_model)
    keys = ["000000004", "000000001"]
    monkeypatch.setattr(running, "embed", None)
    saved = explain(run, keys)
    monkeypatch.undo()
    made.store.remove("embeddings")
    for one, other in zip(saved, explain(run, keys), strict=True):
        assert one.image
        assert other.image
        assert [n.row for n in one.image.nearest][:1] == [n.row for n in other.image.nearest][:1]
        assert one.image.information_gain == pytest.approx(other.image.information_gain, rel=0.02)
    made.store.write_bytes("embeddings/00000.npz", b"damaged")
    (damaged,) = explain(run, keys[:1])
    assert damaged.image
    assert "embeddings/00000.npz" in damaged.notes[0]
    made.store.remove("embeddings")
    write_config(made, tiny_model + "-gone")
    (nameless,) = explain(run, keys[:1])
    assert nameless.image is None
    assert "cannot be loaded" in nameless.notes[0]
    (without,) = explain(run, keys[:1], Wanted(model=False))
    assert without.image is None
    assert without.notes == ("its embeddings were not saved, and no model was to be used",)


def test_a_reference_without_captions_or_sample_says_so(explained_run: LocalRun) -> None:
    store, key = explained_run.store, "000000003"
    described = store.read_json("reference/reference.json")
    (one,) = explain(explained_run.run, [key])
    # As versions wrote it that kept no captions.
    del described[reference_files.CAPTIONS_CHECKSUM]
    store.write_json("reference/reference.json", described)
    store.remove("reference/sample_captions.parquet")
    (old,) = explain(explained_run.run, [key])
    assert old.image
    assert one.image
    assert [n.key for n in old.image.nearest] == [n.key for n in one.image.nearest]
    assert {n.caption for n in old.image.nearest} == {None}
    assert "keeps no captions" in old.notes[0]
    store.remove("reference/sample_scores.parquet")
    (adopted,) = explain(explained_run.run, [key])
    assert adopted.image
    assert {n.key for n in adopted.image.nearest} == {None}
    assert "keeps no keys" in adopted.notes[0]
    store.remove("reference/sample.npz")
    (bare,) = explain(explained_run.run, [key])
    assert bare.image is None
    assert "sample.npz is missing" in bare.notes[0]
    store.remove("reference")
    (alone,) = explain(explained_run.run, [key])
    assert alone.notes == ("there is no Reference to tell what the model makes of it",)


def test_captions_of_another_sample_are_refused(explained_run: LocalRun) -> None:
    store, relative = explained_run.store, "reference/sample_captions.parquet"
    store.write_table(relative, store.read_table(relative).slice(1))
    fitted = reference_files.load(store, "reference")
    with pytest.raises(ReferenceFileError, match=r"sample_captions.parquet does not match"):
        reference_files.load_sample_captions(store, "reference", fitted)
    store.remove(relative)
    with pytest.raises(ReferenceFileError, match="copy it again"):
        reference_files.load_sample_captions(store, "reference", fitted)


def test_a_pool_that_is_gone_or_changed_is_told(explained_run: LocalRun) -> None:
    tar = Path(explained_run.shards[0].url)
    key, broken = "000000003", "000000004"
    members = [m for i in (30, 31, 32) for m in sample_members(f"{i:09d}", "other", i)]
    other = tar_bytes(members)
    for content in (other, other * 4, bytes(99_999)):
        tar.write_bytes(content)
        for one in explain(explained_run.run, [key, broken]):
            assert one.caption is None
            assert one.image is None
            assert str(tar) in one.notes[0]
            assert "changed since it was scored" in one.notes[0]
    tar.unlink()
    (one,) = explain(explained_run.run, [key])
    assert "cannot be opened" in one.notes[0]


def test_what_a_changed_shard_still_holds_is_explained_and_nothing_else(
    explained_run: LocalRun,
) -> None:
    tar = Path(explained_run.shards[0].url)
    whole, key = tar.read_bytes(), "000000000"
    uid = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest().encode()
    tar.write_bytes(whole.replace(uid, uid[::-1]))
    lost, there = explain(explained_run.run, [key, "000000001"])
    assert (lost.caption, lost.image) == (None, None)
    assert lost.notes == (f"{tar}: the shard changed since it was scored: score it again",)
    assert (there.caption, there.notes) == ("red cat 1", ())
    tar.write_bytes(whole[: len(whole) // 2])
    late, early = explain(explained_run.run, ["000000008", key])
    assert "short read" in late.notes[0]
    assert str(tar) in late.notes[0]
    assert (early.caption, early.notes) == ("red cat 0", ())


# --- other places -----------------------------------------------------------------------------


def test_a_run_on_an_object_store_is_explained(explained_run: LocalRun) -> None:
    explained_run.select(Rules.model_validate(RULES["nested"]))
    before = explain(explained_run.run, ["000000003", "000000004"])
    place = f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").put(str(explained_run.folder), f"{place}/run", recursive=True)
    assert explain(RunDir(Store(f"{place}/run")), ["000000003", "000000004"]) == before


def test_a_pool_of_precomputed_embeddings_is_explained(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "metadata", (30, 40), faults=ALL_ROW_FAULTS)
    run = RunDir(Store(str(tmp_path / "run")))
    tree = {"input": {"embeddings": str(pool.folder)}, "output": {"run_dir": str(run.store)}}
    config = parse_config(tree)
    parts = list_parts(str(pool.folder))
    source = find_source(parts, config)
    fitted = _fit(run, parts, source, config)
    identity = run.claim(IDENTITY, source.parts())
    run.write_manifest([part.as_shard() for part in parts])
    run.store.write_bytes(CONFIG, to_yaml(config).encode())
    for part in parts:
        score_part(run, part, PartTask(identity, source, (), Scorer(fitted)), lambda counts: None)
    subsets.select(run, "default", Rules.model_validate(RULES["fractions"]), None)
    rows = pool.table.to_pylist()
    names = [f"{row['part']}/{row['uid']}" for row in rows]
    told = {
        name: row
        for name, row in zip(names, rows, strict=True)
        if len(row["uid"]) == 32 and names.count(name) == 1
    }
    found = {one.name: one for one in explain(run, list(told), Wanted(neighbours=2))}
    for name, row in told.items():
        one = found[name]
        assert one.status == row["status"]
        assert one.caption == row["text"]
        assert (one.image is None) == (one.status != "ok")
    good = next(one for one in found.values() if one.image)
    text = pool.normalised("l14_txt")
    row = next(i for i, r in enumerate(rows) if f"{r['part']}/{r['uid']}" == good.name)
    usable = np.array([r["status"] == "ok" for r in rows])
    cosines = text[usable] @ pool.normalised("l14_img")[row]
    assert good.image
    assert good.image.nearest[0].cosine == pytest.approx(cosines.max(), abs=1e-5)
    captions = [r["text"] for r, is_ok in zip(rows, usable, strict=True) if is_ok]
    assert good.image.nearest[0].caption == captions[int(cosines.argmax())]
    path = pool.folder / f"{pool.stems[1]}.parquet"
    pq.write_table(pq.read_table(path)[::-1], path)
    (other,) = explain(run, [next(n for n in told if n.startswith(pool.stems[1]))])
    assert (other.caption, other.image) == (None, None)
    assert other.notes[0].endswith("the metadata changed since it was scored: score it again")
    (pool.folder / f"{pool.stems[0]}.npz").unlink()
    (one,) = explain(run, [next(n for n in told if n.startswith(pool.stems[0]))])
    assert one.caption is None
    assert pool.stems[0] in one.notes[0]


def _fit(run: RunDir, parts: Any, source: Any, config: Config) -> Any:
    rows = []
    for part in parts:
        table, arrays = pack(*sample_part(part, source, 0, EVERYTHING, ()))
        rows.append({"id": part.id, "table": table, "arrays": arrays, "error": ""})
    fitted, sample = fit_on_rows(rows, config, source.model, run.store, "reference")
    reference_files.save(run.store, "reference", fitted, sample)
    return fitted


# --- what is printed --------------------------------------------------------------------------


def page(found: list[Explanation], capsys: pytest.CaptureFixture[str], width: int = 80) -> str:
    show(console(width=width), found, as_json=False)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", RULES)
def test_a_page_fits_eighty_columns(
    explained_run: LocalRun, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    explained_run.select(Rules.model_validate(RULES[name]))
    text = page(explain(explained_run.run, places(explained_run), LIGHT), capsys)
    text += page(explain(explained_run.run, ["000000003", "000000004"]), capsys)
    long = [line for line in text.splitlines() if len(line) > 80]
    # A reason may join several rules; it is not cut.
    assert all(" in subset " in line or ".drop_lowest" in line for line in long)
    assert "kept in subset default" in text
    assert "the image, in texts of the Reference (Information Gain" in text
    assert "status   undecodable_image: the image bytes cannot be decoded" in text
    assert ("its uid is that of 00000/000000001" in text) == (
        name != "nothing"
    ) or name == "nothing"


def test_hostile_captions_and_keys_steer_nothing(
    tmp_path: Path,
    tiny_encoder: Encoder,
    tiny_model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    caption = f"[red]{TITLE}\u202e [link=https://example.org]cat[/] :skull:"
    members = [
        m for i in range(4) for m in sample_members(f"{i}[bold]\x1b[2J", f"{caption} {i}", i)
    ]
    members += [("9\x07.jpg", b"no picture"), ("9\x07.txt", b"\xff\x1b[2J" + TITLE.encode())]
    (pool / "00000.tar").write_bytes(tar_bytes(members))
    made = score_locally(RunDir(Store(str(tmp_path / "run"))), f"{pool}/*.tar", tiny_encoder)
    write_config(made, tiny_model)
    made.select(Rules(all=()))
    keys = made.store.read_table("scores/00000.parquet")["key"].to_pylist()
    assert any("\x1b" in key for key in keys)
    for option in ([], ["--json"]):
        asked = ("explain", str(made.folder), *keys, *option)
        code, out, err = call(*asked, monkeypatch=monkeypatch, capsys=capsys)
        assert code == 0, err
        assert_harmless(out + err)
        if option:
            told = [json.loads(line) for line in out.splitlines()]
            assert [one["key"] for one in told] == keys
            assert caption.replace("\x1b", " ").replace("\x07", " ") in told[0]["caption"]
        else:
            assert "[red]" in out
            assert ":skull:" in out
    code, out, err = call(
        "explain", str(made.folder), f"{TITLE}x", monkeypatch=monkeypatch, capsys=capsys
    )
    assert code == 2
    assert_harmless(out + err.replace("\n", ""))


def test_the_keys_of_the_json_are_stable(explained_run: LocalRun) -> None:
    explained_run.select(Rules.model_validate(RULES["nested"]))
    told = to_json(explain(explained_run.run, ["000000003"], Wanted(neighbours=1))[0])
    assert sorted(told) == [
        "caption", "columns", "error", "image", "index", "key", "meaning_of_status", "name",
        "notes", "shard", "status", "text", "uid", "uid_derived", "verdict", "version",
    ]  # fmt: skip
    assert sorted(told["columns"]["clip_score"]) == ["pool", "reference", "value"]
    assert sorted(told["columns"]["clip_score"]["pool"]) == ["below", "equal", "of", "percentile"]
    assert sorted(told["verdict"]) == ["kept", "reason", "rules", "same_uid", "subset"]
    group = told["verdict"]["rules"]
    assert sorted(group) == ["decisive", "group", "parts", "passed"]
    assert sorted(group["parts"][0]) == [
        "column", "decisive", "keep", "margin", "passed", "test", "threshold", "tied", "value",
    ]  # fmt: skip
    assert sorted(told["image"]) == ["gaining", "information_gain", "nearest"]
    assert sorted(told["image"]["nearest"][0]) == [
        "caption", "cosine", "key", "posterior", "prior", "row", "shard", "term",
    ]  # fmt: skip
