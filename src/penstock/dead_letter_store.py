"""The store of dead letters: which file a slot writes, and which files hold the letters of a pipeline.

One append-only file per run and slot, `<state_dir>/dead-letters/<pipeline>/<run_id>/<slot group>.<slot>.dl`, written by
`slot/records/dead_letter_file.py` in `dead_letter_frames`.
"""

from __future__ import annotations

import heapq
import logging
import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from penstock.dead_letter_frames import DeadLetterRecord, Frame, read_backward, read_forward
from penstock.errors import NotPrivate
from penstock.private_files import is_ours, open_own
from penstock.run_files import refused
from penstock.state_dir import resolve_state_dir

log = logging.getLogger("penstock.dead_letters")
STORE = "dead-letters"
SUFFIX = ".dl"


def store_dir(state_dir: Path | str | None) -> Path:
    """The directory that holds one directory per pipeline."""
    return resolve_state_dir(state_dir) / STORE


def letters_folder(state_dir: Path | str | None, pipeline: str, run_id: str) -> Path:
    """The folder of one run's dead letters."""
    return store_dir(state_dir) / pipeline / run_id


def letters_file(folder: Path, group: str, slot: int) -> Path:
    """The file in it that one slot writes."""
    return folder / f"{group}.{slot}{SUFFIX}"


def read_records(pipeline: str, *, state_dir: Path | str | None = None) -> Iterator[DeadLetterRecord]:
    """Every dead letter of a pipeline as it is stored, oldest first: rows stay pickled, no user code is imported."""
    return (frame.record() for frame in read_frames(pipeline, state_dir=state_dir))


def read_frames(pipeline: str, *, state_dir: Path | str | None = None) -> Iterator[Frame]:
    """The same without their rows."""
    files = letter_files(pipeline, state_dir=state_dir)
    return heapq.merge(*map(read_forward, files), key=_time_of)


class Newest:
    """The letters of a pipeline from the newest on, and how many there are, without a look at the others."""

    def __init__(self, pipeline: str, *, state_dir: Path | str | None = None) -> None:
        self.by_stage: Counter[str] = Counter()
        self._files: list[Iterator[Frame]] = []
        for path in letter_files(pipeline, state_dir=state_dir):
            self._open(path)

    def _open(self, path: Path) -> None:
        found = read_backward(path)
        last = None if found is None else next(found)
        if found is None or last is None or not last.summary.so_far:
            # Being written, or cut in the middle of a letter: all of it is looked at, once.
            whole = 0
            for frame in read_forward(path):
                whole = frame.offset + frame.bytes
                self.by_stage[frame.summary.stage] += 1
            self._files.append(read_backward(path, whole) or iter(()))
        else:
            self.by_stage.update(last.summary.so_far)
            self._files.append(chain((last,), found))

    def frames(self) -> Iterator[Frame]:
        """All of them, newest first."""
        return heapq.merge(*self._files, key=_time_of, reverse=True)


def letter_files(pipeline: str, *, state_dir: Path | str | None = None) -> list[Path]:
    """The files that hold a pipeline's letters."""
    return sorted(file for run in folders_in(store_dir(state_dir) / pipeline) for file in _letters_in(run))


def _time_of(frame: Frame) -> float:
    return frame.summary.time_s


def folders_in(folder: Path) -> list[Path]:
    """Those of this user, sorted; links and what others have put there are passed over."""
    try:
        return sorted(path for path in folder.iterdir() if is_ours(path, tighten=True))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise refused(folder, "the folder of dead letters", exc) from exc


def _letters_in(run: Path) -> Iterator[Path]:
    """A letter's row is unpickled, which can do anything: so only what nobody else can have written is a letter."""
    for path in run.glob(f"*{SUFFIX}"):
        try:
            os.close(open_own(path, os.O_RDONLY, single=True))
        except FileNotFoundError:
            continue
        except (OSError, NotPrivate) as exc:
            why = exc.why if isinstance(exc, NotPrivate) else exc.strerror
            log.warning("%s %s: it is left out of the dead letters", path, why)
        else:
            yield path


def read_file(path: Path) -> Iterator[DeadLetterRecord]:
    """The records of one file in the order written. Raises `PenstockError` for one that is not what was written."""
    return (frame.record() for frame in read_forward(path))
