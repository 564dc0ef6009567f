"""A bank whose money is watched: transfers between accounts pass two stages, and the sum over all accounts is zero.

    transfers -> debit (by payer) -> credit (by payee) -> what each account has been told

Each account's balance is state. At the end of the input `debit` sends what each payer has given, and `credit` takes it
off. So the balances of any cut can be checked: resume there, end the input at once, and look at what was written.

One *run* is a small bank with a life of its own: workers, supervisors and checkpointers are killed or paused, the
machine is lost, the pipeline is stopped, drained and resumed, and the number of workers changes, all as a seed has it.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from chaos_harness import failed, kill, lose_the_machine, processes_of, workers_of

import penstock as ps
from penstock.connectors import files
from penstock.metrics.checkpoint_state import read_state
from penstock.plan.paths import RunPaths
from penstock.source import EndOfSplit, Position, Reader, Source

ACCOUNTS = 97
REFUSED = 211
"""Of so many transfers `credit` refuses the first: its amount goes to a dead letter."""
AT_A_TIME = 50
GIVE_UP_S = 240.0
OUTLIVES = ("store", "told.jsonl")
"""What is left of a machine that is lost."""


class Transfer(msgspec.Struct, frozen=True):
    id: int
    payer: int
    payee: int
    amount: int


class Given(msgspec.Struct, frozen=True):
    """What a payer has given, in all; sent once, at the end."""

    payee: int
    given: int


class Told(msgspec.Struct, frozen=True):
    """What an account was told: of a transfer (`id`), or at the end of everything (-1)."""

    id: int
    account: int
    balance: int
    noise: float


def transfer(number: int) -> Transfer:
    return Transfer(number, number * 31 % ACCOUNTS, (number * 17 + number // 7) % ACCOUNTS, number % 89 + 1)


# The pipeline.


@dataclass(frozen=True)
class Transfers(Source[Transfer]):
    """Transfer 0, 1, 2, ... until `enough` says how many there are, or nobody has to wait for more."""

    enough: Path
    pause_s: float

    @property
    def row_type(self) -> Any:
        return Transfer

    def open(self, split: Any, position: Position | None, context: ps.Context) -> Reader[Transfer]:
        return _Transfers(self, position or 0)


class _Transfers(Reader[Transfer]):
    def __init__(self, source: Transfers, next_number: int) -> None:
        self._source, self._next = source, next_number

    def read(self) -> list[Transfer]:
        if self._source.enough.exists():
            raise EndOfSplit
        select.select([], [], [], self._source.pause_s)
        first, self._next = self._next, self._next + AT_A_TIME
        return [transfer(number) for number in range(first, self._next)]

    def position(self) -> Position:
        return self._next


class Payer(ps.KeyState):
    given = ps.ValueState(0)


class Debit:
    def __call__(self, row: Transfer, state: Payer) -> Iterator[Transfer | Given]:
        state.given += row.amount
        yield row

    def on_end(self, state: Payer) -> Iterator[Transfer | Given]:
        yield Given(state.key, state.given)


class Account(ps.KeyState):
    balance = ps.ValueState(0)
    transfers = ps.ListState(int)


class Credit:
    def __call__(self, row: Transfer | Given, state: Account) -> Iterator[Told]:
        if isinstance(row, Given):
            state.balance -= row.given
            return
        state.balance += row.amount
        state.transfers.append(row.id)
        if row.id % REFUSED == 0:
            raise ValueError("the account is closed")
        yield Told(row.id, row.payee, state.balance, random.random())

    def on_end(self, state: Account) -> Iterator[Told]:
        yield Told(-1, state.key, state.balance, len(state.transfers))


def bank(name: str, folder: Path, *, pause_s: float, debit: int, credit: int) -> ps.Pipeline:
    app = ps.Pipeline(name)
    edge = ps.Edge(batch_rows=64, linger="1ms")
    transfers = app.source(Transfers(folder / "enough", pause_s), name="transfers")
    debited = transfers.stage("debit", workers=debit, edge=edge, max_restarts="100000/m").key_by("payer").process(Debit)
    credited = debited.stage("credit", workers=credit, edge=edge, max_restarts="100000/m").key_by("payee")
    credited.process(Credit).sink(files.json_lines(folder / "told.jsonl"), name="told")
    return app


# What must hold at the end, and of each cut.


def audit(folder: Path, letters: list[int]) -> int:
    """How many transfers were made; AssertionError: money came from nowhere, or has gone."""
    with (folder / "told.jsonl").open() as lines:
        told = [json.loads(line) for line in lines]
    ends = {row["account"]: row["balance"] for row in told if row["id"] < 0}
    assert len(ends) == sum(row["id"] < 0 for row in told), "an account was closed twice"
    made = Counter(row["id"] for row in told if row["id"] >= 0)
    assert set(made.values()) <= {1}, f"told twice: {[n for n, times in made.items() if times > 1][:10]}"
    assert len(set(letters)) == len(letters), "a letter stands twice"
    count = len(made) + len(letters)
    both, last = {*made} & {*letters}, max([*made, *letters], default=-1)
    missing = sorted({*range(last + 1)} - {*made} - {*letters})
    assert not both, f"written and set aside: {sorted(both)[:10]}"
    assert not missing, f"{len(missing)} of {last + 1} are missing: {missing[:10]}"
    assert all(number % REFUSED == 0 for number in letters)
    balances: dict[int, int] = defaultdict(int)
    for number in range(count):
        row = transfer(number)
        balances[row.payer] -= row.amount
        balances[row.payee] += row.amount * (number % REFUSED != 0)
    assert ends == {account: balances[account] for account in balances}
    lost = sum(transfer(number).amount for number in letters)
    assert sum(ends.values()) == -lost
    return count


# A life, and what befalls it.


@dataclass
class Run:
    """One small bank: lives until it has seen enough, then it is audited."""

    folder: Path
    seed: int
    rescale: bool = True
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.name = f"bank-{self.seed}"
        self.workers = (self.chance.randint(1, 3), self.chance.randint(1, 3))
        self.deadline = time.monotonic() + GIVE_UP_S

    def survive(self, lives: int) -> int:
        """How many transfers were made."""
        for _ in range(lives):
            self.live()
        kept = self.keep_a_checkpoint()
        (self.folder / "enough").touch()
        self.finish(self.start())
        count = audit(self.folder, self.letters())
        if kept is not None:
            self.go_back(kept)
            self.finish(self.start())
            audit(self.folder, self.letters())
            self.happened["cuts audited"] += 1
        return count

    def start(self) -> ps.Handle:
        return bank(
            self.name, self.folder, pause_s=self.chance.choice([0.0, 0.001, 0.01]), debit=self.workers[0],
            credit=self.workers[1],
        ).start(
            run_dir=self.folder / "run", state_dir=self.folder / "state",
            checkpoint=ps.checkpoint(self.folder / "store", every=self.chance.choice(["20ms", "50ms", "200ms"])),
        )

    def live(self) -> None:
        handle = self.start()
        self.disturb(handle)
        end = self.chance.choice(["machine lost", "machine lost", "supervisor killed", "stopped", "drained"])
        self.happened[end] += 1
        if end == "machine lost":
            self.until_checkpoint(handle)
            lose_the_machine(handle)
        elif end == "supervisor killed":
            kill(handle.supervisor_pid)
            failed(handle)
        else:
            (handle.stop if end == "stopped" else handle.drain)()
        if self.rescale and end != "supervisor killed" and self.chance.random() < 0.5:
            self.workers = (self.chance.randint(1, 3), self.chance.randint(1, 3))
            self.happened["workers changed"] += 1

    def disturb(self, handle: ps.Handle) -> None:
        """Kill and stop workers and the checkpointer."""
        for _ in range(self.chance.randint(0, 6)):
            select.select([], [], [], self.chance.random() * 0.15)
            victims = [
                *workers_of(handle.run_dir),
                *(pid for pid, command in processes_of(handle.run_dir).items() if "checkpointer" in command),
            ]
            if not victims:
                continue
            pid = self.chance.choice(victims)
            if self.chance.random() < 0.8:
                kill(pid)
                self.happened["killed"] += 1
            else:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                select.select([], [], [], self.chance.random() * 0.1)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                self.happened["paused"] += 1

    def until_checkpoint(self, handle: ps.Handle) -> None:
        """A machine that is lost before there is a checkpoint is one that has not begun."""
        while (state := read_state(RunPaths(handle.run_dir).checkpoint_state)) is None or not state.id:
            assert time.monotonic() < self.deadline, f"no checkpoint: {handle.status().to_json()}"
            select.select([], [], [], 0.005)

    def finish(self, handle: ps.Handle) -> None:
        report = handle.wait(timeout=f"{GIVE_UP_S}s")
        assert report.outcome == "finished", report

    def keep_a_checkpoint(self) -> Path | None:
        """What outlives the machine, as it is now; None: there is nothing newer than what a stop has left."""
        if not (self.folder / "store").is_dir() or (self.folder / "state" / "positions").exists():
            return None
        kept = self.folder / "kept"
        kept.mkdir()
        for name in OUTLIVES:
            copy(self.folder / name, kept / name)
        return kept

    def go_back(self, kept: Path) -> None:
        """To the machine as it was then; the run that went on from there never was."""
        for name in ("run", "state", *OUTLIVES):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).unlink(missing_ok=True)
        for name in OUTLIVES:
            copy(kept / name, self.folder / name)

    def letters(self) -> list[int]:
        return [letter.row.id for letter in ps.read_dead_letters(self.name, state_dir=self.folder / "state")]


def copy(what: Path, to: Path) -> None:
    """A file, a folder, or nothing."""
    if what.is_dir():
        shutil.copytree(what, to)
    elif what.exists():
        shutil.copy(what, to)
