"""The workloads of the benchmarks: the same events each time, the same rows whichever way they are computed."""

from __future__ import annotations

import json
import zlib
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import msgspec
import polars
import pyarrow
import pyarrow.json
import pyarrow.parquet
import pytest
from workloads import checksum, columns, events, functions, pacing, typed

ROWS = 500
LINES = [line.encode() for line in islice(events.made_up(), ROWS)]


@pytest.fixture(scope="module")
def visits() -> list[dict[str, Any]]:
    return [functions.all_of_it(line) for line in LINES]


def test_the_events_are_the_same_each_time() -> None:
    assert zlib.crc32(b"".join(LINES)) == 0xB71E4021
    assert [line.encode() for line in islice(events.made_up(), ROWS)] == LINES


def test_typed_rows_give_what_dicts_give(visits: list[dict[str, Any]]) -> None:
    decode = msgspec.json.Decoder(typed.Event).decode
    scored = [typed.score(typed.enrich(typed.normalise(decode(line)))) for line in LINES]
    assert [msgspec.structs.asdict(visit) for visit in scored] == visits


def test_polars_gives_what_dicts_give(visits: list[dict[str, Any]]) -> None:
    read = polars.read_ndjson(b"".join(LINES), schema=columns.polars_schema())
    assert checksum.of_rows(columns.polars_query(read.lazy()).collect().to_dicts()) == checksum.of_rows(visits)


def test_arrow_gives_what_dicts_give(visits: list[dict[str, Any]]) -> None:
    [batch] = pyarrow.json.read_json(pyarrow.BufferReader(b"".join(LINES))).combine_chunks().to_batches()
    assert checksum.of_rows(columns.arrow_query(batch).to_pylist()) == checksum.of_rows(visits)


def test_a_checksum_does_not_depend_on_order_or_on_the_form_of_the_file(
    visits: list[dict[str, Any]], tmp_path: Path
) -> None:
    lines, table = tmp_path / "visits.jsonl", tmp_path / "parts" / "visits.parquet"
    table.parent.mkdir()
    lines.write_text("".join(json.dumps(visit) + "\n" for visit in reversed(visits)))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(visits), table)
    assert checksum.of_output(lines) == checksum.of_output(table.parent) == checksum.of_rows(visits)


@pytest.mark.parametrize("name", [*checksum.FIELDS, "score"])
def test_a_checksum_sees_a_change_in_any_field(visits: list[dict[str, Any]], name: str) -> None:
    value = visits[7][name]
    other = value + "x" if isinstance(value, str) else value + 0.00001
    changed = [*visits[:7], {**visits[7], name: other}, *visits[8:]]
    assert checksum.of_rows(changed) != checksum.of_rows(visits)


def test_a_checksum_sees_a_row_that_comes_twice_in_place_of_another(visits: list[dict[str, Any]]) -> None:
    found = checksum.of_rows([*visits[:-1], visits[0]])
    assert (found.rows, found.distinct) == (ROWS, ROWS - 1)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.9, 90), (0.99, 99), (0.999, 100), (1.0, 100), (0.001, 1)]
)
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share: float, expected: int) -> None:
    assert pacing.percentile(range(1, 101), share) == expected


def test_an_event_is_stamped_with_when_it_was_due_however_late_it_got_out() -> None:
    stamps = [due for _, due in pacing.paced(rate=1_000_000, seconds=0.001)]
    assert [later - earlier for earlier, later in pairwise(stamps)] == [1000] * 999
