"""What `mkdocs build` needs besides: files that pages name outside of docs/ come along."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+)([^)#\s]+)(#[^)\s]*)?\)")
"""A link that may leave docs/: its text, the way up, the path, an anchor."""


def on_files(files: Any, config: Any) -> Any:
    """Add what is linked from pages, such as ../configs/dev.yaml, as files of the site."""
    docs = Path(config["docs_dir"])
    for page in list(files.documentation_pages()):
        for link in OUTSIDE.finditer(page.content_string):
            name = _outside(docs, page.src_uri, link)
            if name is None or files.get_file_from_path(name) is not None:
                continue
            if (docs.parent / name).is_file():
                files.append(File(name, str(docs.parent), config["site_dir"], False))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point such links at the copies; a folder has no page, and becomes its name."""
    docs = Path(config["docs_dir"])

    def rewritten(link: re.Match[str]) -> str:
        name = _outside(docs, page.file.src_uri, link)
        if name is None:
            return link.group()
        if (docs.parent / name).is_dir():
            return link.group(1)
        up = "../" * page.file.src_uri.count("/")
        return f"[{link.group(1)}]({up}{name}{link.group(4) or ''})"

    return OUTSIDE.sub(rewritten, markdown)


def _outside(docs: Path, page: str, link: re.Match[str]) -> str | None:
    """The path of what a page links to, relative to the repository, if it lies outside of docs/."""
    found = (docs / page).parent.joinpath(link.group(2), link.group(3)).resolve()
    if found.is_relative_to(docs) or not found.is_relative_to(docs.parent):
        return None
    return found.relative_to(docs.parent).as_posix()
