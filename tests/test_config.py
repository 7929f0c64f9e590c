"""Configurations: what is accepted round-trips, what is refused is named."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.config import (
    Config,
    Rules,
    apply_overrides,
    digest,
    load_config,
    parse_config,
    rule_columns,
    to_yaml,
)
from curate.errors import ConfigError
from curate.schema import (
    ALL_SCORES,
    COSTLY_COLUMNS,
    POOL_COLUMNS,
    RULE_COLUMNS,
    SCORE_COLUMNS,
)

MINIMAL: dict[str, Any] = {"input": {"shards": "a.tar"}, "output": {"run_dir": "runs/x"}}

DESIGN = """
model:
  name: ViT-B-32
  pretrained: laion2b_s34b_b79k
  device: auto
  precision: auto
  link: auto
input:
  shards: "s3://pool/{00000..41455}.tar"
  embeddings: null
  embedding_keys: null
reference:
  path: null
  shards: null
  samples: 10000
  prior: model
  covariance: corrected
  temperature: 1
  seed: 0
scores: [image_informativeness, text_informativeness, clip_score]
rules:
  all:
    - image_informativeness: {drop_lowest: 0.05}
    - text_informativeness: {drop_lowest: 0.05, of: reference}
    - clip_score: {min: 0.2}
sweep: null
output:
  run_dir: runs/first
  subset: default
  samples_per_shard: null
  save_embeddings: false
compute: {embedders: auto, workers: auto, batch_size: auto, ray_address: auto}
limits: {image_pixels: 50_000_000, caption_bytes: 65_536, tolerate_unreadable_shards: false}
"""


def changed(path: str, value: Any) -> dict[str, Any]:
    return apply_overrides(MINIMAL, [f"{path}={yaml.safe_dump(value, default_flow_style=True)}"])


def refusal(tree: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(tree)
    return str(caught.value)


# --- what is accepted -----------------------------------------------------------------------


def test_the_example_of_the_design_parses(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(DESIGN)
    config = load_config(tmp_path / "run.yaml")
    assert config.model.pretrained == "laion2b_s34b_b79k"
    assert config.reference.temperature == 1
    assert config.limits.image_pixels == 50_000_000
    assert rule_columns(config.rules) == {
        "image_informativeness",
        "text_informativeness",
        "clip_score",
    }


def test_only_input_and_run_dir_are_required() -> None:
    config = parse_config(MINIMAL)
    assert config.rules == Rules(all=())
    for section in ("input", "output"):
        text = refusal({key: value for key, value in MINIMAL.items() if key != section})
        assert f"  {section}: " in text
        assert "required" in text


fractions = st.floats(0, 1)
bounds = st.floats(-1e6, 1e6)


@st.composite
def criteria(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.sets(st.sampled_from(["min", "drop_lowest", "keep_highest"]), min_size=1))
    found = {key: draw(bounds if key == "min" else fractions) for key in keys}
    if "min" in found and draw(st.booleans()):
        found["max"] = found["min"] + draw(st.floats(0, 10))
    if {"drop_lowest", "keep_highest"} & keys:
        found["of"] = draw(st.sampled_from(["pool", "reference"]))
    return found


known = [name for name in RULE_COLUMNS if name not in POOL_COLUMNS]
columns = st.dictionaries(st.sampled_from(known), criteria(), min_size=1, max_size=3)
groups = st.recursive(
    st.builds(lambda items: {"all": items}, st.lists(columns, max_size=3)),
    lambda inner: st.builds(
        lambda kind, items: {kind: items},
        st.sampled_from(["all", "any"]),
        st.lists(inner | columns, min_size=1, max_size=3),
    ),
    max_leaves=6,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
counts = st.integers(1, 10**12)


def consistent(tree: dict[str, Any]) -> dict[str, Any]:
    """Lists the costly scores of the rules, with the prior that they need."""
    used = used_columns(tree.get("rules", {}))
    costly = [name for name in COSTLY_COLUMNS if name in used or name in tree.get("scores", ())]
    if costly:
        cheap = [name for name in tree.get("scores", ()) if name in SCORE_COLUMNS]
        reference = tree.get("reference", {}) | {"prior": "model"}
        return tree | {"scores": cheap + costly, "reference": reference}
    return tree


def used_columns(rules: Any) -> set[str]:
    """Every key of a tree of rules."""
    if isinstance(rules, dict):
        return set(rules).union(*map(used_columns, rules.values()))
    return set().union(*map(used_columns, rules)) if isinstance(rules, list) else set()


trees = st.fixed_dictionaries(
    {
        "input": st.fixed_dictionaries({"shards": texts | st.lists(texts, min_size=1)}),
        "output": st.fixed_dictionaries(
            {"run_dir": texts.filter(str.strip)},
            optional={
                "subset": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"),
                "samples_per_shard": st.none() | counts,
                "save_embeddings": st.booleans(),
            },
        ),
    },
    optional={
        "rules": groups,
        "scores": st.lists(st.sampled_from(ALL_SCORES), min_size=1, unique=True),
        "reference": st.fixed_dictionaries(
            {},
            optional={
                "samples": st.integers(2, 10**9),
                "temperature": st.just("model")
                | st.floats(1e-30, 1e30)
                | st.fixed_dictionaries(
                    {"scale": st.floats(1e-30, 1e30)}, optional={"bias": st.floats(-1e9, 1e9)}
                ),
                "trace_share": st.floats(1e-9, 1),
                "landmarks": st.just("auto") | st.integers(2, 10**6),
                "prior": st.sampled_from(["model", "uniform"]),
                "covariance": st.sampled_from(["paper", "corrected"]),
                "seed": st.integers(0, 2**70),
                "shards": st.none() | texts | st.lists(texts, min_size=1),
            },
        ),
        "compute": st.fixed_dictionaries({"workers": st.just("auto") | counts}),
    },
).map(consistent)


@settings(max_examples=60, deadline=None)
@given(trees)
def test_every_valid_configuration_survives_yaml(tree: dict[str, Any]) -> None:
    config = parse_config(tree)
    again = parse_config(yaml.safe_load(to_yaml(config)))
    assert again == config
    assert to_yaml(again) == to_yaml(config)
    assert digest(again.model_dump(mode="json")) == digest(config.model_dump(mode="json"))


def test_a_rule_on_a_costly_score_asks_for_the_score() -> None:
    tree = {
        "input": {"shards": "x.tar"},
        "output": {"run_dir": "r"},
        "rules": {"all": [{"image_information_gain": {"min": 0.1}}]},
    }
    with pytest.raises(ConfigError, match=r"image_information_gain.*listed under `scores`"):
        parse_config(tree)
    config = parse_config(tree | {"scores": ["text_informativeness", "image_information_gain"]})
    assert config.costly_scores == ("image_information_gain",)
    assert not config.needs_landmarks


def test_the_exact_scores_need_the_mean_posterior() -> None:
    tree = {
        "input": {"shards": "x.tar"},
        "output": {"run_dir": "r"},
        "scores": ["text_information_gain_landmarks"],
        "reference": {"prior": "uniform"},
    }
    with pytest.raises(ConfigError, match=r"text_information_gain_landmarks.*prior to model"):
        parse_config(tree)
    assert parse_config(tree | {"reference": {}}).needs_landmarks


def test_groups_nest_and_every_column_is_found() -> None:
    rules = {
        "any": [
            {"all": [{"clip_score": {"min": 0.2}}, {"width": {"min": 200}}]},
            {"any": [{"image_norm": {"max": 3}, "text_norm": {"min": 1}}]},
        ]
    }
    config = parse_config(MINIMAL | {"rules": rules})
    assert rule_columns(config.rules) == {"clip_score", "width", "image_norm", "text_norm"}


def test_configurations_are_frozen() -> None:
    config = parse_config(MINIMAL)
    for holder, name in ((config, "scores"), (config.output, "run_dir"), (config.rules, "all")):
        with pytest.raises((ValidationError, dataclasses.FrozenInstanceError)):
            setattr(holder, name, None)


def test_a_digest_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})
    assert digest({"a": 1}) != digest({"a": "1"})


def test_numbers_written_without_a_dot_are_numbers() -> None:
    # YAML 1.1 reads 5e-2 as a string.
    tree = MINIMAL | {"rules": {"all": [{"clip_score": {"drop_lowest": "5e-2"}}]}}
    (item,) = parse_config(tree).rules.all or ()
    assert not isinstance(item, Rules)
    assert item["clip_score"].drop_lowest == 0.05


# --- what is refused ------------------------------------------------------------------------

REFUSED = [
    ("model.device", "tpu", ("'auto', 'cpu' or 'cuda'", "tpu")),
    ("model.precision", "int8", ("'bf16'", "int8")),
    ("model.link", "linear", ("'softmax'", "linear")),
    ("model.pretrained", "openai", ("embedded", "remove it", "openai")),
    ("input.shards", 7, ("string", "7")),
    ("input.shards", None, ("give one of shards, embeddings and metadata",)),
    ("input.embedding_keys", {"image": "a", "text": "b"}, ("without input.embeddings",)),
    ("input.columns", ["score"], ("give input.embeddings or input.metadata",)),
    ("reference.samples", 1, ("greater than or equal to 2", "1")),
    ("reference.samples", 2.5, ("integer", "2.5")),
    ("reference.temperature", 0, ("greater than 0", "0")),
    ("reference.temperature", "hot", ("'model'", "hot")),
    ("reference.temperature", float("inf"), ("finite", "Infinity")),
    ("reference.prior", "flat", ("'uniform'", "flat")),
    ("reference.covariance", "none", ("'corrected'", "none")),
    ("reference.seed", -1, ("greater than or equal to 0", "-1")),
    ("scores", ["beauty"], ("'clip_score'", "beauty")),
    ("scores", [], ("at least one",)),
    ("scores", ["clip_score", "clip_score"], ("each once",)),
    ("rules", {}, ("exactly one",)),
    ("rules", {"all": [], "any": []}, ("exactly one",)),
    ("rules.any", [], ("drop every sample",)),
    ("rules.all", [{"beauty": {"min": 1}}], ("beauty", "'clip_score'")),
    ("rules.all", [{}], ("at least 1",)),
    ("rules.all", [{"clip_score": {}}], ("at least one of min, max",)),
    ("rules.all", [{"clip_score": {"min": 2, "max": 1}}], ("min=2.0 is above max=1.0",)),
    ("rules.all", [{"clip_score": {"min": 1, "of": "reference"}}], ("drop_lowest",)),
    ("rules.all", [{"clip_score": {"drop_lowest": 1.5}}], ("less than or equal to 1", "1.5")),
    ("rules.all", [{"clip_score": {"drop_lowest": 5}}], ("less than or equal to 1", "5")),
    ("rules.all", [{"clip_score": {"drop_lowest": -0.1}}], ("greater than or equal to 0",)),
    ("rules.all", [{"clip_score": {"drop_lowest": float("nan")}}], ("NaN",)),
    ("rules.all", [{"clip_score": {"drop_lowest": True}}], ("true",)),
    ("rules.all", [{"clip_score": {"min": float("nan")}}], ("finite",)),
    ("rules.all", [{"clip_score": {"min": True}}], ("true",)),
    ("rules.all", [{"clip_score": 0.2}], ("0.2",)),
    ("rules.all", ["clip_score"], ("clip_score",)),
    ("output.run_dir", "", ("at least 1 character",)),
    ("output.run_dir", "hf://datasets/org/name", ("is for reading", "s3://")),
    ("output.run_dir", "HTTPS://example.org/run", ("is for reading", "s3://")),
    ("output.subset", "../up", ("../up",)),
    ("output.subset", ".hidden", (".hidden",)),
    ("output.subset", "a" * 101, ("100",)),
    ("output.samples_per_shard", 0, ("greater than 0", "0")),
    ("output.save_embeddings", "perhaps", ("perhaps",)),
    ("compute.embedders", 0, ("greater than 0", "0")),
    ("compute.workers", "many", ("'auto'", "many")),
    ("compute.batch_size", 0.5, ("integer", "0.5")),
    ("compute.batch_size", True, ("true",)),
    ("limits.image_pixels", 0, ("greater than 0", "0")),
    ("sweep", {"grid": {}}, ("sweep",)),
]


@pytest.mark.parametrize(("path", "value", "named"), REFUSED)
def test_a_refusal_names_the_field_the_value_and_what_is_allowed(
    path: str, value: Any, named: tuple[str, ...]
) -> None:
    text = refusal(changed(path, value))
    section, _, name = path.partition(".")
    # A validator of a whole section names the field in its message.
    assert re.search(rf"^  {path}(\.\d+)?|^  {section}: .*\b{name}\b", text, re.MULTILINE), text
    for part in named:
        assert part in text
    assert "constrained" not in text
    assert "literal[" not in text.lower()


SECTIONS = ["", "model", "input", "reference", "output", "compute", "limits", "rules"]


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_is_refused_at_every_level_and_the_known_ones_are_listed(
    section: str,
) -> None:
    base = MINIMAL | {"rules": {"all": []}}
    text = refusal(apply_overrides(base, [f"{section}.colour=1".strip(".")]))
    assert f"  {section}.colour: unknown key".replace("  .", "  ") in text
    known = type(getattr(parse_config(base), section)) if section else Config
    for name in known.model_fields:
        assert name in text


def test_an_unknown_key_of_a_rule_is_refused() -> None:
    text = refusal(changed("rules.all", [{"clip_score": {"minimum": 1}}]))
    assert "rules.all.0.clip_score.minimum: unknown key" in text
    assert "drop_lowest" in text


def test_a_misplaced_rule_deep_in_a_tree_is_found() -> None:
    rules = [{"any": [{"all": [{"clip_score": {"min": 1}}, {"image_norm": {"min": "x"}}]}]}]
    assert "rules.all.0.any.0.all.1.image_norm.min" in refusal(changed("rules.all", rules))


def test_all_refusals_are_listed_at_once() -> None:
    tree = apply_overrides(MINIMAL, ["model.device=tpu", "reference.seed=-1", "colour=1"])
    text = refusal(tree)
    assert all(field in text for field in ("model.device", "reference.seed", "colour"))


@pytest.mark.parametrize("tree", [[], "text", None, 3, {1: 2}, {"input": None}, {"rules": 3}])
def test_what_is_no_mapping_of_sections_is_refused(tree: Any) -> None:
    assert refusal(tree)


# --- files and overrides --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"a: [1", "not valid YAML"),
        (b"- a\n- b\n", "mapping"),
        (b"", "mapping"),
        (b"\xff\xfe\xfa", "cannot be read"),
        (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"a: \x00", "not valid YAML"),
        (b"2024-01-01: x", "keys must be str"),
        (b"a: &a [*a]", "Circular"),
        (b"a: 2024-13-01", "not valid YAML"),
        (b"? [1, 2]\n: x", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_by_name(
    tmp_path: Path, content: bytes, named: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(named)) as caught:
        load_config(path)
    assert "bad.yaml" in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_overrides_set_values_of_every_kind() -> None:
    config = parse_config(
        apply_overrides(
            MINIMAL,
            [
                "reference.samples=20",
                "reference.temperature=model",
                " output.subset = strict",
                "rules={all: [{clip_score: {min: 0.1}}]}",
                "input.shards=[a.tar, b.tar]",
                "output.samples_per_shard=null",
                "model.name=hf-hub:a/b=c",
            ],
        )
    )
    assert config.reference.samples == 20
    assert config.reference.temperature == "model"
    assert config.output.subset == "strict"
    assert config.input.shards == ("a.tar", "b.tar")
    assert config.model.name == "hf-hub:a/b=c"
    assert rule_columns(config.rules) == {"clip_score"}


def test_the_last_override_counts_and_the_tree_is_left_alone() -> None:
    tree = {"reference": {"seed": 1}}
    assert apply_overrides(tree, ["reference.seed=2", "reference.seed=3"]) == {
        "reference": {"seed": 3}
    }
    assert tree == {"reference": {"seed": 1}}


def test_an_override_opens_a_section_that_the_file_left_empty() -> None:
    assert apply_overrides({"limits": None}, ["limits.image_pixels=5"]) == {
        "limits": {"image_pixels": 5}
    }


def test_an_override_that_looks_like_a_date_is_text(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(DESIGN)
    config = load_config(tmp_path / "run.yaml", ["output.subset=2024-01-31"])
    assert config.output.subset == "2024-01-31"


@pytest.mark.parametrize(
    "override",
    ["", "=1", "a", "a.=1", ".a=1", "a..b=1", "input.shards.x=1", "a=[1", "a=\x00", "a=2024-13-01"],
)
def test_an_override_that_cannot_be_applied_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="--set") as caught:
        apply_overrides(MINIMAL, [override])
    assert repr(override) in str(caught.value)
