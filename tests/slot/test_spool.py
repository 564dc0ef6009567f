"""Programs whose rows stand in files give what those in memory give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.operators.filter import Filter
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.slot.output import spool as spool_module
from penstock.slot.output.expansion import Expansion
from penstock.slot.output.spool import Spool
from penstock.slot.user_code.row_program import ProgramNode, compile_program


def _count(n: int) -> Iterator[int]:
    yield from range(n)


def _double(n: int) -> int:
    return 2 * n


def _is_kept(n: int) -> bool:
    return n % 3 > 0


def _twice(n: int) -> Iterator[int]:
    yield n
    yield -n


OPERATORS = [FlatMap(_count, ""), Map(_double, ""), Filter(_is_kept, ""), FlatMap(_twice, "")]
NODES = [ProgramNode(operator, parent, operator.fn) for parent, operator in enumerate(OPERATORS, -1)]


def _spool(folder: Path) -> Spool:
    return Spool(folder, 0, Expansion("many", 1 << 30, lambda: "key"))


def _read(spool: Spool, name: str) -> list[Any]:
    rows: list[Any] = []
    offset = 0
    while (chunk := spool.chunk(name, offset)) is not None:
        rows += chunk[0]
        offset = chunk[1]
    return rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.integers(0, 400), st.integers(1, 2000))
def test_a_row_gives_the_same_wherever_its_rows_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: int, memory: int
) -> None:
    monkeypatch.setattr(spool_module, "IN_MEMORY_BYTES", memory)
    leaves = [0, 2, 3]
    plain: list[list[Any]] = [[] for _ in leaves]
    compile_program(NODES, leaves, "plain").run(iter([row]), *plain)
    spool = _spool(tmp_path)
    given: list[list[Any]] = [[] for _ in leaves]
    spool.begin()
    compile_program(NODES, leaves, "spooled", spool=spool).run(iter([row]), *given)
    for spilled in spool.end(failed=False):
        given[spilled.leaf] += _read(spool, spilled.name)
    assert given == plain
    spool.clean(())
    assert not list(tmp_path.iterdir())


def test_rows_of_neighbours_are_not_put_into_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "IN_MEMORY_BYTES", 100)
    spool = _spool(tmp_path)
    program = compile_program(NODES, [3], "spooled", spool=spool)
    out: list[Any] = []
    with pytest.raises(spool_module.GivesTooMuch):
        program.run(iter([2, 1000, 2]), out)
    assert out == [2, -2]
    assert not list(tmp_path.iterdir())


def test_text_is_not_an_iterable_of_rows(tmp_path: Path) -> None:
    program = compile_program([ProgramNode(FlatMap(str, ""), -1, str)], [0], "text", spool=_spool(tmp_path))
    with pytest.raises(TypeError, match="return an iterable of rows"):
        program.run(iter([1]), [])
