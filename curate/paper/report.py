"""The report of all sections: index.md to read, results.json to compute with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from curate.outputs import Store
from curate.paper.figures import png
from curate.paper.sample import PaperSample, Section
from curate.paper.tables import Table, finite

FOLDER: Final = "paper"
INDEX: Final = f"{FOLDER}/index.md"
RESULTS: Final = f"{FOLDER}/results.json"

LINES: Final = "In scatter plots the black line is the least-squares line, the dashed one y = x."


def write_section(store: Store, section: Section) -> None:
    """Write the tables and figures of a section."""
    for table in section.tables:
        table.write(store, f"{FOLDER}/tables")
    for name, figure in section.figures.items():
        store.write_bytes(f"{FOLDER}/figures/{name}.png", png(figure))


def write_report(store: Store, about: Mapping[str, Any], sections: Sequence[Section]) -> None:
    """Write index.md and results.json over all sections.

    Args:
        store: the run directory.
        about: what was run, JSON-ready: see `about_samples`.
        sections: in the order of the report.
    """
    store.write_bytes(INDEX, index(about, sections).encode())
    store.write_json(RESULTS, {"about": about, "sections": [results(s) for s in sections]})


def about_samples(samples: Sequence[PaperSample], **more: Any) -> dict[str, Any]:
    """What was run: one entry for each model, and what else is given."""
    models = [
        {
            "model": sample.name,
            "weights of": sample.model["name"],
            "fingerprint": sample.model["fingerprint"],
            "link": sample.link,
            "scale": sample.scale,
            "bias": sample.bias,
            "d": int(sample.image.shape[1]),
            "n": len(sample),
        }
        for sample in samples
    ]
    return {"models": models, **more}


def results(section: Section) -> dict[str, Any]:
    """A section as JSON: every number of its tables, its sentence, what was not run."""
    return {
        "name": section.name,
        "title": section.title,
        "reading": section.reading,
        "tables": {table.name: table.records() for table in section.tables},
        "figures": [f"figures/{name}.png" for name in section.figures],
        "not_run": list(section.missing),
        "notes": list(section.notes),
    }


def index(about: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """The report in Markdown; links are relative to its folder."""
    models = [
        {k: finite(v) for k, v in m.items()} | {"fingerprint": m["fingerprint"][:12]}
        for m in about["models"]
    ]
    parts = ["# The paper's analyses, on these pairs", Table.of("", "", "", models).to_markdown()]
    parts += [f"- {name}: {_inline(value)}" for name, value in about.items() if name != "models"]
    missing = [f"- {section.title}: {line}" for section in sections for line in section.missing]
    if missing:
        parts += ["", "Not run:", "", *missing]
    parts += ["", LINES, ""]
    for section in sections:
        parts += _section(section)
    return "\n".join(parts) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def _section(section: Section) -> list[str]:
    parts = [f"## {section.title}", "", section.reading, ""]
    for line in section.missing:
        parts += [f"**{line}**", ""]
    for table in section.tables:
        files = ", ".join(f"[{end}](tables/{table.name}.{end})" for end in ("csv", "parquet"))
        parts += [f"### {table.title}", "", table.to_markdown(), f"{table.note} ({files})", ""]
    for name in section.figures:
        parts += [f"![{section.title}](figures/{name}.png)", ""]
    for note in section.notes:
        parts += [note, ""]
    return parts
