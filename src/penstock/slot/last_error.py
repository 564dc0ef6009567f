"""The last error of each stage, as a small text file that `penstock status` shows."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.private_files import replace_own


def write_last_error(folder: Path, stage: str, text: str) -> OSError | None:
    """Replace what is there; the error where that cannot be, for its loss is no loss: reports say the same."""
    temporary = folder / f".{stage}.{os.getpid()}"
    try:
        replace_own(temporary, text[:2000].encode("utf-8", "backslashreplace"))
        os.rename(temporary, folder / stage)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        return exc
    return None
