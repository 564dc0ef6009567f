"""Which files of the worker are compiled: every one is listed for it, or left out for a reason that stands here."""

from __future__ import annotations

import ast
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
COPIES = "for who copies the run, or waits for that"
LONG_ROWS = "only for rows that give more than a queue holds"
DECODED = "its Structs are decoded, and compiled ones lose the annotations that say how"
INTERPRETED = {
    "channel/backlog.py": ONCE_A_LIFE,
    "channel/column_batch.py": LIBRARY,
    "channel/column_keys.py": LIBRARY,
    "channel/kept_files.py": COPIES,
    "channel/pickled_rows.py": ONCE_A_DEATH,
    "channel/pickled_structs.py": LIBRARY,
    "channel/queue_file.py": ONCE_A_LIFE,
    "channel/ring_copy.py": COPIES,
    "channel/side_file.py": LONG_ROWS,
    "slot/assembled_loop.py": ONCE_A_LIFE,
    "slot/assembly.py": ONCE_A_LIFE,
    "slot/covered_files.py": COPIES,
    "slot/files_world.py": ONCE_A_LIFE,
    "slot/input/decoding.py": ONCE_A_DEATH,
    "slot/input/gathered.py": LIBRARY,
    "slot/main.py": ONCE_A_LIFE,
    "slot/output/expansion.py": LONG_ROWS,
    "slot/output/open_epoch_sink.py": ONCE_A_LIFE,
    "slot/output/spool.py": LONG_ROWS,
    "slot/output/watched_key.py": "the timer finds it by its code object, which compiled functions lack",
    "slot/ports.py": VALUES,
    "slot/process/failure_file.py": ONCE_A_DEATH,
    "slot/process/forks.py": ONCE_A_DEATH,
    "slot/process/life_end.py": ONCE_A_DEATH,
    "slot/process/lifeline.py": ONCE_A_LIFE,
    "slot/process/lock.py": ONCE_A_LIFE,
    "slot/process/pauses.py": ONCE_A_DEATH,
    "slot/process/pickled_error.py": ONCE_A_DEATH,
    "slot/process/process_end.py": ONCE_A_LIFE,
    "slot/process/randomness.py": ONCE_A_LIFE,
    "slot/process/row_failure.py": VALUES,
    "slot/process/row_timeout.py": LIBRARY,
    "slot/process/signals.py": ONCE_A_LIFE,
    "slot/process/stack.py": ONCE_A_LIFE,
    "slot/process/stops.py": VALUES,
    "slot/process/user_errors.py": ONCE_A_DEATH,
    "slot/process/wait_for_exit.py": ONCE_A_LIFE,
    "slot/process/worker_log.py": ONCE_A_LIFE,
    "slot/records/committed_log.py": ONCE_A_DEATH,
    "slot/records/dead_letter_file.py": ONCE_A_DEATH,
    "slot/records/epoch_segments.py": COPIES,
    "slot/records/life.py": VALUES,
    "slot/records/record.py": LIBRARY,
    "slot/records/retries.py": ONCE_A_DEATH,
    "slot/running/due_retries.py": ONCE_A_DEATH,
    "slot/running/gathered_calls.py": LIBRARY,
    "slot/running/gathering.py": LIBRARY,
    "slot/state/applied.py": LIBRARY,
    "slot/state/change.py": DECODED,
    "slot/state/changelog.py": ONCE_A_LIFE,
    "slot/state/columns.py": LIBRARY,
    "slot/state/dealt.py": ONCE_A_LIFE,
    "slot/state/frames.py": DECODED,
    "slot/state/loaded_columns.py": LIBRARY,
    "slot/state/regroup.py": ONCE_A_LIFE,
    "slot/state/replay.py": ONCE_A_LIFE,
    "slot/state/rotation.py": VALUES,
    "slot/state/shelf_name.py": DECODED,
    "slot/state/slot_state.py": LIBRARY,
    "slot/state/stage_shelves.py": ONCE_A_LIFE,
    "slot/state/store.py": LIBRARY,
    "slot/state/stored.py": LIBRARY,
    "slot/time_and_chance.py": VALUES,
    "slot/turn/error_policy.py": ONCE_A_DEATH,
    "slot/turn/gc_tuning.py": ONCE_A_LIFE,
    "slot/turn/last_error.py": ONCE_A_DEATH,
    "slot/turn/trial.py": ONCE_A_DEATH,
    "slot/user_code/batch_tree.py": LIBRARY,
    "slot/user_code/behind.py": ONCE_A_LIFE,
    "slot/user_code/event_loop.py": COROUTINES,
    "slot/user_code/instances.py": ONCE_A_LIFE,
    "slot/user_code/over_columns.py": LIBRARY,
    "slot/user_code/row_program.py": GENERATED,
    "slot/user_code/stalls.py": COROUTINES,
    "slot/worker.py": ONCE_A_LIFE,
}


def _compiled() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    modules = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    return {module.removeprefix("penstock/") for module in modules}


@pytest.mark.parametrize("room", ["slot", "channel"])
def test_every_file_of_the_worker_is_compiled_or_left_out_for_a_reason(room: str) -> None:
    source = ROOT / "src/penstock"
    files = {str(file.relative_to(source)) for file in (source / room).rglob("*.py") if file.name != "__init__.py"}
    compiled = {name for name in _compiled() if name.startswith(f"{room}/")}
    left_out = {name for name in INTERPRETED if name.startswith(f"{room}/")}
    assert compiled | left_out == files
    assert not compiled & left_out


def test_no_struct_that_is_decoded_is_compiled() -> None:
    """A compiled one encodes as something else, and cannot be decoded: its options and annotations are lost."""
    wrong = []
    for name in sorted(_compiled()):
        tree = ast.parse((ROOT / "src/penstock" / name).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and {"array_like", "tag"} & {keyword.arg for keyword in node.keywords}:
                wrong.append(f"{name}: {node.name}")
    assert wrong == []
