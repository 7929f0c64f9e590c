"""Explaining samples of a run: what is read, in which order, and put together.

Nothing is written to the run directory. Samples that are asked for together share every scan, the
model and the Reference's sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import yaml

from curate import reference_files
from curate.config import Config, parse_config
from curate.duplicates import Duplicates, find_duplicates
from curate.errors import ConfigError, CurateError, OutputError, RunDirError
from curate.explaining.contents import (
    Content,
    Embedding,
    contents_of_part,
    contents_of_shard,
    with_saved,
)
from curate.explaining.embedding import embed
from curate.explaining.finding import Place, find
from curate.explaining.findings import Explanation, Standing
from curate.explaining.meaning import Neighbourhood, neighbourhood
from curate.explaining.rows import Row, read_rows
from curate.explaining.standing import Standings, pool_standings, sample_standings
from curate.explaining.verdicts import Judge, chosen_subset
from curate.manifest import RunDir
from curate.samples import SamplePolicy, policy_of
from curate.schema import ALL_SCORES, OK, REJECTIONS
from curate.scored_pool import scored_pool
from curate.shards import Shard
from curate.workspace import CONFIG, REFERENCE_FOLDER, SAMPLE_SCORES


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much an explanation tells.

    Attributes:
        subset: whose verdict; None for the configured one, or the only one there is.
        neighbours: pairs of the Reference's sample that are named for each embedding.
        model: whether samples are embedded where their embeddings were not saved.
        pool: whether values are placed in the pool, which takes a scan of the scores.
    """

    subset: str | None = None
    neighbours: int = 5
    model: bool = True
    pool: bool = True


def explain(run: RunDir, names: Sequence[str], wanted: Wanted | None = None) -> list[Explanation]:
    """Explain samples of a run.

    Args:
        run: a run directory whose shards are scored, all of them or some.
        names: keys, SHARD/KEY or uids; a key that a shard holds twice gives two explanations.
        wanted: how much.

    Raises:
        RunDirError: a name is unknown or ambiguous, or there is no such subset.
        OutputError: scores, decisions or the configuration are damaged.
        AccountingError: the stored decision is not what the rules say.
    """
    wanted = wanted or Wanted()
    manifest = run.shard_ids()
    done = run.committed(manifest)
    shards = [shard for shard in manifest if shard in done]
    if not shards:
        raise RunDirError(f"{run.store}: no shard is scored yet; run `curate score` first")
    found = find(run.store, shards, names)
    asked = [(name, place) for name in dict.fromkeys(names) for place in found[name]]
    rows = read_rows(run.store, [place for _, place in asked])
    config = _config(run)
    subset = chosen_subset(run.store, wanted.subset, config)
    judge = None if subset is None else Judge(run, shards, subset)
    told = [_bare(name, place, row) for (name, place), row in zip(asked, rows, strict=True)]
    if judge is not None:
        verdicts = judge.verdicts([place for _, place in asked], rows)
        told = [replace(one, verdict=v) for one, v in zip(told, verdicts, strict=True)]
    ranked = {*ALL_SCORES, *(judge.columns if judge is not None else ())}
    told = _with_standings(run, shards, rows, told, ranked, in_pool=wanted.pool)
    return _with_meanings(run, rows, told, config, wanted)


def _bare(name: str, place: Place, row: Row) -> Explanation:
    fields = row.fields
    return Explanation(
        name=name,
        shard=place.shard,
        **{key: fields[key] for key in ("index", "key", "uid", "uid_derived", "status", "error")},
        meaning_of_status=REJECTIONS.get(fields["status"]),
        caption=None,
        values=row.plain_values(),
    )


def _config(run: RunDir) -> Config | None:
    """The configuration that a run was scored with, where it is there."""
    try:
        tree = yaml.safe_load(run.store.read_bytes(CONFIG))
        return parse_config(tree, run.store.path(CONFIG))
    except FileNotFoundError:
        return None
    except (ValueError, yaml.YAMLError, RecursionError, ConfigError) as exc:
        raise OutputError(f"{run.store.path(CONFIG)} cannot be read: {exc}") from exc


# --- standings --------------------------------------------------------------------------------


def _with_standings(
    run: RunDir,
    shards: Sequence[str],
    rows: Sequence[Row],
    told: Sequence[Explanation],
    ranked: Iterable[str],
    *,
    in_pool: bool,
) -> list[Explanation]:
    there = [name for name in rows[0].values if name in set(ranked)]
    values = {name: np.concatenate([row.values[name] for row in rows]) for name in there}
    values = {name: column for name, column in values.items() if not np.isnan(column).all()}
    if not values:  # all of them were rejected
        return list(told)
    pool: Standings = {}
    reference: Standings = {}
    if in_pool:
        pool = pool_standings(run.store, shards, _duplicates(run, shards), values)
    if run.store.exists(SAMPLE_SCORES):
        table = reference_files.load_sample_table(run.store, REFERENCE_FOLDER)
        reference = sample_standings(table, values)
    return [
        replace(one, pool=_at(pool, at), reference=_at(reference, at))
        for at, one in enumerate(told)
    ]


def _at(standings: Standings, at: int) -> dict[str, Standing]:
    found = {name: column[at] for name, column in standings.items()}
    return {name: standing for name, standing in found.items() if standing is not None}


def _duplicates(run: RunDir, shards: Sequence[str]) -> Duplicates:
    try:
        identity = scored_pool(run, keep=False).identity
    except RunDirError:  # half-way through: there is nothing yet that would be kept for these
        identity = None
    return find_duplicates(run.store, shards, identity, keep=False)


# --- what the model makes of them -------------------------------------------------------------


def _with_meanings(
    run: RunDir,
    rows: Sequence[Row],
    told: Sequence[Explanation],
    config: Config | None,
    wanted: Wanted,
) -> list[Explanation]:
    """Add captions, and what the model makes of those that were scored; what fails is noted."""
    contents = _contents(run, rows, told, config)
    found = [
        replace(one, caption=c.caption, notes=(c.problem,) if c.problem else ())
        for one, c in zip(told, contents, strict=True)
    ]
    scored = {at: contents[at] for at, one in enumerate(told) if one.status == OK}
    if not scored or not wanted.neighbours:
        return found
    if not run.store.exists(f"{REFERENCE_FOLDER}/{reference_files.DESCRIPTION}"):
        return _noted(found, scored, "there is no Reference to tell what the model makes of it")
    embeddings = {at: c.embedding for at, c in scored.items() if c.embedding is not None}
    samples = {
        at: c.sample for at, c in scored.items() if at not in embeddings and c.sample is not None
    }
    try:
        fitted = reference_files.load(run.store, REFERENCE_FOLDER)
        near = neighbourhood(run.store, REFERENCE_FOLDER, fitted)
    except CurateError as exc:
        return _noted(found, scored, str(exc))
    if samples and not wanted.model:
        note = "its embeddings were not saved, and no model was to be used"
        found = _noted(found, samples, note)
    elif samples and config is None:
        found = _noted(found, samples, f"{CONFIG} is gone, which tells the model")
    elif samples and config is not None:
        try:
            fresh = embed(list(samples.values()), config, fitted)
        except CurateError as exc:
            return _meant(near, _noted(found, samples, str(exc)), embeddings, wanted)
        embeddings |= {at: e for at, e in zip(samples, fresh, strict=True) if e is not None}
        failed = samples.keys() - embeddings.keys()
        found = _noted(found, failed, "it cannot be embedded here as it was when it was scored")
    return _meant(near, found, embeddings, wanted)


def _meant(
    near: Neighbourhood,
    told: Sequence[Explanation],
    embeddings: Mapping[int, Embedding],
    wanted: Wanted,
) -> list[Explanation]:
    found = list(told)
    if not embeddings:
        return found
    held = list(embeddings.values())
    images = near.of_images(held, wanted.neighbours)
    texts = near.of_texts(held, wanted.neighbours)
    for at, image, text in zip(embeddings, images, texts, strict=True):
        notes = (*found[at].notes, *near.notes)
        found[at] = replace(found[at], image=image, text=text, notes=notes)
    return found


def _noted(told: Sequence[Explanation], rows: Iterable[int], note: str) -> list[Explanation]:
    at_rows = set(rows)
    return [
        replace(one, notes=(*one.notes, note)) if at in at_rows else one
        for at, one in enumerate(told)
    ]


def _contents(
    run: RunDir, rows: Sequence[Row], told: Sequence[Explanation], config: Config | None
) -> list[Content]:
    """What the pool, and the run itself, hold of the samples; a shard at a time."""
    _, parts = run.read_identity() or ("", {})
    layout = parts.get("layout")
    policy = SamplePolicy() if config is None else policy_of(config)
    found = [Content()] * len(rows)
    for shard_id in dict.fromkeys(one.shard for one in told):
        mine = [at for at, one in enumerate(told) if one.shard == shard_id]
        fields = [rows[at].fields for at in mine]
        shard = Shard(shard_id, run.require_marker(shard_id).url, None)
        if layout is None:
            read = with_saved(run, shard_id, fields, contents_of_shard(shard, fields, policy))
        elif config is None:
            read = [Content(problem=f"{CONFIG} is gone, which tells the pool")] * len(mine)
        else:
            read = contents_of_part(shard, layout, fields, config)
        for at, one in zip(mine, read, strict=True):
            found[at] = one
    return found
