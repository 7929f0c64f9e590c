"""Every analysis of the report in its order, from embedded samples to sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from curate.config import PaperConfig
from curate.errors import NumericsError
from curate.paper import characteristics, costs, extremes, models, norms
from curate.paper.characteristics import Annotated, Characterised
from curate.paper.gains import Measured, exact, measure
from curate.paper.inputs import MAIN, Inputs
from curate.paper.language import LanguageModel, Surprisal
from curate.paper.pairs import Pool
from curate.paper.sample import Labelled, PaperSample, Section
from curate.paper.studies import STUDIES, Study
from curate.paper.visual_genome import match_counts, read_attribute_counts

IMAGE_ID: Final = "image_id"
"""The field of Visual Genome's jsons that `attributes.json` refers to."""

TRAINED: Final = "paper.unnormalised and paper.normalised"


@dataclass(frozen=True, eq=False)
class Embedded:
    """Everything that was embedded.

    Attributes:
        samples: name -> sample of the main pool: main first, then those of `paper.compare`.
        trained: the un-normalised and the normalised model's samples; empty unless both are set.
        annotated: name -> sample of Visual Genome, and its shards.
        labelled: name -> labelled pairs.
        pool: the shards of the main pool.
    """

    samples: Mapping[str, PaperSample]
    trained: Mapping[norms.Kind, PaperSample]
    annotated: Mapping[str, tuple[PaperSample, Pool]]
    labelled: Mapping[str, Labelled]
    pool: Pool


def embed(inputs: Inputs) -> Embedded:
    """Fit, or find fitted, every model on every pool. Raises CurateError as `curate fit` does."""
    paper = inputs.config.paper
    names = [MAIN, *paper.compare]
    samples = {name: inputs.sample(name) for name in names}
    trained: dict[norms.Kind, PaperSample] = {}
    if paper.unnormalised is not None and paper.normalised is not None:
        trained["un-normalised"] = inputs.sample("unnormalised")
        trained["normalised"] = inputs.sample("normalised")
    annotated = {name: inputs.visual_genome(name) for name in names}
    labelled = {name: inputs.labelled(name) for name in names}
    return Embedded(
        samples,
        trained,
        {name: found for name, found in annotated.items() if found is not None},
        {name: found for name, found in labelled.items() if found is not None},
        inputs.main_pool(),
    )


def sections(found: Embedded, settings: PaperConfig) -> Iterator[Section]:
    """Run the analyses one after the other. Raises CurateError where an input fails."""
    measured = {
        name: measure(sample.image, sample.text, sample.posterior())
        for name, sample in found.samples.items()
    }
    yield extremes.study(found.samples[MAIN], measured[MAIN], found.pool, settings)
    described = [
        Characterised(sample, measured[name], _annotated(name, found, measured[name], settings))
        for name, sample in found.samples.items()
    ]
    yield characteristics.study(described, _surprisal(found, settings), settings)
    yield from _tables_3_and_4(found, settings)
    yield _table_5(found.samples[MAIN], settings)
    pairs = [(sample, measured[name]) for name, sample in found.samples.items()]
    yield models.study(pairs, settings)
    for study in STUDIES:
        yield _further(study, found, settings)


def _further(study: Study, found: Embedded, settings: PaperConfig) -> Section:
    try:
        return study(list(found.samples.values()), found.labelled, settings)
    except NumericsError as exc:  # a sample that is too small for one study serves the others
        title = study.__name__.replace("_", " ")
        return Section(study.__name__, title, "Not run.", missing=(f"not run: {exc}",))


def _surprisal(found: Embedded, settings: PaperConfig) -> Surprisal | None:
    if settings.language_model is None:
        return None
    captions = found.pool.captions(found.samples[MAIN].table)
    return LanguageModel(settings.language_model).surprisal(captions)


def _annotated(
    name: str, found: Embedded, measured: Measured, settings: PaperConfig
) -> Annotated | None:
    if settings.visual_genome is None:
        return None
    images, pool = found.annotated[name]
    main = found.samples[name]
    image_ids = pool.metadata(images.table, IMAGE_ID)
    counts = read_attribute_counts(settings.visual_genome.attributes)
    return Annotated(
        kl=exact(images.image, main.text, measured.text_prior, main.posterior()),
        counts=match_counts(counts, image_ids, images.table["key"].to_pylist()),
    )


def _tables_3_and_4(found: Embedded, settings: PaperConfig) -> Iterator[Section]:
    if found.trained:
        yield from norms.study(found.trained, settings)
        return
    for name, title in (("table3", norms.TITLE_3), ("table4", norms.TITLE_4)):
        yield not_run(name, title, f"set {TRAINED}")


def _table_5(sample: PaperSample, settings: PaperConfig) -> Section:
    if not settings.sizes:
        return not_run("table5", costs.TITLE, "set paper.sizes")
    return costs.study(sample, settings)


def not_run(name: str, title: str, remedy: str) -> Section:
    """A section that says what it lacks."""
    return Section(name, title, "Not run.", missing=(f"not run: {remedy}",))
