"""Standard input and output as source and sink, over pipes and files that stand in for them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import standard_streams
from penstock.batch import Lines
from penstock.connectors import stdio
from penstock.errors import PenstockError
from penstock.operator import Context
from penstock.sink import Delivery, RowsRejected
from penstock.source import EndOfSplit, Position, Reader, WithRejected


@pytest.fixture(autouse=True)
def own_descriptors() -> Iterator[None]:
    yield
    standard_streams.set_stdin_fd(0)
    standard_streams.set_stdout_fd(1)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        with contextlib.suppress(OSError):  # the test closed it
            os.close(fd)


def open_stdin(fd: int, position: Position | None = None, attempt: int = 1) -> Reader[str]:
    standard_streams.set_stdin_fd(fd)
    context = Context(pipeline="p", stage="stdin", slot=0, workers=1, attempt=attempt)
    return stdio.stdin().open(None, position, context)


def rest_of(reader: Reader[str]) -> list[str]:
    rows: list[str] = []
    while True:
        try:
            block = reader.read()
        except EndOfSplit:
            return rows
        if isinstance(block, WithRejected):
            rows += [
                block.rejected[index].row.decode("utf-8", "replace") if index in block.rejected else row
                for index, row in enumerate(block.batch)
            ]
        else:
            assert isinstance(block, Lines)
            rows += block.split()


def test_stdin_is_one_split_that_cannot_be_read_again() -> None:
    source = stdio.stdin()
    assert source.label == "stdin" and source.bounded and not source.replayable and source.row_type is str
    assert list(source.splits()) == ["all"]


def test_only_whole_lines_come_until_the_end_brings_the_last_one(pipe: tuple[int, int]) -> None:
    reader = open_stdin(pipe[0])
    assert reader.fileno() == pipe[0]
    assert reader.read() is None
    os.write(pipe[1], b"one\ntw")
    assert reader.read() == Lines(b"one\n", 1)
    assert reader.read() is None
    os.write(pipe[1], b"o\nthree")
    assert reader.read() == Lines(b"two\n", 2)
    os.close(pipe[1])
    assert reader.read() == Lines(b"three", 3)
    with pytest.raises(EndOfSplit):
        reader.read()


def test_the_callers_descriptor_stays_blocking(pipe: tuple[int, int]) -> None:
    open_stdin(pipe[0]).read()
    assert os.get_blocking(pipe[0])


def test_a_line_longer_than_a_block_arrives_whole(pipe: tuple[int, int]) -> None:
    line = b"x" * 700_000 + b"\n"

    def write() -> None:
        with os.fdopen(pipe[1], "wb") as far:
            far.write(line + b"y\n")

    feeder = threading.Thread(target=write)
    reader = open_stdin(pipe[0])
    feeder.start()
    data = b""
    try:
        while True:
            block = reader.read()
            assert block is None or isinstance(block, Lines)
            data += block.data if block else b""
    except EndOfSplit:
        pass
    feeder.join()
    assert data == line + b"y\n"


@given(chunks=st.lists(st.text(alphabet="ab\n", max_size=8)))
def test_lines_do_not_depend_on_how_they_arrive(chunks: list[str]) -> None:
    near, far = os.pipe()
    try:
        reader = open_stdin(near)
        rows: list[str] = []
        for chunk in chunks:
            os.write(far, chunk.encode())
            block = reader.read()
            rows += block.split() if isinstance(block, Lines) else []
        os.close(far)
        rows += rest_of(reader)
    finally:
        os.close(near)
    assert rows == Lines("".join(chunks).encode(), 1).split()


def test_a_successor_in_the_flow_leaves_out_the_line_that_was_cut(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"nd of a line\nwhole\n")
    reader = open_stdin(pipe[0], position=1, attempt=2)
    assert reader.read() == Lines(b"whole\n", 0)


def test_a_successor_of_an_idle_worker_loses_nothing(pipe: tuple[int, int]) -> None:
    reader = open_stdin(pipe[0], position=1, attempt=2)
    os.write(pipe[1], b"next\n")
    assert reader.read() == Lines(b"next\n", 0)


@given(data=st.binary(max_size=40), stop=st.integers(0, 40))
def test_a_file_as_stdin_is_resumed_after_the_last_line(
    data: bytes, stop: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("stdin") / "in.txt"
    path.write_bytes(data[:stop])
    with path.open("rb") as file:
        reader = open_stdin(file.fileno())
        before = rest_of(reader) if data[:stop][-1:] == b"\n" else []
        path.write_bytes(data)
        position = reader.position()
        after = rest_of(open_stdin(file.fileno(), position, attempt=2))
    assert before + after == Lines(data, 1).split()


def test_a_position_in_another_file_does_not_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\n")
    with (tmp_path / "a").open() as first, (tmp_path / "b").open() as second:
        reader = open_stdin(first.fileno())
        assert rest_of(reader) == ["a"]
        assert rest_of(open_stdin(second.fileno(), reader.position())) == ["b"]


def test_a_device_that_cannot_be_waited_for_is_read_without(tmp_path: Path) -> None:
    with open(os.devnull) as null:
        reader = open_stdin(null.fileno())
        assert reader.fileno() is None
        assert rest_of(reader) == []


def test_a_closed_stdin_is_told() -> None:
    near, far = os.pipe()
    os.close(far)
    os.close(near)
    with pytest.raises(PenstockError, match=f"standard input .descriptor {near}. is closed"):
        open_stdin(near)


def printed(batch: Any, pipe: tuple[int, int]) -> bytes:
    standard_streams.set_stdout_fd(pipe[1])
    writer = stdio.stdout().writer(None, Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1))
    writer.write(batch)
    os.close(pipe[1])
    with os.fdopen(os.dup(pipe[0]), "rb") as near:
        return near.read()


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        ([1, "ü", None, {"a": 1}, b"x"], "1\nü\nNone\n{'a': 1}\nb'x'\n"),
        (["\ud800"], "\\ud800\n"),
        (Lines(b"a\nb", 1), "a\nb\n"),
        ([], ""),
    ],
)
def test_rows_are_printed_as_print_would(batch: Any, text: str, pipe: tuple[int, int]) -> None:
    assert printed(batch, pipe) == text.encode()


def test_columns_are_printed_as_dicts(pipe: tuple[int, int]) -> None:
    pa = pytest.importorskip("pyarrow")
    assert printed(pa.table({"a": [1, 2]}), pipe) == b"{'a': 1}\n{'a': 2}\n"


def test_stdout_is_at_least_once() -> None:
    sink = stdio.stdout()
    assert sink.label == "stdout" and sink.delivery is Delivery.AT_LEAST_ONCE


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")


def test_a_row_that_cannot_be_shown_is_rejected_alone(pipe: tuple[int, int]) -> None:
    writer = stdio.StdoutWriter(pipe[1])
    with pytest.raises(RowsRejected) as caught:
        writer.write(["a", Unprintable(), "b"])
    assert caught.value.reasons == {1: "str(row) raised ValueError: no text"}
    assert os.read(pipe[0], 100) == b"a\nb\n"


def test_a_full_pipe_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    rows = ["x" * 1000] * 1000
    received = bytearray()

    def read() -> None:
        while len(received) < 1001 * 1000:
            received.extend(os.read(pipe[0], 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    stdio.StdoutWriter(pipe[1]).write(rows)
    reader.join()
    assert received == b"".join(row.encode() + b"\n" for row in rows)


def test_a_reader_that_went_is_told(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with pytest.raises(PenstockError, match="closed by its reader"):
        stdio.StdoutWriter(pipe[1]).write(["x"])


def test_a_line_of_stdin_that_is_not_utf8_is_rejected_by_itself(pipe: tuple[int, int]) -> None:
    reader = open_stdin(pipe[0])
    os.write(pipe[1], b"one\nM\xfcller\nthree\n")
    given = reader.read()
    assert isinstance(given, WithRejected)
    assert list(given.batch)[::2] == ["one", "three"]
    assert given.rejected[1].row == b"M\xfcller"
    assert given.rejected[1].reason.startswith("standard input, line 2: it is not utf-8")


def test_stdin_is_read_in_the_encoding_that_is_told(pipe: tuple[int, int]) -> None:
    standard_streams.set_stdin_fd(pipe[0])
    source = stdio.stdin(encoding="latin-1")
    reader = source.open(None, None, Context(pipeline="p", stage="stdin", slot=0, workers=1, attempt=1))
    os.write(pipe[1], "Müller\n".encode("latin-1"))
    block = reader.read()
    assert isinstance(block, Lines) and block.split() == ["Müller"]
    assert "iconv" in stdio.stdin(encoding="utf-16").check_source()[0]


def test_a_standard_input_that_cannot_be_read_is_a_mistake_of_the_pipeline(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as opened:
        done = _checked(stdin=opened)
    assert "standard input was opened for writing only" in done.stdout


def test_a_standard_output_that_cannot_be_written_is_a_mistake_of_the_pipeline(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with (tmp_path / "x").open() as opened:
        done = _checked(stdout=opened, stderr=subprocess.PIPE)
    assert "standard output was opened for reading only" in done.stderr


CHECK = """
import sys
import penstock as ps
from penstock.connectors import stdio

app = ps.Pipeline("x")
app.source(stdio.stdin()).sink(stdio.stdout())
print(*app.check(), file=sys.stderr)
"""


def _checked(**streams: Any) -> subprocess.CompletedProcess[str]:
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **streams}
    return subprocess.run(
        [sys.executable, "-c", CHECK], text=True, check=True, timeout=60, **given  # type: ignore[call-overload]
    )
