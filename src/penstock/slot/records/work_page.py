"""Which row is in progress: a worker writes it around each call of user code, the supervisor reads it after a death."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

import msgspec

from penstock.byte_files import DISK, Files, make_file
from penstock.shared_file import Opening
from penstock.slot.time_and_chance import MACHINE, Clock

_BYTES: Final = 4096
_W_RUNNING: Final = 0
_W_STAGE: Final = 1
_W_INPUT: Final = 2
_W_SEQUENCE: Final = 3
_W_ROW: Final = 4
_W_COUNT: Final = 5
_W_SINCE: Final = 6
_W_BEAT: Final = 7
_W_SENT: Final = 9
_W_PEAK: Final = 10
_W_DOING: Final = 11
_W_LIMIT: Final = 12
_W_REACHED: Final = 13
_W_FAREWELL: Final = 16
"""Three words: the exit code and 1, the attempt, the process."""
_W_STEP: Final = 40
_W_STEP_STAGE: Final = 41
_W_STEP_INPUT: Final = 42
_W_STEP_SEQUENCE: Final = 43
_W_STEP_ROW: Final = 44
_W_STEP_SINCE: Final = 45
_PEAK_NS: Final = 1_000_000
"""So old the peak of memory before a row may be: nothing grows by much meanwhile, and asking costs as much as a row."""
LISTENS: Final = 1
"""It shows its stack when asked to."""
OPENED: Final = 2
"""Everything of the user's is open, and rows may come."""
CLOSES: Final = 3
"""All is done and committed, and what is the user's is being closed; since its last beat."""
READ_ONCE: Final = 1 << 62
"""Sequences from here on are of readers that are not repeatable: no later life meets the same row under its number."""
RETRY_INPUT: Final = 0xFFFF_FFFF
"""Stands for the input of a row that came from the retry file; its sequence is the retry's number."""


TURN_INPUT: Final = 0xFFFF_FFFE
"""Stands for the input of all rows since the last commit, whose number is the sequence: what they gave is encoded."""


class Doing:
    """What is being done with the rows in progress. No enumeration: a worker says it around each call."""

    CALLING: Final = 0
    """The stage's functions are called."""
    DECODING: Final = 1
    ENCODING: Final = 2
    """What the rows gave is pickled, and its keys are computed."""
    TELLING: Final = 3
    """The row and its error are put into words, and pickled, for the dead-letter store."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Rows `row` to `row + count` of a frame (or, for a source, of a split, whose rows are counted through)."""

    stage: int
    input: int
    sequence: int
    row: int
    count: int

    def over(self, count: int) -> Mark:
        """This many rows from the same one on."""
        return Mark(self.stage, self.input, self.sequence, self.row, count)

    @property
    def is_met_again(self) -> bool:
        """False: a later life that is told of these rows could not find them."""
        return self.sequence < READ_ONCE or self.input in (RETRY_INPUT, TURN_INPUT)

    @property
    def frame(self) -> tuple[int, int, int]:
        return self.stage, self.input, self.sequence


class WorkState(msgspec.Struct, frozen=True):
    """What was in progress when somebody looked."""

    mark: Mark | None
    """None: no user code was running."""
    since_ns: int
    """CLOCK_MONOTONIC at which the call began, or a moment after that."""
    beat_ns: int
    """CLOCK_MONOTONIC of the worker's last sign of life outside of user code."""
    sent: int = 0
    """A signal that ended the worker and was sent to it, by whomever; 0: none."""
    peak_kib: int = 0
    """The most memory that the worker had before the row in progress, if it is a single one; 0: unknown."""
    doing: int = Doing.CALLING
    limit_ns: int = 0
    """How long it may take, where that is not the stage's own time-out; 0: it is."""
    reached: int = 0
    """How far the life has come: `LISTENS`, `OPENED`, `CLOSES`."""


class WorkPage:
    """The words of one slot."""

    def __init__(self, path: Path, opening: Opening, clock: Clock = MACHINE) -> None:
        self._now_ns = clock.now_ns
        self._file = opening(path, "the page of rows in progress", size=_BYTES)
        self._words = self._file.words
        self._peak_kib = 0
        self._peak_at_ns = -_PEAK_NS

    @staticmethod
    def create(path: Path, files: Files = DISK) -> None:
        make_file(files, path, _BYTES)

    def enter(self, mark: Mark, doing: int = Doing.CALLING, limit_ns: int = 0) -> None:
        """User code is about to run."""
        words, now_ns = self._words, self._now_ns()
        words[_W_STAGE], words[_W_INPUT], words[_W_SEQUENCE] = mark.stage, mark.input, mark.sequence
        words[_W_ROW], words[_W_COUNT] = mark.row, mark.count
        if mark.count == 1 and now_ns - self._peak_at_ns >= _PEAK_NS:
            self._peak_kib, self._peak_at_ns = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, now_ns
        words[_W_PEAK] = self._peak_kib if mark.count == 1 else 0
        words[_W_DOING], words[_W_LIMIT] = doing, limit_ns
        words[_W_SINCE] = now_ns
        # Last: who sees that user code runs sees for which rows. Killed before this store: no row is suspected.
        words[_W_RUNNING] = 1

    def in_flight(self, mark: Mark) -> None:
        """These rows are in flight. Since when is told by `runs_since`, for as long as the event loop goes round."""
        words = self._words
        words[_W_STAGE], words[_W_INPUT], words[_W_SEQUENCE] = mark.stage, mark.input, mark.sequence
        words[_W_ROW], words[_W_COUNT] = mark.row, mark.count
        words[_W_DOING], words[_W_LIMIT] = Doing.CALLING, 0
        if not words[_W_RUNNING]:
            words[_W_PEAK] = 0
            words[_W_SINCE] = self._now_ns()
            words[_W_RUNNING] = 1

    def step(self, stage: int, input: int, sequence: int, row: int) -> None:
        """Of the rows in flight this one is running: what happens now is its doing."""
        words = self._words
        words[_W_STEP_STAGE], words[_W_STEP_INPUT], words[_W_STEP_SEQUENCE] = stage, input, sequence
        words[_W_STEP_ROW], words[_W_STEP_SINCE] = row, self._now_ns()
        words[_W_STEP] = 1  # last, as in `enter`

    def step_over(self) -> None:
        """It has returned to the event loop."""
        self._words[_W_STEP] = 0

    def runs_since(self, since_ns: int) -> None:
        """A tick of the row timer: the row in progress has run since then, or longer."""
        self._words[_W_SINCE] = since_ns

    def leave(self) -> None:
        """User code has returned, and the loop is in charge again."""
        self._words[_W_RUNNING] = 0

    def beat(self) -> None:
        self._words[_W_BEAT] = self._now_ns()

    def say_reached(self, how_far: int) -> None:
        """How far the life has come: `LISTENS`, `OPENED`, `CLOSES`."""
        self._words[_W_REACHED] = how_far

    def note_sent(self, number: int) -> None:
        """A signal came that ends the worker."""
        self._words[_W_SENT] = number

    def read(self) -> WorkState:
        words = self._words
        mark = None
        if words[_W_STEP]:
            mark = Mark(
                words[_W_STEP_STAGE], words[_W_STEP_INPUT], words[_W_STEP_SEQUENCE], words[_W_STEP_ROW], 1
            )
            return WorkState(mark, words[_W_STEP_SINCE], words[_W_BEAT], words[_W_SENT])
        if words[_W_RUNNING]:
            mark = Mark(words[_W_STAGE], words[_W_INPUT], words[_W_SEQUENCE], words[_W_ROW], words[_W_COUNT])
        return WorkState(
            mark, words[_W_SINCE], words[_W_BEAT], words[_W_SENT], words[_W_PEAK], words[_W_DOING],
            words[_W_LIMIT], words[_W_REACHED],
        )

    def say_farewell(self, code: int, attempt: int, pid: int) -> None:
        """This life ends in order, with this exit code. User code may exit with any code, but it never says this."""
        words = self._words
        # The code last: killed before it is stored, this life has announced nothing, and counts as a death.
        words[_W_FAREWELL + 1], words[_W_FAREWELL + 2] = attempt, pid
        words[_W_FAREWELL] = code + 1

    def farewell(self, attempt: int, pid: int) -> int | None:
        """The exit code that this very life has announced; None: it left in some other way."""
        words = self._words
        if not words[_W_FAREWELL] or words[_W_FAREWELL + 1] != attempt or words[_W_FAREWELL + 2] != pid:
            return None
        return int(words[_W_FAREWELL]) - 1

    def clear(self) -> None:
        """Before a new life: by the supervisor before its birth, and by the worker itself."""
        self._words[_W_RUNNING] = self._words[_W_STEP] = 0
        self._words[_W_SENT] = self._words[_W_PEAK] = 0
        self._words[_W_FAREWELL] = self._words[_W_REACHED] = 0
        self.beat()

    def close(self) -> None:
        self._file.close()
