"""A small disk below a run directory, which a run fills, and which can be made larger."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

BLOCK: Final = 4096
"""Bytes: a file on a tmpfs takes whole ones."""

ROOMY: Final = 1 << 30


def needed(folder: Path) -> int:
    """Bytes that the files of a folder take on such a disk."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // BLOCK) * BLOCK for size in sizes)


class SmallDisk:
    """A tmpfs on a folder. Takes the right to mount."""

    def __init__(self, folder: Path, size: int) -> None:
        """Mount it.

        Args:
            folder: empty.
            size: bytes.

        Raises:
            PermissionError: mounting is not allowed here.
        """
        self._folder = folder
        self._mount(f"size={size}")

    def make_room(self) -> None:
        """Make it large."""
        self._mount(f"remount,size={ROOMY}")

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._folder)]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError as exc:
            raise PermissionError("there is no `mount`") from exc
        if done.returncode:
            raise PermissionError(done.stderr.decode(errors="replace").strip())

    def close(self) -> None:
        """Take it away, with what is on it."""
        subprocess.run(["umount", "--lazy", str(self._folder)], check=False)
