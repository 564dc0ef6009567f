"""Standard input as a source of lines, standard output as a sink; `standard_streams.py` knows the descriptors."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from penstock.batch import Batch, Lines, rows_and_rejected
from penstock.ctrl_c import is_ctrl_c
from penstock.errors import PenstockError, SourceDamaged
from penstock.operator import Context
from penstock.sink import RowsRejected, Sink, Writer
from penstock.source import EndOfSplit, Position, Reader, Source, WithRejected
from penstock.standard_streams import closed, is_read_only, is_write_only, stdin_fd, stdout_fd
from penstock.text_form import WIDE, Errors, TextForm, codec_name, encoding_problems

_CLOSED_INPUT = "standard input is closed: start with it open; `< /dev/null` has no lines"
_CLOSED_OUTPUT = "standard output is closed: start with it open, or write to a file with `files.json_lines`"
_NO_INPUT = "standard input was opened for writing only; start with one that can be read, as in `< FILE`"
_NO_OUTPUT = "standard output was opened for reading only; start with one that can be written, as in `> FILE`"
_BLOCK_BYTES = 256 * 1024
_MAX_LINE_BYTES = 64 * 1024 * 1024
"""A line without end must not fill the memory."""
_WHERE = "standard input"
_UTF8 = TextForm()


def stdin(*, encoding: str = "utf-8", errors: Errors = "dead_letter") -> Source[str]:
    """Read the lines of standard input until its end. Lines read but not committed are lost with the worker.

    A line that is not valid in `encoding` is an error of that row. `errors="replace"` replaces what cannot be decoded
    by U+FFFD; `errors="fail"` ends the run.
    """
    return StdinSource(TextForm(encoding, errors))


def stdout() -> Sink[object]:
    """Write every row as `print` would. A row may be printed twice if the worker is killed."""
    return StdoutSink()


class StdinSource(Source[str]):
    """What `stdin()` returns: one split, whoever reads it."""

    def __init__(self, form: TextForm = _UTF8) -> None:
        self._form = form

    def check_source(self) -> Sequence[str]:
        found = [*encoding_problems(self._form.encoding, self._form.errors), *_input_problems()]
        if not found and codec_name(self._form.encoding) in WIDE:
            found.append(f"encoding {self._form.encoding!r} cannot be read from a stream; convert it with `iconv`")
        return found

    @property
    def label(self) -> str:
        return "stdin"

    @property
    def replayable(self) -> bool:
        return False

    @property
    def row_type(self) -> Any:
        return str

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[str]:
        fd = stdin_fd()
        try:
            mode = os.fstat(fd).st_mode
        except OSError as exc:
            raise PenstockError(
                f"standard input (descriptor {fd}) is closed; start with it open, `< /dev/null` has no lines"
            ) from exc
        if stat.S_ISREG(mode):
            return FileReader(fd, position, self._form)
        return StreamReader(fd, self._form, first=1 if context.attempt == 1 else 0)


def _input_problems() -> list[str]:
    if closed(0):
        return [_CLOSED_INPUT]
    return [_NO_INPUT] if is_write_only(0) else []


def _leads_to_read_only(stream: TextIO) -> bool:
    try:
        return is_read_only(stream.fileno())
    except (OSError, ValueError, AttributeError):  # a stream without a descriptor, as notebooks and tests have
        return False


class StreamReader(Reader[str]):
    """Reads a pipe, a terminal or a socket: whole lines, without ever waiting.

    The descriptor stays in blocking mode: it is shared with the caller and with the shell behind it.
    """

    repeatable = False

    def __init__(self, fd: int, form: TextForm = _UTF8, *, first: int) -> None:
        """`first`: number of the first line; 0: a successor, whose predecessor took an unknown number of lines."""
        self._fd = fd
        self._form = form
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._fileno = fd if _can_be_waited_for(fd) else None
        self._first = first
        self._started: list[bytes] = []  # pieces of a line whose end has not come yet
        self._ended = False
        # A predecessor that died in the flow of lines has most likely taken the beginning of the next one with it:
        # better no row than half a row. Where nothing is waiting it died idle, behind a whole line.
        self._cut = first == 0 and bool(self._poll.poll(0))

    def read(self) -> Lines | WithRejected[str] | None:
        if self._ended:
            raise EndOfSplit
        lines = b"".join(self._whole_lines())
        if self._cut:
            lines = self._without_cut_line(lines)
        if self._ended and not lines:
            raise EndOfSplit
        if not lines:
            return None
        block = self._form.block(lines, self._first, _WHERE)
        if self._first:
            self._first += lines.count(b"\n")
        return block

    def _whole_lines(self) -> Iterator[bytes]:
        taken = 0
        while taken < _BLOCK_BYTES and self._poll.poll(0):
            data = os.read(self._fd, _BLOCK_BYTES)
            taken += len(data)
            if not data:
                self._ended = True
                yield from self._started
                self._started = []
                return
            end = data.rfind(b"\n") + 1
            if end:
                yield from self._started
                yield data[:end]
                self._started = []
            if end < len(data):
                self._started.append(data[end:])
                self._refuse_endless_line()

    def _refuse_endless_line(self) -> None:
        if sum(map(len, self._started)) > _MAX_LINE_BYTES:
            raise SourceDamaged(_WHERE, f"a line does not end within {_MAX_LINE_BYTES} bytes")

    def _without_cut_line(self, lines: bytes) -> bytes:
        if lines:
            self._cut = False
        return lines.partition(b"\n")[2]

    def position(self) -> Position:
        return self._first

    def fileno(self) -> int | None:
        return self._fileno


class FileReader(Reader[str]):
    """Reads a regular file that stands as standard input; resumes after the last whole line, so nothing is lost."""

    def __init__(self, fd: int, position: Position | None, form: TextForm = _UTF8) -> None:
        """`position`: device, inode, offset, line; that of another file is not this one's."""
        self._fd = fd
        self._form = form
        status = os.fstat(fd)
        self._identity = [status.st_dev, status.st_ino]
        if position is not None and list(position[:2]) == self._identity:
            self._offset, self._line = position[2:]
        else:
            self._offset, self._line = os.lseek(fd, 0, os.SEEK_CUR), 1

    def read(self) -> Lines | WithRejected[str]:
        size = _BLOCK_BYTES
        # The offset of the descriptor is the caller's, too: it stays where it is.
        data = os.pread(self._fd, size, self._offset)
        while b"\n" not in data and len(data) == size:
            if size >= _MAX_LINE_BYTES:
                raise SourceDamaged(_WHERE, f"the line at byte {self._offset} does not end within {size} bytes")
            size *= 2
            data = os.pread(self._fd, size, self._offset)
        if not data:
            raise EndOfSplit
        lines = data[: data.rfind(b"\n") + 1] or data
        block = self._form.block(lines, self._line, _WHERE)
        self._offset += len(lines)
        self._line += lines.count(b"\n")
        return block

    def position(self) -> Position:
        return [*self._identity, self._offset, self._line]


def _can_be_waited_for(fd: int) -> bool:
    """False for what epoll refuses because it is always ready, /dev/null for one."""
    with select.epoll() as epoll:
        try:
            epoll.register(fd, select.EPOLLIN)
        except PermissionError:
            return False
    return True


class StdoutSink(Sink[object]):
    """What `stdout()` returns."""

    @property
    def label(self) -> str:
        return "stdout"

    def check_sink(self) -> Sequence[str]:
        if sys.stdout is None or getattr(sys.stdout, "closed", False):
            return [_CLOSED_OUTPUT]
        return [_NO_OUTPUT] if _leads_to_read_only(sys.stdout) else []

    def writer(self, position: Position | None, context: Context) -> Writer[object]:
        return StdoutWriter(stdout_fd())


class StdoutWriter(Writer[object]):
    """Prints a batch in one go, so that the lines of two workers mix at batch borders at most."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, batch: Batch[Any]) -> None:
        texts: list[str] = []
        rows, reasons = rows_and_rejected(batch)
        for index, row in enumerate(rows):
            if index in reasons:
                continue
            try:
                texts.append(f"{row!s}\n")
            except BaseException as exc:  # the row's own __str__
                if is_ctrl_c(exc):
                    raise
                reasons[index] = f"str(row) raised {type(exc).__name__}: {exc}"
        # Lone surrogates have no UTF-8.
        self._write_all("".join(texts).encode("utf-8", "backslashreplace"))
        if reasons:
            raise RowsRejected(reasons)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:  # somebody who shares it has set it non-blocking
                waiting = select.poll()
                waiting.register(self._fd, select.POLLOUT)
                waiting.poll()
            except BrokenPipeError as exc:
                raise PenstockError(
                    "standard output was closed by its reader; keep the reader running until the run ends, "
                    "or write to a file with `files.json_lines`"
                ) from exc
