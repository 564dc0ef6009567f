"""The last error of each stage, as a small text file that `penstock status` shows."""

from __future__ import annotations

import os
from pathlib import Path


def write_last_error(folder: Path, stage: str, text: str) -> OSError | None:
    """Replace what is there; the error where that cannot be, for its loss is no loss: reports say the same."""
    temporary = folder / f".{stage}.{os.getpid()}"
    try:
        temporary.write_text(text[:2000])
        temporary.rename(folder / stage)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        return exc
    return None
