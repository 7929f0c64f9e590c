"""`curate init` and `curate schema`: the way in, for people and for their editors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from curate.errors import ConfigError

SCHEMA_NAME: Final = "curate.schema.json"
"""Of the schema beside a configuration, which its first line names for editors."""


class PoolKind(StrEnum):
    """What a pool is made of."""

    SHARDS = "shards"
    DATACOMP = "datacomp"
    DOWNLOAD = "download"


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("curate.yaml"),
    kind: Annotated[PoolKind, typer.Option(help="What the pool is made of.")] = PoolKind.SHARDS,
    pool: Annotated[
        str | None,
        typer.Option(help='Where it is: shards ("data/*.tar"), metadata, or tables of URLs.'),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="embedded, an open_clip name, hf-hub: or local-dir:.")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Tag or checkpoint; with an open_clip name only.")
    ] = None,
    run_dir: Annotated[str, typer.Option(help="Folder or URL of the run.")] = "runs/first",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented configuration to start from, and its JSON schema for editors beside it.

    Every key is there: what a first run needs with a value, the rest in comments at its default.

    Example: `curate init run.yaml --pool "data/*.tar" --model ViT-B-32 --pretrained openai`
    """
    from curate.config.json_schema import schema_text
    from curate.config.reading import load_text
    from curate.starter import starter

    if pretrained is None and model is not None and _needs_weights(model):
        raise ConfigError(
            f"--model {model} needs its weights: add --pretrained TAG, of those that open_clip"
            " lists, or the path of a checkpoint"
        )
    if kind is PoolKind.DATACOMP and (model or pretrained):
        raise ConfigError("--model has no effect with --kind datacomp: nothing is embedded")
    text = starter(kind.value, str(path), pool, model, pretrained, run_dir, SCHEMA_NAME)
    load_text(text, str(path))  # what was asked for may be wrong: say so before anything is written
    schema = path.with_name(SCHEMA_NAME)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
        schema.write_text(schema_text(), encoding="utf-8")
    except FileExistsError as exc:
        raise ConfigError(f"{path} is there already; give another path, or --force") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc}; give another path") from exc
    typer.echo(f"wrote {path}, and {schema} for completion in editors; next: curate run {path}")


def _needs_weights(model: str) -> bool:
    return model != "embedded" and not model.startswith(("hf-hub:", "local-dir:"))


def schema() -> None:
    """Print the JSON schema of the configuration, for editors and other tools.

    Example: `curate schema > curate.schema.json`, named by the first line of a configuration:
    `# yaml-language-server: $schema=curate.schema.json`
    """
    from curate.config.json_schema import schema_text

    typer.echo(schema_text(), nl=False)
