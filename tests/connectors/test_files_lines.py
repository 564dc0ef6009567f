"""Lines of plain and packed files: every line once, whatever the blocks, ranges and the position it is resumed at."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import zstandard
from file_roles import context, read_all, rest, steps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.connectors import files
from penstock.connectors.files import content, line_reader, packed
from penstock.connectors.files.line_reader import LineForm, LineReader, cut_lines
from penstock.errors import SourceDamaged
from penstock.operators.parse_json import ParseJson

in_tmp = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(st.sampled_from("ab\n\r é"), max_size=60).map(str.encode)


def expected(data: bytes) -> list[str]:
    return Lines(data, 1).split()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (content, line_reader):
        monkeypatch.setattr(module, "BLOCK_BYTES", 4)
    monkeypatch.setattr(packed, "_READ_BYTES", 7)
    monkeypatch.setattr(packed, "_ZSTD_READ_BYTES", 7)


@in_tmp
@given(data=texts, cuts=st.lists(st.integers(1, 59), max_size=4))
def test_every_line_is_given_once_whatever_the_ranges(tmp_path: Path, small_blocks: None, data: bytes, cuts: list[int]):
    path = tmp_path / "x.log"
    path.write_bytes(data)
    edges: list[int | None] = [0, *sorted({cut for cut in cuts if cut < len(data)}), None]
    given_rows = [
        row
        for start, end in pairwise(edges)
        for row in rest(LineReader(str(path), None, LineForm(), start=start or 0, end=end))
    ]
    assert given_rows == expected(data)


@in_tmp
@given(members=st.lists(texts, max_size=4), kind=st.sampled_from(["", ".gz", ".zst"]))
def test_a_reader_opened_at_any_position_gives_exactly_the_rest(
    tmp_path: Path, small_blocks: None, members: list[bytes], kind: str
):
    pack = {"": lambda data: data, ".gz": gzip.compress, ".zst": zstandard.compress}[kind]
    path = tmp_path / f"x.log{kind}"
    path.write_bytes(b"".join(pack(member) for member in members))
    all_steps = steps(LineReader(str(path), None, LineForm()))
    rows = [row for given_rows, _ in all_steps for row in given_rows]
    assert rows == expected(b"".join(members))
    done = 0
    for given_rows, position in all_steps:
        done += len(given_rows)
        assert rest(LineReader(str(path), position, LineForm())) == rows[done:]


@given(data=texts, limit=st.none() | st.integers(1, 60))
def test_a_block_is_cut_behind_a_line_end(data: bytes, limit: int | None):
    cut = cut_lines(data, at_end=False, limit=limit)
    assert cut == 0 or data[cut - 1 : cut] == b"\n"
    if limit is not None and cut > limit:
        assert b"\n" not in data[limit - 1 : cut - 1]


def test_line_numbers_continue_across_blocks(tmp_path: Path, small_blocks: None):
    path = tmp_path / "x.log"
    path.write_text("a\nb\nc\nd\ne\n")
    reader = LineReader(str(path), None, LineForm())
    firsts = [batch.first for batch in iter_blocks(reader)]
    assert firsts == [1, 3, 5]


def iter_blocks(reader: LineReader) -> list[Lines]:
    found = []
    while True:
        try:
            batch = reader.read()
        except Exception:
            return found
        assert isinstance(batch, Lines)
        found.append(batch)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_packed_file_that_breaks_off_is_an_error_that_names_it(tmp_path: Path, kind: str):
    whole = packed.pack(kind, b"".join(b"line %d\n" % number for number in range(5000)))
    path = tmp_path / f"x.{kind}"
    path.write_bytes(whole[:-20])
    with pytest.raises(SourceDamaged, match="ends in the middle"):
        read_all(files.lines(path))


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_packed_file_with_rubbish_in_it_is_an_error_that_names_it(tmp_path: Path, kind: str):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(packed.pack(kind, b"good\n") + b"rubbish that is no member")
    with pytest.raises(SourceDamaged, match=str(path)):
        read_all(files.lines(path))


def test_zeros_behind_a_gzip_member_are_padding(tmp_path: Path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"a\n") + bytes(100) + gzip.compress(b"b\n") + bytes(10))
    assert read_all(files.lines(path)) == ["a", "b"]


def test_a_line_without_end_in_sight_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_blocks: None):
    monkeypatch.setattr(line_reader, "MAX_RECORD_BYTES", 64)
    path = tmp_path / "x.log"
    path.write_bytes(b"short\n" + b"x" * 1000)
    with pytest.raises(SourceDamaged, match="does not end within"):
        read_all(files.lines(path))


def test_large_plain_files_are_split_into_ranges_and_packed_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import penstock.connectors.files.spec as spec

    monkeypatch.setattr(spec, "RANGE_BYTES", 100)
    lines = [f"line {number}" for number in range(100)]
    text = "".join(line + "\n" for line in lines).encode()
    (tmp_path / "big.log").write_bytes(text)
    (tmp_path / "big.log.gz").write_bytes(gzip.compress(text))
    source = files.lines([tmp_path / "big.log", tmp_path / "big.log.gz"])
    splits = source.splits()
    assert len(splits) == -(-len(text) // 100) + 1
    cuts = [split["start"] for split in list(splits.values())[:-1]] + [len(text)]
    sizes = {end - start for start, end in pairwise(cuts)}
    assert max(sizes) - min(sizes) <= 1, "whoever gets every second range gets half of the file"
    assert list(source.splits())[-1] == str(tmp_path / "big.log.gz")
    assert read_all(source) == lines + lines


def test_globs_lists_and_directories_are_expanded_in_order(tmp_path: Path):
    for name in ("b.log", "a.log", "c.txt", ".hidden"):
        (tmp_path / name).write_text(name + "\n")
    assert read_all(files.lines(tmp_path / "*.log")) == ["a.log", "b.log"]
    assert read_all(files.lines([tmp_path / "c.txt", tmp_path / "*.log"])) == ["a.log", "b.log", "c.txt"]
    assert read_all(files.lines(f"{tmp_path}/")) == ["a.log", "b.log", "c.txt"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path):
    (tmp_path / "x.log").write_bytes(b"\xef\xbb\xbfa\nb\n")
    assert read_all(files.lines(tmp_path / "x.log")) == ["a", "b"]


def test_other_encodings_are_decoded(tmp_path: Path):
    (tmp_path / "x.log").write_bytes("é\nü\n".encode("latin-1"))
    assert read_all(files.lines(tmp_path / "x.log", encoding="latin-1")) == ["é", "ü"]


def test_blank_lines_between_json_lines_are_left_out(tmp_path: Path):
    (tmp_path / "x.jsonl").write_bytes(b'\n{"a":1}\n\n  \r\n{"a":2}\n\n   ')
    source = files.json_lines(tmp_path / "x.jsonl")
    assert read_all(source) == ['{"a":1}', '{"a":2}']


def test_json_lines_are_parsed_by_an_operator_of_the_stage(tmp_path: Path):
    class Row(msgspec.Struct):
        a: int

    source = files.json_lines(tmp_path / "x.jsonl", Row)
    assert source.parse == ParseJson(None, "files.json_lines", Row)
    assert source.row_type is Row


def test_what_cannot_be_read_is_found_before_the_run(tmp_path: Path):
    assert "does not exist" in files.lines(tmp_path / "no.log").check_source()[0]
    assert "matches no file" in files.lines(tmp_path / "*.log").check_source()[0]
    assert "contains no files" in files.lines(f"{tmp_path}/").check_source()[0]
    assert files.lines(tmp_path / "*.log", follow=True).check_source() == []
    assert "cannot be followed" in files.lines(tmp_path, encoding="utf-16", follow=True).check_source()[-1]
    assert "not one byte" in files.lines(tmp_path, encoding="cp037").check_source()[-1]
    assert "unknown to Python" in files.lines(tmp_path, encoding="klingon").check_source()[-1]
    (tmp_path / "x.log").write_text("a\n")
    assert 'start="end"' in files.lines(tmp_path / "x.log", start="end").check_source()[0]


@pytest.mark.parametrize("kind", ["", ".gz"])
def test_a_file_that_became_shorter_than_its_position_is_an_error(tmp_path: Path, kind: str):
    path = tmp_path / f"x{kind}"
    pack = gzip.compress if kind else bytes
    path.write_bytes(pack(b"a\nb\n"))
    position = steps(files.lines(path).open(next(iter(files.lines(path).splits().values())), None, context()))[-1][1]
    path.write_bytes(pack(b"a\n"))
    with pytest.raises(SourceDamaged, match="are gone"):
        LineReader(str(path), position, LineForm())
