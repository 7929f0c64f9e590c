"""Metrics: what counts become, through Ray to Prometheus, and that the dashboard asks for them."""

from __future__ import annotations

import json
import logging
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from curate.alarms import Expected, Watch
from curate.manifest import Counts
from curate.pipeline import light, metrics
from curate.pipeline.light import Tally, by_reason
from curate.pipeline.metrics import ALL, PREFIX, Exporter
from curate.progress import Task

DASHBOARD = Path(__file__).resolve().parents[2] / "configs/cluster/grafana-dashboard.json"
EXPORT_SECONDS = 40
SUFFIXES = ("_bucket", "_sum", "_count")


class Played:
    """A metric of Ray's, which writes down what it is told."""

    def __init__(self, metric: metrics.Metric, told: dict[tuple[str, str], float]) -> None:
        self.metric = metric
        self.told = told

    def _add(self, value: float, tags: dict[str, str]) -> None:
        assert set(tags) == {"stage", *self.metric.tags}
        key = self.metric.name, ",".join(tags.values())
        self.told[key] = self.told.get(key, 0) + value

    inc = set = observe = _add


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], float]:
    """What is exported: (name, values of the tags) -> sum."""
    values: dict[tuple[str, str], float] = {}
    monkeypatch.setattr(Exporter, "_of", lambda self, metric: Played(metric, values))
    return values


def test_counts_become_metrics(told: dict[tuple[str, str], float]) -> None:
    exporter = Exporter("score")
    exporter.count({"read": 10, "rejected": 2, "dropped": 0})
    exporter.count({"read": 5, "rejected": 0, "rejected:missing_text": 2})
    exporter.count({"shards": 1})
    exporter.count({"shards": 1, "failed": 1})
    exporter.count({"reading_ms": 250, "embedding_ms": 4000, "window_ms": 9000, "split": 3})
    exporter.to_do(7)
    assert told == {
        ("curate_work_seconds_total", "score,reading"): 0.25,
        ("curate_work_seconds_total", "score,embedding"): 4.0,
        ("curate_batches_split_total", "score"): 3,
        ("curate_samples_read_total", "score"): 15,
        ("curate_samples_rejected_total", "score"): 2,
        ("curate_samples_by_reason_total", "score,rejected,missing_text"): 2,
        ("curate_shards_committed_total", "score"): 1,
        ("curate_shards_unreadable_total", "score"): 1,
        ("curate_shards_to_do", "score"): 7,
    }


def test_blocks_are_timed_unless_they_fail(told: dict[tuple[str, str], float]) -> None:
    exporter = Exporter("score")
    with exporter.timed(metrics.SHARD_SECONDS):
        time.sleep(0.01)
    with pytest.raises(KeyError), exporter.timed(metrics.BATCH_SECONDS):
        raise KeyError
    ((name, value),) = told.items()
    assert name == ("curate_shard_seconds", "score")
    assert 0.01 <= value < 5


def test_the_tally_counts_exports_and_raises_alarms(told: dict[tuple[str, str], float]) -> None:
    tally = Tally("score", 9, Watch(rejections=Expected(100, 10_000, "the Reference's sample")))
    counts = Counts(1000, {"missing_text": 300}, 650, {"rules": 50})
    for _ in range(6):
        tally.add({"read": 1000, "rejected": 300})
        tally.add({"shards": 1})
        tally.finish(counts)
    assert tally.snapshot() == {
        **{"read": 6000, "rejected": 1800, "shards": 6, "alarms": 1, "finished": 6000},
        **{"rejected:missing_text": 1800, "dropped:rules": 300},
    }
    assert told["curate_samples_by_reason_total", "score,rejected,missing_text"] == 1800
    assert told["curate_samples_by_reason_total", "score,dropped,rules"] == 300
    assert told["curate_alarms_total", "score,rejected"] == 1
    (alarm,) = tally.alarms()
    assert alarm.startswith("30 % rejected of the last 4,000 samples")


def test_the_tally_knows_how_long_workers_were_at_it(
    told: dict[tuple[str, str], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [50.0]
    monkeypatch.setattr(light.time, "monotonic", lambda: now[0])
    tally = Tally("score", 9)
    now[0] = 60.0
    tally.begin("first")
    now[0] = 61.0
    tally.begin("second")
    assert "window_ms" not in tally.snapshot()
    now[0] = 64.5
    tally.add({"read": 32, "preparing_ms": 900})
    now[0] = 99.0
    assert tally.snapshot() == {"read": 32, "preparing_ms": 900, "window_ms": 4500}


def test_reasons_are_told_apart() -> None:
    counts = Counts(9, {"a": 1}, 5, {"a": 3})
    assert by_reason(counts) == {"rejected:a": 1, "dropped:a": 3}


def test_names_are_those_of_prometheus() -> None:
    for metric in ALL:
        assert re.fullmatch(r"curate_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert list(metric.bounds) == sorted(metric.bounds)
        assert bool(metric.bounds) == (metric.kind == "histogram")
    assert len({metric.name for metric in ALL}) == len(ALL)


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """Everything that the dashboard asks of Prometheus."""
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return asked + [
        variable["query"] for variable in dashboard["templating"]["list"] if variable["query"]
    ]


def test_the_dashboard_asks_for_every_metric_and_no_other() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    exported = {PREFIX + metric.name: metric for metric in ALL}
    asked = set()
    for expression in expressions(dashboard):
        for name in re.findall(rf"\b{PREFIX}\w+", expression):
            suffix = next((s for s in SUFFIXES if name.endswith(s)), "")
            metric = exported[name.removesuffix(suffix)]
            assert bool(suffix) == (metric.kind == "histogram"), name
            asked.add(metric.name)
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            known = {"stage", "le"} | {tag for metric in ALL for tag in metric.tags}
            assert set(labels.split(", ")) <= known
    assert asked == {metric.name for metric in ALL}


def test_the_panels_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_prometheus_gets_what_workers_report() -> None:
    import ray

    # Other tests share this Ray, and count under the stages' own names.
    tally = ray.remote(Tally).options(num_cpus=0).remote("prometheus", 3)
    tally.add.remote({"read": 7, "rejected": 1})
    tally.finish.remote(Counts(7, {"missing_text": 1}))
    counted = {"read": 7, "rejected": 1, "finished": 7, "rejected:missing_text": 1}
    assert ray.get(tally.snapshot.remote()) == counted
    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    wanted = {
        "ray_curate_samples_read_total": "7.0",
        "ray_curate_samples_rejected_total": "1.0",
        "ray_curate_samples_by_reason_total": "1.0",
        "ray_curate_shards_to_do": "3.0",
    }
    deadline = time.monotonic() + EXPORT_SECONDS
    found: dict[str, str] = {}
    while found != wanted and time.monotonic() < deadline:
        time.sleep(0.5)
        with urllib.request.urlopen(address, timeout=5) as response:
            lines = response.read().decode().splitlines()
        own = [line for line in lines if 'stage="prometheus"' in line.lower()]
        samples = [line for line in own if line.startswith("ray_curate_")]
        found = {line.partition("{")[0]: line.rpartition(" ")[2] for line in samples}
    assert found == wanted
    ray.kill(tally)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_alarms_and_halved_batches_are_warned_of_when_a_stage_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from curate.pipeline.mapping import tallied

    watch = Watch(rejections=Expected(100, 10_000, "the Reference's sample"))
    with caplog.at_level(logging.WARNING), tallied(Task("score", 6), watch) as tally:
        tally.add.remote({"split": 2})
        for _ in range(6):
            tally.finish.remote(Counts(1000, {"missing_text": 300}))
    records = [r for r in caplog.records if r.name == "curate.pipeline.mapping"]
    split, alarm = (record.getMessage() for record in records)
    assert split.startswith("2 batches did not fit into memory")
    assert alarm.startswith("alarm: 30 % rejected of the last 4,000 samples")
