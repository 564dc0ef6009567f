"""Bytes that are not the encoding are told line by line; what is no text is named; nothing becomes rubbish."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard
from file_roles import read_all as rows_of_source
from file_roles import rest, steps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.connectors import files
from penstock.connectors.files import content, line_reader, packed
from penstock.connectors.files.line_reader import LineForm, LineReader
from penstock.errors import SourceDamaged
from penstock.source import Rejected, WithRejected
from penstock.text_form import TextForm, encoding_problems

in_tmp = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ENCODINGS = ["utf-8", "ascii", "latin-1", "cp1252", "gbk", "shift_jis", "euc_kr", "utf-16", "utf-32"]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (content, line_reader):
        monkeypatch.setattr(module, "BLOCK_BYTES", 6)
    monkeypatch.setattr(packed, "_READ_BYTES", 7)
    monkeypatch.setattr(packed, "_MOST_UNPACKED_BYTES", 5)


@settings(deadline=None)
@given(data=st.binary(max_size=60).map(lambda data: data.replace(b"\r", b"")), encoding=st.sampled_from(ENCODINGS[:7]))
def test_each_line_is_its_text_or_is_rejected_with_its_bytes_and_number(data: bytes, encoding: str) -> None:
    block = TextForm(encoding).block(data, 1, "x")
    raw = data.split(b"\n")
    raw = raw[:-1] if raw[-1] == b"" else raw
    rejected = block.rejected if isinstance(block, WithRejected) else {}
    rows = block.split() if isinstance(block, Lines) else list(block.batch)
    assert len(rows) == len(raw)
    for index, (line, row) in enumerate(zip(raw, rows, strict=True)):
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            assert rejected[index].row == line
            assert rejected[index].reason.startswith(f"x, line {index + 1}: it is not {encoding} (")
        else:
            assert index not in rejected and row == text


def test_lines_that_are_not_the_encoding_are_rejected_replaced_or_end_the_run(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"one\nM\xfcller\nthree\n")
    one, bad, three = rows_of_source(files.lines(path))
    assert (one, three) == ("one", "three")
    assert bad == Rejected(b"M\xfcller", f"{path}, line 2: it is not utf-8 (invalid start byte: byte 2 is fc 6c 6c 65)")
    assert rows_of_source(files.lines(path, errors="replace")) == ["one", "M\ufffdller", "three"]
    with pytest.raises(SourceDamaged, match="line 2: it is not utf-8"):
        rows_of_source(files.lines(path, errors="fail"))
    assert rows_of_source(files.lines(path, encoding="latin-1")) == ["one", "Müller", "three"]


def test_json_lines_that_are_not_the_encoding_are_rejected_and_blank_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\n{"a":"\xfc"}\n  \n{"a":2}\n')
    bad, good = rows_of_source(files.json_lines(path))
    assert bad.row == b'{"a":"\xfc"}'
    assert bad.reason.startswith(f"{path}, line 2: ")
    assert good == '{"a":2}'


@in_tmp
@given(
    lines=st.lists(st.text(st.sampled_from("ab é中\U0001f600\r"), max_size=8), max_size=8), at_end=st.booleans(),
    encoding=st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]),
)
def test_wide_text_is_read_and_resumed_as_any_other(
    tmp_path: Path, small_blocks: None, lines: list[str], at_end: bool, encoding: str
) -> None:
    text = "\n".join(lines) + ("\n" if at_end else "")
    path = tmp_path / "x.log"
    path.write_bytes(text.encode(encoding))
    form = LineForm(encoding)
    read = steps(LineReader(str(path), None, form))
    rows = [row for given_rows, _ in read for row in given_rows]
    assert rows == Lines(text.encode(), 1).split()
    done = 0
    for given_rows, position in read:
        done += len(given_rows)
        assert rest(LineReader(str(path), position, form)) == rows[done:]


def test_half_a_character_of_wide_text_is_rejected_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes("a\n".encode("utf-16-le") + b"\x00\xd8\n\0" + "b\n".encode("utf-16-le") + b"c")
    a, half, b, cut = rows_of_source(files.lines(path, encoding="utf-16-le"))
    assert (a, b) == ("a", "b")
    assert half.reason.startswith(f"{path}, line 2: it is not utf-16-le")
    assert cut.reason.startswith(f"{path}, line 4: it is not utf-16-le")


@pytest.mark.parametrize(
    ("ending", "pack"),
    [(".gz", gzip.compress), (".GZ", gzip.compress), (".bz2", bz2.compress), (".BZ2", bz2.compress),
     (".xz", lzma.compress), (".Xz", lzma.compress), (".ZST", zstandard.compress)],
)
def test_packed_files_are_unpacked_whatever_their_endings_case(
    tmp_path: Path, small_blocks: None, ending: str, pack
) -> None:
    path = tmp_path / f"x.log{ending}"
    lines = [f"line {number}" for number in range(50)]
    members = ["".join(f"{line}\n" for line in lines[at : at + 10]) for at in range(0, 50, 10)]
    path.write_bytes(b"".join(pack(member.encode()) for member in members))
    read = steps(LineReader(str(path), None, LineForm()))
    assert [row for rows, _ in read for row in rows] == lines
    done = 0
    for rows, position in read:
        done += len(rows)
        assert rest(LineReader(str(path), position, LineForm())) == lines[done:]


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_what_a_sink_packs_the_source_unpacks(tmp_path: Path, ending: str) -> None:
    from file_roles import write_all

    rows = [{"n": number} for number in range(100)]
    write_all(files.json_lines(tmp_path / f"x.jsonl{ending}"), rows[:50], rows[50:])
    assert rows_of_source(files.json_lines(tmp_path / f"x.jsonl{ending}")) == [f'{{"n":{row["n"]}}}' for row in rows]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_packed_file_that_breaks_off_gives_its_whole_lines_first(tmp_path: Path, pack) -> None:
    import random

    ending = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz", zstandard.compress: "zst"}[pack]
    lines = [f"line {random.random()}" for _ in range(30_000)]
    path = tmp_path / f"x.{ending}"
    path.write_bytes(pack("".join(f"{line}\n" for line in lines).encode())[:-20])
    reader = LineReader(str(path), None, LineForm())
    rows: list[str] = []
    with pytest.raises(SourceDamaged, match="ends in the middle"):  # noqa: PT012
        while True:
            rows += reader.read().split()
    reader.close()
    assert rows == lines[: len(rows)] and len(rows) >= (0 if ending == "bz2" else 10_000)


def zipped(data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("x.csv", data)
    return target.getvalue()


def tarred(data: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo("x.csv")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


TEXT = b"id,name\n1,Smith\n"


@pytest.mark.parametrize("source", [files.lines, files.csv, files.json_lines])
@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (gzip.compress(TEXT), "rename it to end in .gz"), (bz2.compress(TEXT), "rename it to end in .bz2"),
        (lzma.compress(TEXT), "rename it to end in .xz"), (zstandard.compress(TEXT), "rename it to end in .zst"),
        (zipped(TEXT), "unpack it first"), (tarred(TEXT), "unpack it first"), (b"PAR1" + TEXT, "files.parquet"),
        (TEXT.decode().encode("utf-16"), 'pass encoding="utf-16"'),
        (TEXT.decode().encode("utf-32"), 'pass encoding="utf-32"'),
        (TEXT.decode().encode("utf-16-le"), 'encoding="utf-16-le"'), (TEXT.decode().encode("utf-16-be"), "utf-16-be"),
    ],
    ids="gzip bzip2 xz zstd zip tar parquet utf-16 utf-32 utf-16-le utf-16-be".split(),
)
def test_a_file_that_is_not_text_is_named_before_any_row_is_given(
    tmp_path: Path, source, data: bytes, remedy: str
) -> None:
    (tmp_path / "x.dat").write_bytes(data)
    with pytest.raises(SourceDamaged, match=remedy.replace(".", r"\.")):
        rows_of_source(source(tmp_path / "x.dat"))
    (tmp_path / "x.gz").write_bytes(gzip.compress(data))
    with pytest.raises(SourceDamaged):
        rows_of_source(source(tmp_path / "x.gz"))


@pytest.mark.parametrize("encoding", ["base64", "klingon", "cp037", "undefined"])
def test_encodings_that_cannot_be_are_found_before_the_run(encoding: str) -> None:
    assert encoding_problems(encoding, "dead_letter")
    assert encoding_problems("utf-8", "ignore")


def test_options_of_reading_are_refused_by_sinks(tmp_path: Path) -> None:
    assert "encoding has no effect" in files.csv(tmp_path / "x.csv", encoding="latin-1").check_sink()[0]
    assert "errors has no effect" in files.json_lines(tmp_path / "x", errors="fail").check_sink()[0]
    assert "on_damaged has no effect" in files.parquet(tmp_path / "x", on_damaged="skip").check_sink()[0]
