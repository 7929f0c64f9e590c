"""What a report says of each column: numbers, histograms on both axes, and where its cuts lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.numerics.keys import threshold_of
from curate.report.describing import describe, is_score, label_of
from curate.report.distributions import (
    BINS,
    HistogramCounts,
    JointCounts,
    axis_of,
    linear_edges,
    log_edges,
)
from curate.report.explorer import ALWAYS, Explorer
from curate.report.opened import Opened
from curate.report.payload import ColumnFacts, Quantiles, Threshold, finite
from curate.report.scan import ReportScan
from curate.report.survey import ColumnSurvey
from curate.score_scan import column_values


@dataclass(frozen=True)
class Tables:
    """The surveys of all columns, and the histograms that they give the edges of."""

    surveys: Mapping[str, ColumnSurvey]
    precisions: Mapping[str, np.dtype[Any]]
    whole: frozenset[str]
    histograms: Mapping[str, HistogramCounts]

    def joint_counts(self, explorer: Explorer) -> JointCounts:
        """Joint histograms of the usual columns, or of what the explorer has in their place."""
        names = [name for name in ALWAYS if self._spreads(name)]
        others = [column.name for column in explorer.columns if self._spreads(column.name)]
        names = list(dict.fromkeys([*names, *others]))[: len(ALWAYS)]
        axes = [
            axis_of(name, self.surveys[name], self.precisions[name], name in self.whole)
            for name in names
        ]
        return JointCounts(axes)

    def _spreads(self, name: str) -> bool:
        return name in self.surveys and bool(self.surveys[name].quantiles)

    def centres(self, names: Sequence[str]) -> list[float]:
        """A finite value near the middle of each column."""
        found = [self.surveys[name].quantiles.get(0.5, 0.0) for name in names]
        return [value if np.isfinite(value) else 0.0 for value in found]


def make_tables(
    surveys: Mapping[str, ColumnSurvey],
    precisions: Mapping[str, np.dtype[Any]],
    whole: frozenset[str],
) -> Tables:
    """Empty histograms of all columns.

    Args:
        surveys, precisions: of all columns.
        whole: columns of whole numbers.
    """
    histograms = {
        name: HistogramCounts(
            linear_edges(found, precisions[name], BINS, name in whole),
            log_edges(found, precisions[name], BINS),
        )
        for name, found in surveys.items()
    }
    return Tables(surveys, precisions, whole, histograms)


def column_facts(
    opened: Opened, scan: ReportScan, tables: Tables, explorer: Explorer
) -> list[ColumnFacts]:
    """What is said of every column, in their order."""
    return [
        _facts(opened, scan, tables, explorer, at, name) for at, name in enumerate(opened.columns)
    ]


def _facts(
    opened: Opened, scan: ReportScan, tables: Tables, explorer: Explorer, at: int, name: str
) -> ColumnFacts:
    found, counts = tables.surveys[name], tables.histograms[name]
    described = describe(name)
    reference = _reference_values(opened, name)
    quantiles = found.quantiles
    return ColumnFacts(
        name=name,
        label=label_of(name),
        unit=described.unit,
        meaning=described.meaning,
        kind="score" if is_score(name) else "metadata",
        count=found.count,
        missing=found.missing,
        min=finite(quantiles[0.0]) if quantiles else None,
        max=finite(quantiles[1.0]) if quantiles else None,
        mean=scan.moments.mean(at),
        sd=scan.moments.deviation(at),
        quantiles=Quantiles(
            p=list(quantiles), value=[finite(value) for value in quantiles.values()]
        ),
        linear=counts.to_json(counts.linear, reference) if quantiles else None,
        log=counts.to_json(counts.log, reference) if quantiles else None,
        thresholds=_thresholds(explorer, name),
    )


def _reference_values(opened: Opened, name: str) -> npt.NDArray[Any] | None:
    if opened.sample is None or name not in opened.sample.column_names:
        return None
    values = column_values(opened.sample[name])
    return values.astype(opened.scan.precisions[name])


def _thresholds(explorer: Explorer, name: str) -> list[Threshold]:
    found: list[Threshold] = []
    for number, slider in enumerate(explorer.sliders):
        if slider.test is None or slider.test.column != name:
            continue
        precision = explorer.columns[slider.column].precision
        found.append(
            Threshold(
                test=number,
                value=finite(float(threshold_of(slider.test.cut, precision))),
                side="min" if slider.keep == "at_least" else "max",
                label=slider.test.name.removeprefix(f"{name}."),
            )
        )
    return found
