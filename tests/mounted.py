"""A file system of a test's own: small, full, read-only. Only root can mount one; for others the test is skipped."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class FileSystem:
    """What is mounted at `path`."""

    path: Path

    def remount(self, options: str) -> None:
        """As in `remount("ro")`, `remount("size=64m")`."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def fill(self, but: int = 0) -> None:
        """Write until there is no room, and give `but` bytes of it back."""
        with (self.path / "ballast").open("wb", buffering=0) as file:
            for block in (65536, 4096, 1):
                try:
                    while True:
                        file.write(bytes(block))
                except OSError:
                    continue
            file.truncate(file.tell() - but)

    def make_room(self) -> None:
        """Give back what `fill` has taken."""
        (self.path / "ballast").unlink(missing_ok=True)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[FileSystem]:
    """A file system with these options (of `mount -o`) at `folder`, which is made for it."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a file system, and not everywhere")
    try:
        yield FileSystem(folder)
    finally:
        # Lazily: a worker that a failed test has left may still have a file open there.
        subprocess.run(["umount", "-l", str(folder)], check=True)
