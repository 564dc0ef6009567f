"""What the damage tests share: kinds of damage, and a run that was killed with everything in it full."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import penstock as ps
from penstock.connectors import files
from penstock.engine.engine import run, start
from penstock.engine.handle import Handle
from penstock.metrics.catalogue import Activity, Word
from penstock.metrics.snapshot import take_snapshot

LONG_MODE_S = float(os.environ.get("PENSTOCK_CHAOS_SECONDS", "0"))
"""As with the chaos tests: so long, instead of as short as in CI."""
SEED = int(os.environ.get("PENSTOCK_CHAOS_SEED", "1"))
BOUND_S = 30.0
"""What takes longer is a hang."""


# Damage.


def _flipped(path: Path, rng: random.Random) -> None:
    """One bit; in the first 512 bytes, where the meaning is dense, as often as anywhere."""
    data = bytearray(path.read_bytes())
    if data:
        at = rng.randrange(min(len(data), rng.choice([512, len(data)])))
        data[at] ^= 1 << rng.randrange(8)
        _overwrite(path, data)


def _scribbled(path: Path, rng: random.Random) -> None:
    """A run of bytes that mean nothing."""
    data = bytearray(path.read_bytes())
    if data:
        at = rng.randrange(min(len(data), rng.choice([512, len(data)])))
        junk = rng.randbytes(rng.choice([8, 64, 512]))[: len(data) - at]
        data[at : at + len(junk)] = junk
        _overwrite(path, data)


def _overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:  # in place: whoever has it mapped sees it
        file.write(data)


def _cut_by_one(path: Path, rng: random.Random) -> None:
    os.truncate(path, max(path.stat().st_size - 1, 0))


def _longer(path: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(100))


def _directory(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "bits flipped": _flipped,
    "bytes overwritten": _scribbled,
    "cut to nothing": lambda path, rng: os.truncate(path, 0),
    "cut to half": lambda path, rng: os.truncate(path, path.stat().st_size // 2),
    "cut by a byte": _cut_by_one,
    "made longer": _longer,
    "removed": lambda path, rng: path.unlink(),
    "a directory instead": _directory,
}
ONLY_FILES = {"bits flipped", "bytes overwritten", "cut to nothing", "cut to half", "cut by a byte", "made longer"}
"""What cannot be done to a pipe."""

KINDS = {
    "manifest": r"manifest\.json",
    "splits": r"splits",
    "membership": r"membership",
    "queue": r"queues/[^/]*\.\d+-\d+",
    "side file": r"queues/.*\.side-\d+",
    "journal": r"slots/.*/journal",
    "retry file": r"slots/.*/retries\.\d+",
    "dead letters": r"\.\./\.\./state/dead-letters/.*\.dl",
    "page": r"slots/.*\.page",
    "work page": r"slots/.*/work",
    "bell": r"slots/.*/bell",
    "bell's word": r"slots/.*/bell\.asleep",
    "control": r"control",
    "lifeline": r"lifeline",
    "pipes": r"slots/.*/(log|stdout)",
    "failure note": r"slots/.*/failure",
    "layout": r"layout\.json",
    "phase": r"phase",
    "plan": r"plan\.pickle",
    "spec": r"spec",
    "lock": r"lock|slots/.*/lock",
    "last error": r"last_error/.*",
    "claims": r"claims",
}
"""Every kind of file that a killed run leaves, by its name in the run directory."""


HOLD_ROWS = {"retry file", "dead letters"}
"""Of these, those of slots that have something in them."""


# A run that is killed when its queues are full.

PAD_BYTES = 1000
ROWS = 4000
BAD = frozenset(range(7, ROWS, 40))
LATE = frozenset(range(13, 400, 40))
"""They fail until the run is killed: so they wait in the retry file."""
HUGE = 650
"""What it gives is larger than its queue: so it waits in a side file."""
HELD = 600
FILLER = "f" * 4_000
"""Rows from here on stop in the stage before the sink until the run is killed."""


@dataclass(frozen=True)
class Numbers:
    """A source function."""

    def __call__(self) -> Iterator[dict[str, Any]]:
        return ({"n": n, "pad": f"{n:05}" * (PAD_BYTES // 5)} for n in range(ROWS))


@dataclass(frozen=True)
class Work:
    killed: Path

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        n = row["n"]
        if n in BAD:
            raise ValueError(f"{n} is bad")
        if n in LATE and not self.killed.exists():
            raise OSError("not yet")
        return {"n": n, "pad": "h" * 700_000} if n == HUGE else row


@dataclass(frozen=True)
class Hold:
    killed: Path
    never: Path
    """A pipe that nobody writes to."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["n"] >= HELD and not self.killed.exists():
            self.never.open("rb").read(1)
        return {"n": row["n"], "size": len(row["pad"]), "filler": FILLER}


EXPECTED = sorted(
    (n, 700_000 if n == HUGE else PAD_BYTES) for n in range(ROWS) if n not in BAD
)


class Stand:
    """A pipeline in a place of its own, and what a killed run left there; restored before each damage."""

    def __init__(self, base: Path) -> None:
        self.place = base / "place"
        self.killed = base / "killed"
        self._saved = base / "saved"
        self.never = base / "never"
        self.handles: list[Handle] = []
        self.kept: list[int] = []
        """Descriptors that tests hold open."""
        os.mkfifo(self.never)
        (self.place / "out").mkdir(parents=True)

    def pipeline(self) -> ps.Pipeline:
        edge = ps.Edge(memory="1 MiB", batch_rows=50)
        app = ps.Pipeline("damaged")
        work = app.source(Numbers(), name="numbers").stage(
            "work", workers=2, edge=edge, retries=1000, retry_delay="50ms", on_error=ps.dead_letter(give_up_after=None)
        )
        held = work.map(_deciding(Work(self.killed))).stage("hold", edge=edge).map(Hold(self.killed, self.never))
        # What a frame of rows becomes is more than a quarter of this queue, which ends a turn: the first rows that
        # `hold` is through with arrive, whatever holds it up then.
        short = ps.Edge(memory="512 KiB", batch_rows=10)
        held.sink(files.json_lines(str(self.place / "out" / "rows.jsonl")), name="out", edge=short)
        return app

    @property
    def where(self) -> dict[str, Any]:
        return {"run_dir": self.place / "run", "state_dir": self.place / "state"}

    @property
    def run_dir(self) -> Path:
        [found] = [path for path in (self.place / "run").iterdir() if not path.name.startswith(".")]
        return found

    def start(self, *, fresh: bool = False) -> Handle:
        return start(self.pipeline().plan(), fresh=fresh, **self.where)

    def fill_and_kill(self) -> None:
        """Start it, wait until everything is full, kill the supervisor; keep what it leaves."""
        handle = self.start()
        wait_until(lambda: is_full(handle), handle)
        os.kill(handle.supervisor_pid, signal.SIGKILL)
        handle.wait_a_while(BOUND_S)
        self.killed.touch()
        subprocess.run(["cp", "-a", self.place, self._saved], check=True)

    def restore(self) -> None:
        shutil.rmtree(self.place)
        subprocess.run(["cp", "-a", self._saved, self.place], check=True)

    def files(self, kind: str) -> list[Path]:
        """Files of a kind that are there now."""
        there = [*self.run_dir.rglob("*"), *(self.place / "state").rglob("*.dl")]
        named = {os.path.relpath(path, self.run_dir): path for path in there if not path.is_dir()}
        return [
            named[name] for name in sorted(named)
            if re.fullmatch(KINDS[kind], name) and (kind not in HOLD_ROWS or named[name].stat().st_size)
        ]

    def run_again(self, *, fresh: bool = False) -> Outcome:
        """Take over what is there, as a user would; what came of it. Bounded by the tests' time limit."""
        began = time.monotonic()
        try:
            report = run(self.pipeline().plan(), fresh=fresh, progress=False, **self.where)
        except ps.PipelineFailed as failed:
            return Outcome("failed", str(failed), failed.traceback, time.monotonic() - began, None)
        except ps.PenstockError as refused:
            return Outcome("refused", str(refused), "", time.monotonic() - began, None)
        return Outcome("finished", "", "", time.monotonic() - began, report)

    def rows(self) -> list[tuple[int, int]]:
        decode = msgspec.json.Decoder().decode
        lines = (self.place / "out" / "rows.jsonl").read_bytes().splitlines()
        return sorted((row["n"], row["size"]) for row in map(decode, lines))

    def letters(self) -> list[int]:
        return sorted(letter.row["n"] for letter in ps.read_dead_letters("damaged", state_dir=self.place / "state"))

    def assert_exact(self, outcome: Outcome, *, letters: bool = True) -> None:
        """Every row once, each bad row set aside once, and the report says just that."""
        assert outcome.report is not None
        assert self.rows() == EXPECTED
        if letters:
            assert self.letters() == sorted(BAD)
        report = outcome.report
        assert (report.outcome, report.undelivered_rows) == ("finished", 0)
        work = report.stages["work"]
        assert (work.rows_in, work.rows_out, work.dead_letters) == (ROWS, ROWS - len(BAD), len(BAD))
        assert report.stages["out"].rows_in == ROWS - len(BAD)


def _deciding(work: Work) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Bad rows are set aside at once; those that are late are tried again."""

    def decide(row: dict[str, Any]) -> dict[str, Any]:
        try:
            return work(row)
        except ValueError as exc:
            raise ps.Reject(str(exc)) from exc

    return decide


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    how: str
    """`finished`, `failed` on the way, `refused` before anything was started."""
    said: str
    traceback: str
    took_s: float
    report: ps.Report | None

    def assert_named(self, path: Path) -> None:
        """The error is for the person who has to act: it names the file, and says what to do now."""
        assert self.how in ("failed", "refused")
        assert str(path) in self.said or str(path.resolve()) in self.said, self.said
        assert "--fresh" in self.said or "run again" in self.said, self.said
        assert self.traceback == "", self.traceback
        assert "supervisor was killed" not in self.said


def is_full(handle: Handle) -> bool:
    snapshot = take_snapshot(handle.run_dir)
    doing = {name: [page.words[Word.ACTIVITY] for page in stage.pages] for name, stage in snapshot.stages.items()}
    delivered = sum(page.words[Word.ROWS_IN] for page in snapshot.stages["out"].pages)
    # A worker may have nothing more to do, where the source waits with rows for the other one.
    waiting = (Activity.WAITING_FOR_OUTPUT, Activity.WAITING_FOR_INPUT)
    return (
        doing["numbers"] == [Activity.WAITING_FOR_OUTPUT] and Activity.WAITING_FOR_OUTPUT in doing["work"]
        and all(activity in waiting for activity in doing["work"]) and delivered > 0
    )


def wait_until(condition: Callable[[], bool], handle: Handle) -> None:
    """While the handle's run is up. Raises `TimeoutError`."""
    deadline = time.monotonic() + BOUND_S
    while not condition():
        if handle.wait_a_while(0.02):
            handle.report()
        if time.monotonic() > deadline:
            raise TimeoutError(f"it never came to that: {handle.status().to_json()}")
