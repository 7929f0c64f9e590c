"""The speed benchmarks: their table, their history, stand-ins, and what peers read."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import yaml

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from end_to_end import marginal
from speed.history import Record, append, ratios_of, read, worse
from speed.peers.inputs import geometry, write_recipe
from speed.pool import write_pool
from speed.sleepers import Pickled, Sleeper
from speed.stub import STUB
from speed.table import Row, markdown
from speed.trees import Cost

from curate.pipeline.embedder import Embedder

ROWS = [
    Row("score", "bare loop", 140.0, 150.0, "pair", 1.0),
    Row("score", "curate", 100.0, 80.0, "pair", 100 / 140, bar=0.75, memory_bytes=2_000_000),
    Row("filter", "curate", 40.0, 40.0, "GB", 1.4, bar=1.3),
    Row("start-up", "import torch", 2000.0, 2000.0, "run"),
]


def _record(ratio: float, machine: str = "a", quick: bool = False) -> Record:
    return Record("abc", "2026-01-01T00:00:00+00:00", machine, quick, {"score: curate": ratio})


def test_the_table_says_which_bars_are_met() -> None:
    lines = markdown(ROWS).splitlines()
    assert lines[2] == "| score | bare loop | 140 | 150 | pair | 1 |  |  |  |"
    assert lines[3] == "| score | curate | 100 | 80 | pair | 0.714 | 0.75 met | 2 MB |  |"
    assert "1.4 | 1.3 MISSED" in lines[4]
    assert [row.met for row in ROWS] == [None, True, False, None]


def test_records_come_back_from_the_file(tmp_path: Path) -> None:
    records = [_record(0.7), replace(_record(0.8), ratios=ratios_of(ROWS))]
    assert read(tmp_path / "history.jsonl") == []
    for record in records:
        append(tmp_path / "history.jsonl", record)
    assert read(tmp_path / "history.jsonl") == records
    assert sorted(records[1].ratios) == ["filter: curate", "score: bare loop", "score: curate"]


def test_a_ratio_that_got_worse_by_more_than_a_tenth_is_found() -> None:
    history = [_record(0.2), _record(0.5), _record(0.9), _record(0.6)]
    assert worse(_record(0.66), history) == []
    (found,) = worse(_record(0.67), history)
    assert (found.name, found.before, found.now) == ("score: curate", 0.6, 0.67)


def test_other_machines_and_sizes_are_not_compared() -> None:
    history = [_record(0.1, machine="b"), _record(0.1, quick=True)]
    assert worse(_record(0.7), history) == []


@pytest.mark.parametrize(
    "method", ["__init__", "info", "tokenizer", "share", "fitting_batch", "score"]
)
def test_a_sleeper_takes_the_calls_of_an_embedder(method: str) -> None:
    ours, theirs = (inspect.signature(getattr(c, method)).parameters for c in (Sleeper, Embedder))
    # Ray gives a class that was made an actor in this process one more.
    assert [*ours] == [name for name in theirs if name != "_ray_trace_ctx"]


def test_what_a_sleeper_passes_on_is_there_for_its_receiver() -> None:
    assert pickle.loads(pickle.dumps(Pickled(pickle.dumps(ROWS)))) == ROWS


def test_a_sleeper_imports_nothing_that_is_heavy() -> None:
    code = (
        "import sys, speed.sleepers; sys.exit(bool({'torch', 'curate', 'numpy'} & {*sys.modules}))"
    )
    folder = Path(__file__).resolve().parents[1] / "benchmarks"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


def test_a_pair_costs_what_the_cheapest_runs_of_both_sizes_differ_by() -> None:
    small, slow, large = Cost(9.0, 5.0, 10), Cost(12.0, 6.0, 30), Cost(19.0, 9.0, 20)
    found = marginal({200: [large, replace(large, cpu=19.5)], 100: [slow, small]})
    assert (found.cpu, found.wall, found.start) == pytest.approx((100.0, 40.0, 1.0))
    assert found.memory == 30


def test_a_peer_computes_with_a_model_of_the_same_size() -> None:
    import transformers

    theirs = transformers.CLIPModel(transformers.CLIPConfig(**geometry(STUB)))
    ours = open_clip.model.CLIP(**STUB)
    count = [sum(tensor.numel() for tensor in model.parameters()) for model in (theirs, ours)]
    assert count[0] == count[1]


def test_data_juicer_reads_every_pair_of_the_shards(tmp_path: Path) -> None:
    write_pool(tmp_path / "pool", 2, 3)
    shards = sorted((tmp_path / "pool").glob("*.tar"))
    recipe = yaml.safe_load(write_recipe(tmp_path, tmp_path / "model", shards, 2).read_text())
    samples = [json.loads(line) for line in Path(recipe["dataset_path"]).read_text().splitlines()]
    pictures = [Path(sample["images"][0]).read_bytes() for sample in samples]
    assert len(pictures) == 6
    assert pictures[:3] == pictures[3:]  # shards repeat what the pool draws
    assert all(sample["text"].startswith("<__dj__image> ") for sample in samples)
