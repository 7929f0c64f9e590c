"""The commented configuration that `curate init` writes, made from the configuration's own models.

Every key is there: those that a first run is about with a value, the others in comments at their
defaults. Defaults and comments stem from the models, so that none can go stale.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from curate.config import Config

Kind = Literal["shards", "datacomp", "download"]
KINDS: Final = get_args(Kind)

WIDTH: Final = 100
COMMENT_COLUMN: Final = 44

_END: Final = re.compile(r"\. (?=[A-Z])")
"""Of a sentence; `e.g. {...}` is none."""

_ABOUT: Final[Mapping[str, tuple[str, str]]] = {
    "shards": (
        "Filter shards of image-text pairs: edit input.shards, then `curate run {path}`.",
        "data/*.tar",
    ),
    "datacomp": (
        "Filter metadata by its embeddings, without images or a GPU: edit input.embeddings, then"
        " `curate run {path}`.",
        "datacomp/metadata",
    ),
    "download": (
        "Download tables of URLs and filter the pairs: edit download.urls, then `curate run"
        " {path}`.",
        "data/urls/*.parquet",
    ),
}

_EXAMPLES: Final[Mapping[str, Any]] = {"download.urls": "data/urls/*.parquet"}
"""Of keys that have no default, in sections that are left out."""

_SHOWN: Final[Mapping[str, Any]] = {
    "rules": {"all": [{"image_informativeness": {"drop_lowest": 0.05}}]},
    "sweep": {"grid": {"image_informativeness.drop_lowest": [0.05, 0.1, 0.2]}},
}
"""Of sections that are no list of keys with defaults."""


def starter(
    kind: Kind,
    path: str,
    pool: str | None = None,
    model: str | None = None,
    pretrained: str | None = None,
    run_dir: str = "runs/first",
    schema: str | None = None,
) -> str:
    """Write a configuration that `load_config` takes as it is.

    Args:
        kind: of the pool: shards of images, metadata with embeddings, or tables of URLs.
        path: of the file, for what it says to run.
        pool: where that is; an example if None.
        model, pretrained: as in the section `model`; the embedded model if None.
        run_dir: of the run.
        schema: path or URL of the JSON schema, relative to the file; no line for it if None.
    """
    about, example = _ABOUT[kind]
    given = {**_values(kind, pool or example, model, pretrained), "output": {"run_dir": run_dir}}
    lines = [] if schema is None else [f"# yaml-language-server: $schema={schema}"]
    lines += textwrap.wrap(
        about.format(path=path), WIDTH, initial_indent="# ", subsequent_indent="# "
    )
    lines += ["# Keys in comments stand at their defaults; docs/configuration.md has all of them."]
    fields = Config.model_fields
    for name in sorted(fields, key=lambda name: name not in given):  # the order is else the model's
        lines += ["", *_section(name, fields[name], given.get(name))]
    return "\n".join(lines) + "\n"


def _values(
    kind: Kind, pool: str, model: str | None, pretrained: str | None
) -> dict[str, dict[str, Any]]:
    cut = {"drop_lowest": 0.05}
    values: dict[str, dict[str, Any]] = {
        "reference": {"samples": 10_000},
        "rules": {"all": [{"image_informativeness": cut}, {"text_informativeness": cut}]},
    }
    if kind == "download":
        values["download"] = {"urls": pool}
    else:
        values["input"] = {"shards" if kind == "shards" else "embeddings": pool}
    if kind != "datacomp":
        values["model"] = {"name": model or "embedded"}
        if pretrained is not None:
            values["model"]["pretrained"] = pretrained
    return values


# --- writing it -------------------------------------------------------------------------------


def _section(name: str, field: FieldInfo, given: Mapping[str, Any] | None) -> Iterator[str]:
    yield from _prose(_said(field) or _model_of(field).__doc__ or "")
    lines = list(_lines_of_section(name, field, given))
    # A section that is left out is there once its lines lose their "# ".
    yield from lines if given is not None else (f"# {line}" for line in lines)


def _lines_of_section(
    name: str, field: FieldInfo, given: Mapping[str, Any] | None
) -> Iterator[str]:
    if name in _SHOWN or not _is_section(field):
        shown = given if given is not None else _SHOWN.get(name, _default(name, field))
        yield from _dumped({name: shown})
        return
    yield f"{name}:"
    for key, inner in _model_of(field).model_fields.items():
        is_set = given is None or key in given
        value = given[key] if given and is_set else _default(f"{name}.{key}", inner)
        yield from _with_comment(
            f"  {'' if is_set else '# '}{key}: {_flow(value)}", _first(_said(inner))
        )


def _with_comment(line: str, comment: str) -> Iterator[str]:
    """A key with its comment behind it, or above where the line would be long."""
    beside = f"{line:<{COMMENT_COLUMN}}  # {comment}"
    if comment and len(beside) <= WIDTH - 2 and len(line) <= COMMENT_COLUMN:
        yield beside
        return
    yield from _prose(comment, "  ")
    yield line


def _prose(text: str, indent: str = "") -> list[str]:
    prefix = f"{indent}# "
    return textwrap.wrap(_first(text), WIDTH - 2, initial_indent=prefix, subsequent_indent=prefix)


def _said(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _first(text: str) -> str:
    """The first sentence."""
    return _END.split(" ".join(text.split()), 1)[0].removesuffix(".")


def _is_section(field: FieldInfo) -> bool:
    return _find_model(field.annotation) is not None


def _model_of(field: FieldInfo) -> type[BaseModel]:
    found = _find_model(field.annotation)
    return BaseModel if found is None else found


def _find_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_find_model(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _default(place: str, field: FieldInfo) -> Any:
    value = field.get_default(call_default_factory=True)
    return _EXAMPLES.get(place) if value is PydanticUndefined else to_jsonable_python(value)


def _flow(value: Any) -> str:
    """A value on one line."""
    told: dict[str, Any] = {"default_flow_style": True, "width": 10_000}
    text = str(yaml.safe_dump(value, allow_unicode=True, **told))
    # PyYAML reads some characters otherwise than it writes them: those are written in escapes.
    if yaml.safe_load(text) != value:
        text = str(yaml.safe_dump(value, **told))
    return text.removesuffix("...\n").removesuffix("\n")


def _dumped(tree: Mapping[str, Any]) -> list[str]:
    """A section as people write it: its keys on lines, what they hold on one each."""
    lines = []
    for name, value in tree.items():
        if not isinstance(value, Mapping):
            lines.append(f"{name}: {_flow(value)}")
            continue
        lines.append(f"{name}:")
        for key, inner in value.items():
            if isinstance(inner, list) and inner and isinstance(inner[0], Mapping):
                lines.append(f"  {key}:")
                lines += [f"    - {_item(item)}" for item in inner]
            elif isinstance(inner, Mapping):
                lines.append(f"  {key}:")
                lines += [f"    {k}: {_flow(v)}" for k, v in inner.items()]
            else:
                lines.append(f"  {key}: {_flow(inner)}")
    return lines


def _item(item: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {_flow(value)}" for key, value in item.items())
