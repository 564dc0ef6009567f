"""CSV: records are never cut inside quotes, and one that does not fit is an error of that row alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
from file_roles import context, read_all, rest, steps, write_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.connectors import files
from penstock.connectors.files import csv_reader, csv_records
from penstock.connectors.files.content import DamagedFile
from penstock.connectors.files.csv_reader import CsvReader
from penstock.connectors.files.csv_records import BrokenRow, cut_records
from penstock.connectors.files.csv_rows import FromCsv, nullable_fields

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


def test_a_record_with_too_few_or_too_many_fields_is_that_rows_error(tmp_path: Path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3\n4,5,6\n7,8\n")
    good, few, many, last = read_all(files.csv(tmp_path / "x.csv"))
    assert (good, last) == ({"a": "1", "b": "2"}, {"a": "7", "b": "8"})
    convert = FromCsv(dict[str, str])
    assert convert(good) is good
    with pytest.raises(ValueError, match=r"it has 1 fields, expected 2: \['3'\]"):
        convert(few)
    with pytest.raises(ValueError, match=r"it has 3 fields, expected 2: \['4', '5', '6'\]"):
        convert(many)


def test_a_value_that_does_not_fit_its_type_is_that_rows_error():
    with pytest.raises(msgspec.ValidationError, match="value"):
        FromCsv(Reading)({"sensor": "s", "value": "warm"})


def test_a_quote_that_is_never_closed_is_an_error_of_the_row_it_swallowed(tmp_path: Path):
    (tmp_path / "x.csv").write_text('a,b\n1,2\n3,"4\n5,6\n')
    good, broken = read_all(files.csv(tmp_path / "x.csv"))
    assert good == {"a": "1", "b": "2"}
    assert broken == BrokenRow(['3,"4\n5,6\n'], "a quote in it is never closed")


def test_a_quote_that_is_never_closed_in_a_large_file_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for module in (csv_reader, csv_records):
        monkeypatch.setattr(module, "MAX_RECORD_BYTES", 4096)
    monkeypatch.setattr(csv_reader, "BLOCK_BYTES", 1024)
    (tmp_path / "x.csv").write_text('a,b\n1,"2\n' + "5,6\n" * 5000)
    with pytest.raises(DamagedFile, match="a quote not closed"):
        read_all(files.csv(tmp_path / "x.csv"))


def test_delimiter_and_header_are_as_told(tmp_path: Path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf1;2\n3;4\n")
    assert read_all(files.csv(tmp_path / "x.csv", delimiter=";", header=False)) == [
        {"column_1": "1", "column_2": "2"},
        {"column_1": "3", "column_2": "4"},
    ]
    (tmp_path / "y.csv").write_text("s1\t2\n")
    source = files.csv(tmp_path / "y.csv", Reading, delimiter="\t", header=False)
    assert read_all(source) == [BrokenRow(["s1", "2"], "it has 2 fields, expected 4")]
    assert files.csv("x.csv", delimiter="::").check_as_sink() != []


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
