"""`scan`: a state for each key, with which rows that fail have nothing to do."""

from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock import testing
from penstock.batch import Batch, rows_of
from penstock.errors import PipelineInvalid
from penstock.operator import Context
from penstock.sink import Position, RowsRejected, Sink, Writer


class Account(msgspec.Struct):
    balance: int
    moves: list[int] = []


@dataclasses.dataclass
class Seen:
    first: datetime
    count: int


Move = tuple[str, int]


def key_of(move: Move) -> str:
    return move[0]


def add(total: int, move: Move) -> tuple[int, tuple[str, int]]:
    return total + move[1], (move[0], total + move[1])


def book(account: Account, move: Move) -> tuple[Account, tuple[str, int, int]]:
    """Changes the state in place, and then may fail."""
    account.balance += move[1]
    account.moves.append(move[1])
    if move[1] % 7 == 3:
        raise ValueError("half-way")
    return account, (move[0], account.balance, len(account.moves))


def choosy(row: tuple[Any, ...]) -> tuple[Any, ...]:
    if row[1] % 5 == 4:
        raise ValueError("later")
    return row


def _sums(moves: list[Move]) -> list[tuple[str, int]]:
    totals: dict[str, int] = {}
    rows = []
    for key, amount in moves:
        if (totals.get(key, 0) + amount) % 5 != 4:
            totals[key] = totals.get(key, 0) + amount
            rows.append((key, totals[key]))
    return rows


def _booked(moves: list[Move]) -> list[tuple[str, int, int]]:
    accounts: dict[str, list[int]] = {}
    rows = []
    for key, amount in moves:
        moved = [*accounts.get(key, []), amount]
        if amount % 7 != 3 and sum(moved) % 5 != 4:
            accounts[key] = moved
            rows.append((key, sum(moved), len(moved)))
    return rows


moves = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=40)


def _app(initial: Any, fn: Any, **stage: Any) -> ps.Pipeline:
    app = ps.Pipeline("accounts")
    work = app.source([("a", 1)], name="moves").stage("work", **stage)
    work.key_by(key_of).scan(initial, fn).map(choosy).sink(ps.discard(), name="out")
    return app


@given(moves)
def test_a_row_that_fails_later_on_leaves_the_state_of_its_key_as_it_was(given_moves: list[Move]) -> None:
    app = _app(0, add, on_error=ps.dead_letter(give_up_after=None))
    assert testing.run(app, {"moves": given_moves}).outputs["out"] == _sums(given_moves)


@given(moves)
def test_a_state_that_was_changed_in_place_is_taken_back_too(given_moves: list[Move]) -> None:
    app = _app(Account(0, []), book, on_error=ps.dead_letter(give_up_after=None))
    outcome = testing.run(app, {"moves": given_moves})
    assert outcome.outputs["out"] == _booked(given_moves)
    assert len(outcome.dead_letters) == len(given_moves) - len(_booked(given_moves))


def test_retried_rows_find_the_state_as_it_is_by_then() -> None:
    failing = [2]

    def sometimes(row: tuple[str, int]) -> tuple[str, int]:
        if row[1] == 1 and failing[0]:
            failing[0] -= 1
            raise ValueError("not now")
        return row

    app = ps.Pipeline("accounts")
    work = app.source([("a", 1)], name="moves").stage("work", retries=5, retry_delay="10ms")
    work.key_by(key_of).scan(0, add).map(sometimes).sink(ps.discard(), name="out")
    outcome = testing.run(app, {"moves": [("a", 1), ("a", 5), ("a", 10)]})
    assert outcome.outputs["out"][-1] == ("a", 16)
    assert not outcome.dead_letters


def test_keys_are_fields_of_dicts_and_structs_and_results_of_functions() -> None:
    def count(n: int, row: Any) -> tuple[int, int]:
        return n + 1, n + 1

    for key, rows in [("balance", [Account(1), Account(1), Account(2)]), ("k", [{"k": 1}, {"k": 1}, {"k": 2}])]:
        app = ps.Pipeline("counts")
        app.source([rows[0]], name="rows").stage("work").key_by(key).scan(0, count).sink(ps.discard(), name="out")
        assert testing.run(app, {"rows": rows}).outputs["out"] == [1, 2, 1]


def first_seen(seen: Seen | None, row: Move) -> tuple[Seen, tuple[str, int]]:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=row[1])
    if seen is None:
        seen = Seen(moment, 0)
    seen.count += 1
    return seen, (row[0], int((moment - seen.first).total_seconds()))


def ring(last: tuple[int, ...], row: Move) -> tuple[tuple[int, ...], tuple[str, int]]:
    last = (*last, row[1])[-3:]
    return last, (row[0], sum(last))


def tally(counts: dict[int, int], row: Move) -> tuple[dict[int, int], tuple[str, int]]:
    counts[row[1]] = counts.get(row[1], 0) + 1
    return counts, (row[0], counts[row[1]])


@pytest.mark.parametrize(("initial", "fn"), [(None, first_seen), ((), ring), ({}, tally), (Account(0, []), book)])
def test_states_of_every_kind_outlive_killed_workers(initial: Any, fn: Any) -> None:
    rows = [("abcdefgh"[n % 8], n * 7 % 5) for n in range(2000)]
    app = ps.Pipeline("kinds")
    work = app.source([("a", 1)], name="moves").stage("work", edge=ps.Edge(batch_rows=100)).key_by(key_of)
    work.scan(initial, fn).sink(ps.discard(), name="out")
    without = testing.run(app, {"moves": rows}).outputs["out"]
    for at in ("before_commit", "after_commit"):
        killed = testing.run(app, {"moves": rows}, processes=True, crashes=[testing.crash("work", at=at, row=700)])
        assert killed.report.stages["work"].restarts == 1
        assert killed.outputs["out"] == without


def lock_for_some(state: Any, row: Move) -> tuple[Any, Move]:
    return (threading.Lock() if row[1] == 7 else row[1]), row


@pytest.mark.parametrize("processes", [False, True])
def test_a_value_that_cannot_be_stored_is_the_failure_of_its_row(processes: bool) -> None:
    app = ps.Pipeline("locks")
    work = app.source([("a", 1)], name="moves").stage("work")
    work.key_by(key_of).scan(0, lock_for_some).sink(ps.discard(), name="out")
    rows = [("ab"[n % 2], n) for n in range(8)]
    outcome = testing.run(app, {"moves": rows}, processes=processes)
    assert outcome.outputs["out"] == [row for row in rows if row[1] != 7]
    (letter,) = outcome.dead_letters
    assert letter.row == ("b", 7)
    assert "the state of 'b' cannot be stored" in letter.error and "scan in stage 'work'" in letter.operator


class Picky(Sink[Any]):
    """Refuses some rows, at once or when it flushes."""

    label = "picky"

    def __init__(self, path: Path, late: bool) -> None:
        self.path = path
        self.late = late

    def writer(self, position: Position | None, context: Context) -> Writer[Any]:
        return (_LateWriter if self.late else _PickyWriter)(self.path, position)


class _PickyWriter(Writer[Any]):
    def __init__(self, path: Path, position: Any) -> None:
        self.path = path
        self.path.touch()
        with path.open("r+") as file:
            file.truncate(position or 0)

    def write(self, batch: Batch[Any]) -> None:
        rows = rows_of(batch)
        refused = {index: "no" for index, row in enumerate(rows) if row[1] % 5 == 4}
        with self.path.open("a") as file:
            file.writelines(f"{row[0]} {row[1]}\n" for index, row in enumerate(rows) if index not in refused)
        if refused:
            raise RowsRejected(refused)

    def position(self) -> Position:
        return self.path.stat().st_size


class _LateWriter(_PickyWriter):
    def __init__(self, path: Path, position: Any) -> None:
        super().__init__(path, position)
        self.rows: list[Any] = []

    def write(self, batch: Batch[Any]) -> None:
        self.rows += rows_of(batch)

    def flush(self) -> None:
        rows, self.rows = self.rows, []
        super().write(rows)


@pytest.mark.parametrize("late", [False, True], ids=["refuses at once", "refuses when it flushes"])
def test_a_row_that_a_fused_sink_refuses_leaves_the_state_as_it_was(late: bool, tmp_path: Path) -> None:
    app = ps.Pipeline("picky")
    rows = [("ab"[n % 2], n * 3 % 11) for n in range(300)]
    work = app.source(rows, name="moves").stage("work").key_by(key_of).scan(0, add)
    work.sink(Picky(tmp_path / "out", late), fused=True)
    report = app.run(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    assert [(line[0], int(line[2:])) for line in (tmp_path / "out").read_text().splitlines()] == _sums(rows)
    assert report.dead_letters == len(rows) - len(_sums(rows))


def _mistakes(initial: Any, fn: Any) -> str:
    app = ps.Pipeline("wrong")
    app.source([("a", 1)]).stage("work").key_by(key_of).scan(initial, fn).sink(ps.discard())
    with pytest.raises(PipelineInvalid) as raised:
        app.plan()
    return str(raised.value)


def test_what_is_wrong_with_a_scan_is_told_before_anything_runs() -> None:
    def one(state: int) -> tuple[int, int]:
        return state, state

    def no_pair(state: int, row: Move) -> int:
        return state

    async def later(state: int, row: Move) -> tuple[int, int]:
        return state, 1

    assert "scan(one) takes one argument, but is called with two, the state and the row" in _mistakes(0, one)
    assert "scan(no_pair) returns int, but must return the state and the row" in _mistakes(0, no_pair)
    assert "scan(add) takes a state that is int, but the first one is str" in _mistakes("", add)
    assert "scan(later) is async" in _mistakes(0, later)


def test_coroutines_in_a_stage_with_state_are_a_mistake() -> None:
    async def later(row: tuple[str, int]) -> tuple[str, int]:
        return row

    app = ps.Pipeline("wrong")
    app.source([("a", 1)]).stage("work").key_by(key_of).scan(0, add).map(later).sink(ps.discard())
    with pytest.raises(PipelineInvalid, match=r"map\(later\) is a coroutine, .* in the stage of scan\(add\)"):
        app.plan()
