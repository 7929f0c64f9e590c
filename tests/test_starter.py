"""`curate init`, `curate schema` and completion: what they write is what `load_config` takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticUndefined
from test_cli import call
from test_ready_configs import FOLDER, RUNS
from typer.testing import CliRunner

from curate import cli
from curate.config import Config, load_config, parse_config, to_yaml
from curate.config.json_schema import json_schema, schema_text
from curate.config.reading import load_text
from curate.errors import ConfigError
from curate.schema import RULE_COLUMNS
from curate.starter import KINDS, starter

DOCS = FOLDER.parent / "docs"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
REMEDY = "write it anew: curate schema > docs/config.schema.json"


@pytest.fixture
def curate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *arguments: call(*arguments, monkeypatch=monkeypatch, capsys=capsys)


def complaints(tree: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(tree)]


# --- the starter ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_taken_as_it_is(kind: Any) -> None:
    text = starter(kind, "run.yaml", schema="x.json")
    config = load_text(text, "run.yaml")
    assert config.output.run_dir == "runs/first"
    assert complaints(yaml.safe_load(text)) == []
    assert (config.download is not None) == (kind == "download")
    assert config.input.over_images == (kind != "datacomp")
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("# yaml-language-server: $schema=x.json\n")


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_there_with_its_default(kind: Any) -> None:
    text = starter(kind, "run.yaml")
    tree = yaml.safe_load(text)
    blocks = text.split("\n\n")[1:]
    assert len(blocks) == len(Config.model_fields)
    for block in blocks:
        whole = yaml.safe_load(uncommented(block))
        ((name, found),) = whole.items()
        if name in ("rules", "sweep", "scores"):
            assert name == "scores" or parse_config(tree | whole)
            continue
        annotation = Config.model_fields[name].annotation
        model = annotation if hasattr(annotation, "model_fields") else annotation.__args__[0]  # type: ignore[union-attr]  # X or X | None
        assert set(found) == set(model.model_fields)
        for key, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            if key not in tree.get(name, {}) and default is not PydanticUndefined:
                assert found[key] == json.loads(json.dumps(default, default=dict)), f"{name}.{key}"


def uncommented(block: str) -> str:
    """A block, without the prose above it, with all of its keys."""
    lines = block.splitlines()
    sections = "|".join(Config.model_fields)
    begin = next(i for i, line in enumerate(lines) if re.match(rf"(# )?({sections}):", line))
    lines = lines[begin:]
    if lines[0].startswith("# "):
        lines = [line.removeprefix("# ") for line in lines]
    return "\n".join(re.sub(r"^  # (\w+: )", r"  \1", line) for line in lines)


@settings(deadline=None, max_examples=40)
@given(st.text(min_size=1), st.text(min_size=1))
def test_any_name_of_a_pool_is_quoted_as_it_must(pool: str, run_dir: str) -> None:
    text = starter("shards", "run.yaml", pool, run_dir=run_dir)
    tree = yaml.safe_load(text)
    assert tree["input"]["shards"] == pool
    assert tree["output"]["run_dir"] == run_dir


def test_init_writes_a_configuration_and_its_schema(curate: Any, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.yaml"
    code, out, err = curate(
        *("init", str(path), "--pool", "data/[a-b]*.tar", "--run-dir", "runs/mine"),
        *("--model", "ViT-B-32", "--pretrained", "openai"),
    )
    assert (code, err) == (0, "")
    assert "curate run" in out
    config = load_config(path)
    assert config.input.shards == "data/[a-b]*.tar"
    assert (config.model.name, config.model.pretrained) == ("ViT-B-32", "openai")
    assert config.output.run_dir == "runs/mine"
    first = path.read_text().splitlines()[0]
    schema = path.parent / first.partition("$schema=")[2]
    assert schema.read_text() == schema_text()


def test_init_overwrites_only_when_told(curate: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("mine")
    code, _, err = curate("init", str(path))
    assert code == 2
    assert "is there already; give another path, or --force" in " ".join(err.split())
    assert path.read_text() == "mine"
    assert not (tmp_path / "curate.schema.json").exists()
    assert curate("init", str(path), "--force", "--kind", "download")[0] == 0
    assert load_config(path).download is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "ViT-B-32"], "needs its weights: add --pretrained"),
        (["--kind", "datacomp", "--model", "ViT-B-32", "--pretrained", "x"], "nothing is embedded"),
        (["--model", "embedded", "--pretrained", "openai"], "carries its own weights"),
        (["--pool", "s3://key:secret@bucket/x.tar"], "password"),
    ],
)
def test_init_refuses_what_no_run_would_take(
    curate: Any, tmp_path: Path, arguments: list[str], told: str
) -> None:
    code, _, err = curate("init", str(tmp_path / "run.yaml"), *arguments)
    assert code == 2
    assert told in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


# --- the schema -------------------------------------------------------------------------------


def test_the_schema_in_the_docs_is_that_of_the_code(curate: Any) -> None:
    assert (DOCS / "config.schema.json").read_text(encoding="utf-8") == schema_text(), REMEDY
    assert curate("schema") == (0, schema_text(), "")
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_ready_configurations_are_valid(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert complaints(yaml.safe_load(text)) == []
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("$schema=")[2]).samefile(DOCS / "config.schema.json")
    # What a run leaves behind, every key with its value, is valid as well.
    assert complaints(yaml.safe_load(to_yaml(load_config(path)))) == []


def test_every_key_says_what_it_means() -> None:
    schema = json_schema()
    undescribed = [
        f"{name}.{key}"
        for name, section in [("", schema), *schema["$defs"].items()]
        for key, found in section.get("properties", {}).items()
        if not (found.get("description") or "$ref" in found)
    ]
    assert undescribed == []
    assert all(section.get("description") for section in schema["$defs"].values())


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"rules": {"all": [{"any": [{"clip_score": {"min": 0.2}}, {"all": []}]}]}}, True),
        ({"rules": {"all": [{"clip_score": {"min": 0.2}, "width": {"max": 9}}]}}, True),
        ({"rules": {"all": [{"a_column_of_mine": {"min": 0.2}}]}}, True),
        ({"rules": {"all": [{"clip_score": {"minimum": 0.2}}]}}, False),
        ({"rules": {"all": [{"any": [{"clip_score": 0.2}]}]}}, False),
        ({"rules": {"none": []}}, False),
        ({"sweep": {"grid": {"clip_score.min": [0.1, None]}, "strict": {"all": []}}}, True),
        ({"sweep": {"strict": {"all": [{"clip_score": {"mini": 1}}]}}}, False),
        ({"sweep": {"grid": {"clip_score.min": []}}}, False),
        ({"reference": {"temperature": {"scale": 10, "bias": -10}}}, True),
        ({"reference": {"temperature": "trained"}}, False),
        ({"model": {"device": "tpu"}}, False),
        ({"compute": {"batch_size": 0}}, False),
        ({"colour": 1}, False),
        ({"download": {"urls": ["a.csv", "b.csv"], "options": {"min_image_size": 3}}}, True),
        ({"download": {"urls": "a.csv", "colour": 1}}, False),
    ],
)
def test_the_schema_tells_right_from_wrong_as_the_code_does(
    change: dict[str, Any], valid: bool
) -> None:
    tree = {"input": {"shards": "a.tar"}, "output": {"run_dir": "r"}} | change
    assert (complaints(tree) == []) is valid
    if "a_column_of_mine" in str(change):  # one column may depend on another key
        tree["input"] = {"metadata": "m", "columns": ["a_column_of_mine"]}
    if valid:
        assert parse_config(tree)
    else:
        with pytest.raises(ConfigError):
            parse_config(tree)


def test_the_input_may_be_left_to_the_download() -> None:
    tree: dict[str, Any] = {"output": {"run_dir": "runs/x/"}}
    assert complaints(tree)
    tree["download"] = {"urls": "a.csv"}
    assert complaints(tree) == []
    assert parse_config(tree).input.shards == "runs/x/download/*.tar"
    tree["download"]["folder"] = "s3://bucket/pool/"
    assert parse_config(tree).input.shards == "s3://bucket/pool/*.tar"
    assert parse_config(tree).download_folder == "s3://bucket/pool"
    tree["input"] = {"shards": "more/*.tar"}
    assert parse_config(tree).input.shards == "more/*.tar"
    tree["input"] = {"metadata": "m/"}
    assert parse_config(tree).input.shards == "s3://bucket/pool/*.tar"
    assert parse_config(yaml.safe_load(to_yaml(parse_config(tree)))) == parse_config(tree)
    tree["download"]["folder"] = "a*b"
    with pytest.raises(ConfigError, match=r"download\.folder"):
        parse_config(tree)


def test_columns_of_rules_can_be_completed() -> None:
    columns = json_schema()["$defs"]["Rules"]["properties"]["all"]["anyOf"][0]["items"]["oneOf"][1]
    assert set(columns["properties"]) == set(RULE_COLUMNS)


# --- completion -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": "curate sc", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "curate sc"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "curate sc", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_commands_are_completed(
    shell: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment, "_CURATE_COMPLETE": f"complete_{shell}"}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(cli.app, [], prog_name="curate")
    assert {"score", "schema"} <= set(re.findall(r"\w+", done.output))
    assert not {"select", "fit"} & set(re.findall(r"^\W*(\w+)", done.output, re.MULTILINE))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = CliRunner().invoke(cli.app, ["--show-completion", shell], prog_name="curate")
    assert done.exit_code == 0
    assert "_CURATE_COMPLETE" in done.output
