"""CSV: records are never cut inside quotes, and one that does not fit is an error of that row alone."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import msgspec
import pytest
from file_roles import context, read_all, rest, steps, write_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.connectors import files
from penstock.connectors.files import csv_reader
from penstock.connectors.files.csv_reader import CsvReader
from penstock.connectors.files.csv_records import CsvForm, cut_records
from penstock.connectors.files.csv_rows import FromCsv, nullable_fields
from penstock.errors import SourceDamaged
from penstock.source import Rejected

in_tmp = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
cells = st.text(st.sampled_from('ab",;\n é'), max_size=6)
tables = st.lists(st.lists(cells, min_size=2, max_size=2), max_size=8)


class Reading(msgspec.Struct):
    sensor: str
    value: float
    note: str | None = None
    level: int | None = None


def as_csv(records: list[list[str]], **options: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", **options).writerows(records)  # type: ignore[arg-type]
    return text.getvalue().encode()


@given(records=tables)
def test_a_cut_takes_whole_records_whatever_follows(records: list[list[str]]):
    data = as_csv(records)
    for size in range(len(data) + 1):
        cut = cut_records(data[:size], at_end=False)
        again = cut_records(data[cut.used :], at_end=True)
        assert cut.records + again.records == records


@in_tmp
@given(records=tables)
def test_a_reader_opened_at_any_position_gives_exactly_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[list[str]]
):
    monkeypatch.setattr(csv_reader, "BLOCK_BYTES", 5)
    path = tmp_path / "x.csv"
    path.write_bytes(as_csv([["a", "b"], *records]))
    all_steps = steps(CsvReader(str(path), None))
    rows = [row for given_rows, _ in all_steps for row in given_rows]
    assert rows == [dict(zip("ab", record, strict=True)) for record in records]
    done = 0
    for given_rows, position in all_steps:
        done += len(given_rows)
        assert rest(CsvReader(str(path), position)) == rows[done:]


@in_tmp
@given(rows=st.lists(st.fixed_dictionaries({"a": st.text(max_size=5), "b": st.text(max_size=5)}), min_size=1))
def test_what_the_sink_writes_the_source_reads(tmp_path: Path, rows: list[dict[str, str]]):
    sink = files.csv(tmp_path / "x.csv", if_exists="overwrite")
    write_all(sink, rows)
    assert read_all(files.csv(tmp_path / "x.csv")) == rows


def test_rows_are_made_of_texts_by_their_type(tmp_path: Path):
    (tmp_path / "x.csv").write_text("sensor,value,note,level\ns1,2.5,,\ns2,3,hot,7\n")
    source = files.csv(tmp_path / "x.csv", Reading)
    assert source.parse is not None
    rows = [source.parse.fn(row) for row in read_all(source)]
    assert rows == [Reading("s1", 2.5, "", None), Reading("s2", 3.0, "hot", 7)]


def test_empty_texts_are_none_only_where_none_and_no_text_is_allowed():
    assert nullable_fields(Reading) == ("level",)


def test_a_record_with_too_few_or_too_many_fields_is_that_rows_error_with_its_line(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,2\n3\n\n4,"5\n5",6\n7,8\n')
    good, few, many, last = read_all(files.csv(path))
    assert (good, last) == ({"a": "1", "b": "2"}, {"a": "7", "b": "8"})
    assert few == Rejected(["3"], f"{path}, line 3: it has 1 fields, expected 2")
    assert many == Rejected(["4", "5\n5", "6"], f"{path}, lines 5 to 6: it has 3 fields, expected 2")


def test_a_value_that_does_not_fit_its_type_is_that_rows_error():
    with pytest.raises(msgspec.ValidationError, match="value"):
        FromCsv(Reading)({"sensor": "s", "value": "warm"})


def test_a_quote_that_is_never_closed_is_an_error_of_its_line_and_the_lines_behind_it_are_read(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,2\n3,"4\n' + "5,6\n" * 50_000)
    good, broken, *others = read_all(files.csv(path))
    assert good == {"a": "1", "b": "2"}
    assert broken == Rejected(b'3,"4', f"{path}, line 3: a quote in it is never closed")
    assert others == [{"a": "5", "b": "6"}] * 50_000


@pytest.mark.parametrize("closing", ['7,"8"\n', '"7",8\n', '7,""\n'])
def test_a_quote_that_a_later_record_closes_by_mistake_swallows_nothing(tmp_path: Path, closing: str):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,"2\n' + "5,6\n" * 100 + closing + "9,10\n")
    broken, *others = read_all(files.csv(path))
    assert isinstance(broken, Rejected)
    assert broken.row == b'1,"2'
    assert broken.reason.startswith(f"{path}, line 2: a quote in it is ")
    assert others[:100] == [{"a": "5", "b": "6"}] * 100
    assert others[101:] == [{"a": "9", "b": "10"}]


def test_a_record_longer_than_its_bound_ends_behind_its_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_reader, "BLOCK_BYTES", 1024)
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,"2\n' + "5,6\n" * 5000 + '"7",8\n')
    broken, *others = read_all(files.csv(path, max_record="4 KiB"))
    assert broken == Rejected(b'1,"2', f"{path}, line 2: a quote in it is never closed within 4096 bytes")
    assert others == [{"a": "5", "b": "6"}] * 5000 + [{"a": "7", "b": "8"}]


def test_text_of_many_lines_in_quotes_is_one_field(tmp_path: Path):
    text = "".join(f"line {number}, or so\n" for number in range(2000))
    (tmp_path / "x.csv").write_bytes(as_csv([["a", "b"], ["1", text], ["2", "x"]]))
    assert read_all(files.csv(tmp_path / "x.csv")) == [{"a": "1", "b": text}, {"a": "2", "b": "x"}]


@settings(max_examples=60, deadline=None)
@given(records=st.lists(st.lists(st.text(st.sampled_from("ab1 é"), max_size=6), min_size=3, max_size=3), max_size=30),
       where=st.integers(0, 30))
def test_one_unclosed_quote_costs_one_record_wherever_it_stands(records: list[list[str]], where: int):
    lines = as_csv(records).splitlines(keepends=True)
    where = min(where, len(lines))
    data = b"".join([*lines[:where], b'x,"y,z\n', *lines[where:]])
    cut = cut_records(data, at_end=True, form=CsvForm(fields=3))
    good = [record for record in cut.records if isinstance(record, list)]
    assert good == records
    assert (len(cut.records), cut.used, cut.lines) == (len(records) + 1, len(data), len(records) + 1)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a,b\r1,2\r3,4\r", "carriage return only"),
        (b"a,a\n1,2\n", "names column 'a' twice"),
        (b'a,"b\n1,2\n', "the header cannot be read"),
        ("größe,b\n1,2\n".encode("latin-1"), "the header cannot be read: it is not utf-8"),
        ("a,b\n1,2\n".encode("utf-16"), 'pass encoding="utf-16"'),
        (__import__("gzip").compress(b"a,b\n1,2\n"), "rename it to end in .gz"),
    ],
    ids="returns twice quote latin utf-16 gzip".split(),
)
def test_a_file_whose_header_cannot_be_read_is_damaged(tmp_path: Path, data: bytes, what: str):
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(SourceDamaged, match=re.escape(what)):
        read_all(files.csv(tmp_path / "x.csv"))


def test_bytes_that_are_not_the_encoding_are_that_records_error(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes("id,name\n1,Müller\n2,Smith\n".encode("latin-1") + "3,Möller\n".encode())
    first, *others = read_all(files.csv(path))
    assert isinstance(first, Rejected)
    assert first.row == "1,Müller".encode("latin-1")
    assert first.reason.startswith(f"{path}, line 2: it is not utf-8 (")
    assert others == [{"id": "2", "name": "Smith"}, {"id": "3", "name": "Möller"}]
    assert read_all(files.csv(path, errors="replace"))[0] == {"id": "1", "name": "M\ufffdller"}
    with pytest.raises(SourceDamaged, match="line 2: it is not utf-8"):
        read_all(files.csv(path, errors="fail"))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gbk", "utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
def test_csv_is_read_in_the_encoding_that_is_told(tmp_path: Path, encoding: str):
    name = "中文" if encoding == "gbk" else "Größe, ½"
    (tmp_path / "x.csv").write_bytes(f'id,"{name}"\n1,"x\ny"\n'.encode(encoding))
    assert read_all(files.csv(tmp_path / "x.csv", encoding=encoding)) == [{"id": "1", name: "x\ny"}]


def test_delimiter_and_header_are_as_told(tmp_path: Path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf1;2\n3;4\n")
    assert read_all(files.csv(tmp_path / "x.csv", delimiter=";", header=False)) == [
        {"column_1": "1", "column_2": "2"},
        {"column_1": "3", "column_2": "4"},
    ]
    (tmp_path / "y.csv").write_text("s1\t2\n")
    source = files.csv(tmp_path / "y.csv", Reading, delimiter="\t", header=False)
    assert read_all(source) == [Rejected(["s1", "2"], f"{tmp_path}/y.csv, line 1: it has 2 fields, expected 4")]
    assert files.csv("x.csv", delimiter="::").check_sink() != []


def test_each_file_has_its_own_header(tmp_path: Path):
    (tmp_path / "a.csv").write_text('\ufeff"a,x",b\n1,2\n')
    (tmp_path / "b.csv").write_text("b,a\n3,4\n")
    assert read_all(files.csv(tmp_path / "*.csv")) == [{"a,x": "1", "b": "2"}, {"b": "3", "a": "4"}]


def test_an_empty_file_has_no_rows(tmp_path: Path):
    (tmp_path / "x.csv").write_text("")
    assert read_all(files.csv(tmp_path / "x.csv")) == []


def test_a_source_is_opened_in_its_split(tmp_path: Path):
    (tmp_path / "x.csv.gz").write_bytes(__import__("gzip").compress(b"a\n1\n2\n"))
    source = files.csv(tmp_path / "x.csv.gz")
    (split,) = source.splits().values()
    assert rest(source.open(split, None, context())) == [{"a": "1"}, {"a": "2"}]
