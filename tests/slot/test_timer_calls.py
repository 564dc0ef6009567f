"""Time-outs cost nothing per row: the timer is set once before a batch, and once behind it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from penstock.operator import Context
from penstock.operators.map import Map
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.user_code.chain import Chain

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """System calls by which timers and signals are set."""
    made: list[str] = []
    before = signal.getsignal(signal.SIGALRM)
    for name in ("setitimer", "signal", "alarm", "pthread_sigmask"):
        real = getattr(signal, name)
        monkeypatch.setattr(signal, name, lambda *args, name=name, real=real: (made.append(name), real(*args))[1])
    yield made
    monkeypatch.undo()
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("rows", [1, 5000])
def test_the_timer_is_set_per_batch_and_not_per_row(calls: list[str], rows: int) -> None:
    chain = Chain([Node(Map(lambda row: row, ""), -1)], [0], label="s", timer=RowTimer(60.0, lambda since_ns: None))
    chain.open(CONTEXT)
    out = Out()
    calls.clear()
    assert chain.run(list(range(rows)), [out]) == []
    assert out.rows == list(range(rows))
    assert sorted(calls) == ["setitimer", "setitimer", "signal"]
