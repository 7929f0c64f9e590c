"""YAML in, YAML out, and messages that name the field."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from curate.config.root import Config
from curate.config.rules import Criteria
from curate.errors import ConfigError
from curate.redact import NO_PASSWORDS, find_password
from curate.schema import RULE_COLUMNS


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply `dotted.key=value` overrides, validate.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, a value is out of range.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read ({exc}); give the path of a YAML file") from exc
    return load_text(text, str(path), overrides)


def load_text(text: str, source: str, overrides: Sequence[str] = ()) -> Config:
    """The same of a text that a source holds. Raises ConfigError."""
    try:
        tree = yaml.safe_load(text)
    except _YAML_ERRORS as exc:
        raise ConfigError(f"{source}: not valid YAML: {exc}") from exc
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: expected a mapping of sections such as `input:`, `output:`")
    return parse_config(_plain(apply_overrides(tree, overrides), source), source)


# PyYAML lets the errors of dates that do not exist and of bottomless nesting through.
_YAML_ERRORS = (yaml.YAMLError, ValueError, RecursionError)


def _plain(tree: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What JSON can hold: YAML's dates become text, loops and odd keys are refused."""
    try:
        return dict(json.loads(json.dumps(tree, default=str)))
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{source}: {exc}; keys are words, and nothing contains itself") from exc


def parse_config(tree: Mapping[str, Any], source: str = "configuration") -> Config:
    """Validate a plain mapping. Raises ConfigError with one line per wrong field."""
    if (place := find_password(tree)) is not None:
        raise ConfigError(f"{source}: {place}: {NO_PASSWORDS}")
    try:
        return Config.model_validate(tree)
    except ValidationError as exc:
        raise ConfigError(f"{source} is refused:\n" + "\n".join(_explain(exc))) from exc


_NOT_A_FIELD = re.compile(r"^(columns|group|\[key\]|str|tuple\[.*|literal\[.*|constrained-.*)$")
"""Parts of a pydantic error location that name a branch of a union, not a key of the YAML."""


def _explain(exc: ValidationError) -> list[str]:
    lines = []
    for error in exc.errors(include_url=False):
        place = ".".join(str(p) for p in error["loc"] if not _NOT_A_FIELD.match(str(p)))
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            message = f"unknown key; known here are {', '.join(_known_keys(error['loc']))}"
        found = ""
        if error["type"] not in ("missing", "value_error"):
            found = f" (found {json.dumps(error['input'], default=str)[:200]})"
        # What concerns several sections names them itself.
        named = error["type"] == "value_error" and not place
        lines.append(f"  {message}" if named else f"  {place or 'top level'}: {message}{found}")
    return lines


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """The keys of the section that a location lies in."""
    section: type[BaseModel] = Config
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        inner = None if field is None else _section_within(field.annotation)
        if inner is not None:
            section = inner
        elif part in RULE_COLUMNS:
            section = Criteria
    return sorted(section.model_fields)


def _section_within(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation such as `X`, `X | None` or `dict[str, X]` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_section_within(part) for part in get_args(annotation))
    return next((section for section in found if section is not None), None)


def apply_overrides(tree: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `tree` with each `dotted.key=value` set; values are parsed as YAML.

    Raises:
        ConfigError: an override has no `=`, or its path runs through something not a mapping.
    """
    result: dict[str, Any] = copy.deepcopy(dict(tree))
    for override in overrides:
        path, equals, raw = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {override!r}: write dotted.key=value, e.g. reference.seed=1")
        try:
            value = yaml.safe_load(raw)
        except _YAML_ERRORS as exc:
            raise ConfigError(f"--set {override!r}: the value is not valid YAML: {exc}") from exc
        node = result
        for key in keys[:-1]:
            if node.get(key) is None:  # an empty section of the file reads as null
                node[key] = {}
            node = node[key]
            if not isinstance(node, dict):
                raise ConfigError(f"--set {override!r}: {key!r} holds a value, not a section")
        node[keys[-1]] = value
    return result


def to_yaml(config: BaseModel) -> str:
    """Write the configuration as YAML that `load_config` reads back to an equal object."""
    tree = config.model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    # PyYAML reads a raw U+0085 as a space: what does not come back is written in escapes.
    return text if yaml.safe_load(text) == tree else yaml.safe_dump(tree, sort_keys=False)


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of a plain value: the identity of a configuration."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
