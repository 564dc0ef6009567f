"""The three shapes in which rows travel: a list of objects, a block of lines, columns."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from io import BytesIO
from itertools import islice
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from penstock.column_rows import convertible
from penstock.errors import ExtraMissing

T = TypeVar("T")


@runtime_checkable
class Columns(Protocol):
    """Anything that supports the Arrow PyCapsule protocol: pyarrow, polars, pandas, duckdb."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


# Not dataclasses: every process of a run would compile their methods and import what compiles them, 5 ms at its start.


class UndecodedRow:
    """Stands for a row that cannot be unpickled, or must not be, because that killed its worker."""

    __slots__ = ("pickle",)

    def __init__(self, pickle: bytes = b"") -> None:
        self.pickle = pickle
        """The pickle as its sender made it; empty if it is not known."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UndecodedRow) and self.pickle == other.pickle

    def __hash__(self) -> int:
        return hash(self.pickle)

    def __repr__(self) -> str:
        return f"<a row that was not decoded, {len(self.pickle):,} bytes>" if self.pickle else "<a row not looked at>"


class Lines:
    """Whole lines of text, still as bytes: split and decoded in the next stage, not in the source.

    `data` holds lines separated by `\\n` (or `\\r\\n`); the last one may lack its end. `first` is the number
    of the first line in its file, from 1 (0: not known).
    """

    __slots__ = ("_count", "data", "first", "is_text")

    def __init__(self, data: bytes, first: int, count: int = -1, is_text: bool = False) -> None:
        self.data = data
        self.first = first
        self._count = count
        """How many lines there are, if that is already known."""
        self.is_text = is_text
        """True: `data` is known to be UTF-8. Otherwise the engine checks it, and rejects single lines."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (self.data, self.first) == (other.data, other.first)

    def __hash__(self) -> int:
        return hash((self.data, self.first))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(data={self.data!r}, first={self.first})"

    @property
    def count(self) -> int:
        """How many lines there are; counted once."""
        if self._count < 0:
            self._count = _count_lines(self.data)
        return self._count

    def split(self) -> list[str]:
        """The lines as text, without their ends. Sources hand on nothing but UTF-8; else it becomes U+FFFD."""
        text = self.data.decode("utf-8", "replace")
        rows = text.split("\n")
        if rows and rows[-1] == "":
            rows.pop()
        if "\r" in text:
            rows = [row[:-1] if row.endswith("\r") else row for row in rows]
        return rows

    def slice(self, start: int, stop: int) -> Lines:
        """Lines `start` to `stop`, as a block; as a list's slice, none where there are none."""
        start = min(start, self.count)
        stop = min(max(stop, start), self.count)
        text = BytesIO(self.data)  # finds line ends faster than anything else in Python

        def skip(lines: int) -> int:
            deque(islice(text, lines), maxlen=0)
            return text.tell()

        data = self.data[skip(start) : skip(stop - start)]
        return type(self)(data, self.first + start if self.first else 0, stop - start)

    def rows(self) -> list[str]:
        """As `split`."""
        return self.split()

    def row(self, index: int) -> str:
        """One line as text."""
        return self.slice(index, index + 1).split()[0]

    def pick(self, indices: Sequence[int]) -> list[str]:
        """Some of the lines, as text."""
        rows = self.split()
        return [rows[index] for index in indices]

    def join(self, others: Sequence[Lines]) -> Lines:
        """These lines and then those of others, as one block; a block may lack the end of its last line."""
        blocks = (self, *others)
        data = b"".join(b.data if b.data.endswith(b"\n") or not b.data else b.data + b"\n" for b in blocks)
        return type(self)(data, 0, sum(block.count for block in blocks))

    def parts(self, rows: int) -> list[Lines]:
        """The same lines in blocks of about `rows` lines, by their mean length."""
        count = self.data.count(b"\n") + 1
        size = max(len(self.data) * rows // count, 1)
        parts, start, first = [], 0, self.first
        while start < len(self.data):
            end = self.data.find(b"\n", min(start + size, len(self.data)) - 1) + 1
            data = self.data[start : end or len(self.data)]
            parts.append(type(self)(data, first))
            start += len(data)
            first += data.count(b"\n") if first else 0
        return parts


def _count_lines(data: bytes) -> int:
    if data.find(b"\n", 0, _LONG_LINE) >= 0:
        return data.count(b"\n") + (not data.endswith(b"\n"))
    return len(BytesIO(data).readlines())  # jumps from end to end, where `count` looks at every byte


_LONG_LINE = 80


class WrittenLines(Lines):
    """Rows as the text that a sink writes: one line each, encoded by their sender (`Sink.text`)."""

    __slots__ = ()

    def join(self, others: Sequence[Lines]) -> Lines:
        """The text of all of them, to the byte as it is written."""
        blocks = (self, *others)
        return WrittenLines(b"".join(block.data for block in blocks), 0, sum(block.count for block in blocks))


Batch: TypeAlias = Sequence[T] | Lines | Columns


def rows_of(batch: Batch[Any]) -> Sequence[Any]:
    """Return the rows of a batch of any shape as objects, for sinks that process one after the other.

    Raises what Arrow raises for columns with a value that Python has no type for; see `rows_and_rejected`.
    """
    if isinstance(batch, Lines):
        return batch.split()
    if isinstance(batch, Sequence):
        return batch
    rows: list[Any] = _table(batch).to_pylist(maps_as_pydicts="strict")
    return rows


def rows_and_rejected(batch: Batch[Any]) -> tuple[Sequence[Any], dict[int, str]]:
    """Like `rows_of`, with None for each row that has a value without a Python type, and the reasons by index."""
    if isinstance(batch, Lines | Sequence):
        return rows_of(batch), {}
    rows, failures = convertible(_table(batch), lambda piece: list(piece.to_pylist(maps_as_pydicts="strict")))
    return rows, {index: reason for index, (_, reason) in failures.items()}


def _table(batch: Columns) -> Any:
    try:
        import pyarrow
    except ImportError as exc:
        raise ExtraMissing("pyarrow", "arrow") from exc
    return pyarrow.table(batch)
