"""Errors a user can meet, one class per remedy; every message ends with what to do now."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.terminal_text import visible_lines

if TYPE_CHECKING:
    from penstock.report import Report


MORE_DESCRIPTORS = "allow more (`ulimit -n`), or use fewer workers"
STARTS_OVER = "start over with `--fresh` (fresh=True)"


class Mistake(msgspec.Struct, frozen=True):
    """One mistake in a pipeline's description: where it is, and what to write instead."""

    file: str
    line: int
    what: str
    remedy: str

    def __str__(self) -> str:
        return visible_lines(f"{self.file}:{self.line}: {self.what}; {self.remedy}")


class PenstockError(Exception):
    """Base class of every error that penstock raises to its caller. Its text is safe to print, whatever it quotes."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(visible_lines(arg) if isinstance(arg, str) else arg for arg in args))


class PlatformUnsupported(PenstockError, ImportError):
    """penstock was imported on a system that lacks what its processes are built on."""


class PipelineInvalid(PenstockError):
    """The description has mistakes. All of them are in `mistakes`."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n".join([f"the pipeline has {count}:", *(f"  {m}" for m in self.mistakes)]))


class PipelineFailed(PenstockError):
    """A stage failed for good. The queues keep their rows: fix the cause and run again to resume.

    `__cause__` is the exception that the user's code raised, if it can be pickled and its class is known here.
    """

    def __init__(self, stage: str, reason: str, traceback: str, report: Report) -> None:
        self.stage = stage
        self.reason = reason
        self.traceback = traceback
        self.report = report
        detail = f"\n{traceback.rstrip()}" if traceback else ""
        # What fails beside the stages (the program's import, the supervisor, a queue) says so in its reason.
        head = f"stage {stage!r} failed: " if stage in report.stages else ""
        remedy = (
            "\nfix the cause and run again to resume: the queues keep their rows "
            "(`--fresh` or fresh=True starts over)"
        )
        # A damaged file says itself what to do.
        super().__init__(f"{head}{reason}{detail}{'' if STARTS_OVER in reason else remedy}")


class AlreadyRunning(PenstockError):
    """The same pipeline (user, name and working directory) is already running, usually started by another process."""

    def __init__(self, pid: int, run_dir: Path, read_by_caller: str = "") -> None:
        """`read_by_caller`: the pipeline's name, if its `results()` are open in this process."""
        self.pid = pid
        self.run_dir = run_dir
        if read_by_caller:
            text = (
                f"pipeline {read_by_caller!r} is already running: its results() are open in this program ({run_dir}); "
                "close them first, by their close() or by leaving their `with` block"
            )
        else:
            text = f"this pipeline is already running: process {pid}, {run_dir}; wait for it or stop it"
        super().__init__(text)


class LayoutChanged(PenstockError):
    """An earlier run left queues, or a checkpoint, whose layout differs from that of the new run."""

    def __init__(self, difference: Sequence[str], where: str = "") -> None:
        """`where`: the checkpoint, in words."""
        self.difference = tuple(difference)
        self.where = where
        found = f"{where} is of another layout" if where else "an earlier run left queues of another layout"
        super().__init__(
            f"{found}:\n"
            + "\n".join(f"  {line}" for line in self.difference)
            + "\nrun the old description to its end, or discard what is left with `--fresh` (fresh=True)"
        )


class OutputExists(PenstockError):
    """A sink's target already exists, and the sink does not say what to do with it."""

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(f'{target} already exists; pass if_exists="append" or "overwrite", or remove it')


class TargetInUse(PenstockError):
    """Another run is writing to a sink's target, or has left it unfinished."""

    def __init__(self, target: str, pipeline: str, run_dir: str, *, running: bool) -> None:
        self.target = target
        self.pipeline = pipeline
        self.run_dir = run_dir
        self.running = running
        whose = f"{pipeline!r} ({run_dir})" if pipeline else "another user"
        if running:
            told = f"{target} is being written by a run of {whose}; wait for it, stop it, or write somewhere else"
        else:
            told = (
                f"{target} was left unfinished by a run of {whose}; run that to its end, discard it "
                f"(`penstock clean {pipeline}`), or write somewhere else"
            )
        super().__init__(told)


class NoRunDirectory(PenstockError):
    """The queues of a run cannot be created: there is not enough room, or no writable directory."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        super().__init__(f"{path}: {what}; choose another place with `--run-dir` (run_dir=...)")

    def __reduce__(self) -> tuple[type[NoRunDirectory], tuple[Path, str]]:
        return NoRunDirectory, (self.path, self.what)


class PathNotUtf8(PenstockError):
    """A file or directory has a name that is not UTF-8, so the files of a run cannot contain its path."""

    def __init__(self, path: str) -> None:
        self.path = path
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        super().__init__(f"{shown}: this path is not UTF-8; rename it, or choose another place")

    def __reduce__(self) -> tuple[type[PathNotUtf8], tuple[str]]:
        return PathNotUtf8, (self.path,)


class NotPrivate(PenstockError):
    """A directory or file belongs to somebody else, or others can write to it, so that nothing in it can be trusted."""

    def __init__(self, path: Path | str, why: str) -> None:
        self.path = Path(path)
        self.why = why
        super().__init__(
            f"{path} {why}, so its contents may be somebody else's; use another place, or check the contents and "
            "make it yours alone (`chmod go-w`)"
        )

    def __reduce__(self) -> tuple[type[NotPrivate], tuple[Path, str]]:
        return NotPrivate, (self.path, self.why)


class QueueDamaged(PenstockError):
    """A file of the run directory does not contain what was written to it."""

    def __init__(self, path: Path | str, what: str) -> None:
        self.path = Path(path)
        self.what = what
        super().__init__(f"{self.told}; the run cannot resume from it: {STARTS_OVER}")

    @property
    def told(self) -> str:
        """The file and the damage, without the remedy."""
        return f"{self.path}: {self.what}"

    def __reduce__(self) -> tuple[type[QueueDamaged], tuple[Path, str]]:
        return QueueDamaged, (self.path, self.what)


class FileUnusable(PenstockError):
    """A file cannot be read or written: the disk is full, or access was withdrawn. Nothing is lost."""

    def __init__(self, path: Path | str, what: str, error: OSError) -> None:
        self.path = Path(path)
        self.what = what
        self.errno = error.errno
        self.strerror = error.strerror or str(error)
        super().__init__(
            f"{path}: {what} cannot be used ({self.strerror}); {remedy_of(self.errno)}, then run again to resume"
        )

    def __reduce__(self) -> tuple[type[FileUnusable], tuple[Path, str, OSError]]:
        return FileUnusable, (self.path, self.what, OSError(self.errno, self.strerror))


def remedy_of(number: int | None) -> str:
    """What to do where the operating system says no, by its error's number."""
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give access to it"
    return "fix that"


class CheckpointDamaged(PenstockError):
    """A checkpoint does not hold what was written to it, or lacks a part."""

    def __init__(self, where: str, checkpoint: str, what: str) -> None:
        """`where`: the store; `checkpoint`: its id."""
        self.where = where
        self.checkpoint = checkpoint
        self.what = what
        super().__init__(
            f"{where}: checkpoint {checkpoint} is damaged: {what}; resume from an earlier one (`--from ID`; "
            f"`penstock checkpoints verify` shows which are whole), or {STARTS_OVER}"
        )

    def __reduce__(self) -> tuple[type[CheckpointDamaged], tuple[str, str, str]]:
        return CheckpointDamaged, (self.where, self.checkpoint, self.what)


class CheckpointForeign(PenstockError):
    """A checkpoint was written in a format that this version of penstock does not read."""

    def __init__(self, where: str, checkpoint: str, version: int, ours: int) -> None:
        self.where = where
        self.checkpoint = checkpoint
        self.version = version
        self.ours = ours
        super().__init__(
            f"{where}: checkpoint {checkpoint} has format {version}, and this version of penstock reads format {ours}; "
            "run the version that wrote it, or resume from another one (`--from ID`)"
        )

    def __reduce__(self) -> tuple[type[CheckpointForeign], tuple[str, str, int, int]]:
        return CheckpointForeign, (self.where, self.checkpoint, self.version, self.ours)


class NoSuchCheckpoint(PenstockError):
    """A store has no checkpoint of this id."""

    def __init__(self, where: str, checkpoint: str) -> None:
        self.where = where
        self.checkpoint = checkpoint
        super().__init__(f"{where}: there is no checkpoint {checkpoint}; `penstock checkpoints list` shows those there")

    def __reduce__(self) -> tuple[type[NoSuchCheckpoint], tuple[str, str]]:
        return NoSuchCheckpoint, (self.where, self.checkpoint)


class StoreTaken(PenstockError):
    """Another process has claimed the checkpoint store since: this one must not add to it any more."""

    def __init__(self, where: str, holder: str) -> None:
        """`holder`: who it is."""
        self.where = where
        self.holder = holder
        super().__init__(
            f"{where}: another run has claimed this store since ({holder}); stop one of the two, or give each a store "
            "of its own"
        )

    def __reduce__(self) -> tuple[type[StoreTaken], tuple[str, str]]:
        return StoreTaken, (self.where, self.holder)


class StoreUnavailable(PenstockError):
    """A checkpoint store cannot be read or written at the moment: no room, no access, no connection."""

    def __init__(self, where: str, what: str, remedy: str = "fix that, then try again") -> None:
        self.where = where
        self.what = what
        self.remedy = remedy
        super().__init__(f"{where}: {what}; {remedy}")

    def __reduce__(self) -> tuple[type[StoreUnavailable], tuple[str, str, str]]:
        return StoreUnavailable, (self.where, self.what, self.remedy)


class SourceDamaged(PenstockError):
    """What a source reads is damaged, and reading it again would find the same.

    Raised by readers. The run ends at once, or continues without that split if the source skips damaged splits.
    """

    def __init__(self, path: str, what: str, remedy: str = "repair or replace it, then run again") -> None:
        self.path = path
        self.what = what
        self.remedy = remedy
        super().__init__(f"{self.told}; {remedy}")

    @property
    def told(self) -> str:
        """What is damaged and how, without the remedy."""
        return f"{self.path}: {self.what}"

    def __reduce__(self) -> tuple[type[SourceDamaged], tuple[str, str, str]]:
        return type(self), (self.path, self.what, self.remedy)


class TargetDamaged(PenstockError):
    """A sink's target does not contain what was written to it. Raised by writers; the run ends at once."""

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        self.what = what
        super().__init__(f"{path}: {what}; restore what was written and run again, or {STARTS_OVER}")

    def __reduce__(self) -> tuple[type[TargetDamaged], tuple[str, str]]:
        return TargetDamaged, (self.path, self.what)


class TooFewDescriptors(PenstockError):
    """A process of the run would need more descriptors than the system allows (`ulimit -n`). Nothing was started."""

    def __init__(self, needed: int, allowed: int) -> None:
        self.needed = needed
        self.allowed = allowed
        super().__init__(
            f"this pipeline needs {needed:,} descriptors in one process, and the limit is {allowed:,}; "
            f"{MORE_DESCRIPTORS}"
        )

    def __reduce__(self) -> tuple[type[TooFewDescriptors], tuple[int, int]]:
        return TooFewDescriptors, (self.needed, self.allowed)


class CommandRefused(PenstockError):
    """A command to a running pipeline was not carried out."""


class ExtraMissing(PenstockError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; `pip install 'penstock[{extra}]'` installs it")


class RowTimeout(Exception):
    """Raised inside the user's function when a row takes longer than the stage's `timeout`."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"the row took longer than {timeout_s:g} s")
