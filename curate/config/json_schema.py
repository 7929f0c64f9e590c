"""The JSON schema of the YAML, for editors that complete and check as one types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from curate.config.root import Config
from curate.schema import RULE_COLUMNS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_BOUNDS: Final = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "allow_inf_nan": None,
}
"""pydantic's words, which it leaves as they are on numbers with a validator of ours; None: no word
for it, since JSON has finite numbers alone."""

_CRITERIA: Final = {"$ref": "#/$defs/Criteria"}


def json_schema() -> dict[str, Any]:
    """What `load_config` takes, with what each key means, as far as JSON schema can say it.

    Rules between keys, such as an unknown column in a rule, are checked by `load_config` alone.
    """
    schema = Config.model_json_schema()
    for node in _objects(schema):
        for ours, theirs in _BOUNDS.items():
            value = node.pop(ours, None) if "type" in node else None
            if value is not None and theirs is not None:
                node[theirs] = value
        if "description" in node and isinstance(node["description"], str):
            node["description"] = " ".join(node["description"].split())
        if node.get("additionalProperties") == _CRITERIA:
            # Other columns are allowed, those of `input.columns`; these can be completed.
            node["properties"] = dict.fromkeys(sorted(RULE_COLUMNS), _CRITERIA)
    return {"$schema": DIALECT, **schema, "title": "curate"}


def schema_text() -> str:
    """The schema as a file holds it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for inner in list(node.values()):
            yield from _objects(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _objects(inner)
