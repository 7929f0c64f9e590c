"""The Hugging Face Hub, asked about files one by one.

The driver of `hf://` lists the whole folder of a file to tell its size: in every worker, a thousand
names a request, and it keeps what it was told for as long as it lives. What is opened here is
asked about alone, and again each time, so that a file that was replaced meanwhile is noticed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

REMEMBERED: Final = 64
"""Files whose properties are kept, while they are read: the driver asks before every block."""

STALL_SECONDS: Final = 600.0
"""A request that takes longer hangs. The Hub counts requests by five minutes; whoever made too many
is told when the next five begin, and the driver waits until then."""


def is_hub(filesystem: Any) -> bool:
    """Whether an fsspec filesystem is that of `hf://`."""
    protocols = filesystem.protocol
    return "hf" in ((protocols,) if isinstance(protocols, str) else protocols)


def sparing(filesystem: Any) -> Any:
    """A filesystem of `hf://` that reads like a given one, without listing folders."""
    return _driver()(*filesystem.storage_args, **filesystem.storage_options)


@lru_cache(maxsize=1)
def _driver() -> type[Any]:
    # Imported only by those who read from there.
    from huggingface_hub import HfApi, HfFileSystem
    from huggingface_hub.hf_api import RepoFile

    class SparingHub(HfFileSystem):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._told: dict[str, dict[str, Any]] = {}

        def _open(self, path: str, *args: Any, **options: Any) -> Any:
            self._told.pop(self.resolve_path(path).unresolve(), None)
            return super()._open(path, *args, **options)

        def info(self, path: str, *args: Any, **options: Any) -> dict[str, Any]:
            resolved = self.resolve_path(path)
            if not getattr(resolved, "path_in_repo", ""):  # of a repository itself, or in a bucket
                return dict(super().info(path, *args, **options))
            name = resolved.unresolve()
            if name not in self._told:
                while len(self._told) >= REMEMBERED:
                    self._told.pop(next(iter(self._told)), None)
                self._told[name] = self._ask(name, resolved)
            return self._told[name]

        def _ask(self, name: str, resolved: Any) -> dict[str, Any]:
            found = HfApi(self.endpoint, self.token).get_paths_info(
                resolved.repo_id,
                [resolved.path_in_repo],
                repo_type=resolved.repo_type,
                revision=resolved.revision,
            )
            if not found:
                raise FileNotFoundError(f"{name} does not exist on {self.endpoint}")
            (file,) = found
            if not isinstance(file, RepoFile):
                return {"name": name, "size": 0, "type": "directory"}
            tag = file.blob_id if file.lfs is None else file.lfs.sha256
            return {"name": name, "size": file.size, "type": "file", "ETag": tag}

    return SparingHub
