"""Which files of the worker are compiled: every one is listed for it, or left out for a reason that stands here."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONCE_A_LIFE = "runs when a worker begins or ends"
ONCE_A_DEATH = "runs after an error or a death"
COROUTINES = "its time is asyncio's"
LIBRARY = "its time is that of the library which it calls"
GENERATED = "makes the code that runs per row; that code is compiled by Python itself"
VALUES = "values and names; nothing runs per batch"
LONG_ROWS = "only for rows that give more than a queue holds"
INTERPRETED = {
    "channel/backlog.py": ONCE_A_LIFE,
    "channel/column_batch.py": LIBRARY,
    "channel/pickled_rows.py": ONCE_A_DEATH,
    "channel/pickled_structs.py": LIBRARY,
    "channel/queue_file.py": ONCE_A_LIFE,
    "channel/side_file.py": LONG_ROWS,
    "slot/assembled_loop.py": ONCE_A_LIFE,
    "slot/assembly.py": ONCE_A_LIFE,
    "slot/batch_tree.py": LIBRARY,
    "slot/committed_log.py": ONCE_A_DEATH,
    "slot/dead_letter_file.py": ONCE_A_DEATH,
    "slot/decoding.py": ONCE_A_DEATH,
    "slot/due_retries.py": ONCE_A_DEATH,
    "slot/error_policy.py": ONCE_A_DEATH,
    "slot/event_loop.py": COROUTINES,
    "slot/expansion.py": LONG_ROWS,
    "slot/row_failure.py": VALUES,
    "slot/failure_file.py": ONCE_A_DEATH,
    "slot/files_world.py": ONCE_A_LIFE,
    "slot/forks.py": ONCE_A_DEATH,
    "slot/gathered.py": LIBRARY,
    "slot/gathered_calls.py": LIBRARY,
    "slot/gathering.py": LIBRARY,
    "slot/gc_tuning.py": ONCE_A_LIFE,
    "slot/instances.py": ONCE_A_LIFE,
    "slot/last_error.py": ONCE_A_DEATH,
    "slot/life.py": VALUES,
    "slot/lifeline.py": ONCE_A_LIFE,
    "slot/lock.py": ONCE_A_LIFE,
    "slot/main.py": ONCE_A_LIFE,
    "slot/pauses.py": ONCE_A_DEATH,
    "slot/pickled_error.py": ONCE_A_DEATH,
    "slot/ports.py": VALUES,
    "slot/process_end.py": ONCE_A_LIFE,
    "slot/randomness.py": ONCE_A_LIFE,
    "slot/record.py": LIBRARY,
    "slot/retries.py": ONCE_A_DEATH,
    "slot/row_program.py": GENERATED,
    "slot/signals.py": ONCE_A_LIFE,
    "slot/spool.py": LONG_ROWS,
    "slot/stack.py": ONCE_A_LIFE,
    "slot/stalls.py": COROUTINES,
    "slot/stops.py": VALUES,
    "slot/time_and_chance.py": VALUES,
    "slot/row_timer.py": LIBRARY,
    "slot/trial.py": ONCE_A_DEATH,
    "slot/user_errors.py": ONCE_A_DEATH,
    "slot/wait_for_exit.py": ONCE_A_LIFE,
    "slot/watched_key.py": "the timer finds it by its code object, which compiled functions lack",
    "slot/worker.py": ONCE_A_LIFE,
    "slot/worker_log.py": ONCE_A_LIFE,
}


def _compiled() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    modules = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    return {module.removeprefix("penstock/") for module in modules}


@pytest.mark.parametrize("room", ["slot", "channel"])
def test_every_file_of_the_worker_is_compiled_or_left_out_for_a_reason(room: str) -> None:
    there = {f"{room}/{file.name}" for file in (ROOT / "src/penstock" / room).glob("*.py")} - {f"{room}/__init__.py"}
    compiled = {name for name in _compiled() if name.startswith(f"{room}/")}
    left_out = {name for name in INTERPRETED if name.startswith(f"{room}/")}
    assert compiled | left_out == there
    assert not compiled & left_out
