"""The last error of each stage, as a small text file that `penstock status` shows."""

from __future__ import annotations

import os
from pathlib import Path


def write_last_error(folder: Path, stage: str, text: str) -> None:
    """Replace what is there. Its loss is no loss: it repeats what dead letters and reports say."""
    temporary = folder / f".{stage}.{os.getpid()}"
    temporary.write_text(text[:2000])
    temporary.rename(folder / stage)
