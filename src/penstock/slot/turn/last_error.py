"""The last error of each stage, as a small text file that `penstock status` shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.byte_files import DISK, Files, make_file
from penstock.error_text import ERROR_CHARACTERS, cut
from penstock.slot.time_and_chance import Clock

if TYPE_CHECKING:  # the supervisor reads what is written here, and needs nothing of a slot for it
    from penstock.slot.turn.slot_stage import SlotStage

_TELL_S: Final = 0.5


class LastErrors:
    """Tells what went wrong last with a row of each stage in the slot, now and then."""

    def __init__(self, folder: Path, clock: Clock, files: Files = DISK) -> None:
        self._now_s = clock.now_s
        self._files = files
        self._folder = folder
        self._told_at = 0.0

    def tell(self, stage: SlotStage) -> None:
        """Called after each commit."""
        if not stage.last_error or self._now_s() < self._told_at + _TELL_S:
            return
        self._told_at = self._now_s()
        unwritten = write_last_error(self._folder, stage.last_error_stage, stage.last_error, self._files)
        if unwritten is not None:
            stage.context.log.warning("the last error is not shown by `penstock status`: %s", unwritten)
        stage.last_error = ""


def write_last_error(folder: Path, stage: str, text: str, files: Files = DISK) -> OSError | None:
    """Replace what is there; the error where that cannot be, for its loss is no loss: reports say the same."""
    temporary = folder / f".{stage}.{os.getpid()}"
    try:
        data = cut(text, 2 * ERROR_CHARACTERS).encode("utf-8", "backslashreplace")
        make_file(files, temporary, max(len(data), 1), data, anew=True)
        files.rename(temporary, folder / stage)
    except OSError as exc:
        files.remove(temporary)
        return exc
    return None
