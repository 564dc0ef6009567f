"""Functions that change the row they are given, and then raise: nobody sees half a change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine_scripts import python, write

SCRIPT = """
    import asyncio, json, sys, penstock as ps

    BAD = {7, 20, 33}

    class Once:
        '''Takes each row, but for the bad ones, which it changes before it raises. `attempts`: until those are good.'''

        def __init__(self, attempts=10**9):
            self.attempts, self.seen = attempts, {}

        def __call__(self, row):
            row["changes"] += 1
            row.setdefault("list", []).append(1)
            self.seen[row["i"]] = self.seen.get(row["i"], 0) + 1
            if row["i"] in BAD and self.seen[row["i"]] < self.attempts:
                raise ValueError("bad")
            return row

    class OnceAsync(Once):
        async def __call__(self, row):
            await asyncio.sleep(0)
            return Once.__call__(self, row)

    def many(rows: list[dict]) -> list[dict]:
        return [Once()(row) for row in rows]

    STAGES = {
        "map": lambda stage: stage().map(Once()),
        "map_async": lambda stage: stage().map(OnceAsync()),
        "map_many": lambda stage: stage().map_many(many),
        "map_retried": lambda stage: stage(retries=3, retry_delay="1ms").map(Once(attempts=4)),
        "map_async_retried": lambda stage: stage(retries=3, retry_delay="1ms").map(OnceAsync(attempts=4)),
    }

    def built(kind, ordered):
        app = ps.Pipeline("changed")
        rows = app.source([{"i": n, "changes": 0} for n in range(40)], name="numbers")
        return STAGES[kind](lambda **options: rows.stage("work", ordered=ordered, **options))

    if __name__ == "__main__":
        with built(sys.argv[1], sys.argv[2] == "ordered").results(run_dir="run", state_dir="kept") as results:
            rows = list(results)
        letters = list(ps.read_dead_letters("changed", state_dir="kept"))
        print(json.dumps([rows, [letter.row for letter in letters]]))
"""


@pytest.mark.parametrize("order", ["ordered", "unordered"])
@pytest.mark.parametrize("kind", ["map", "map_async", "map_many", "map_retried", "map_async_retried"])
def test_what_a_function_changed_before_it_raised_is_neither_tried_again_nor_kept(
    tmp_path: Path, kind: str, order: str
) -> None:
    write(tmp_path, "changed.py", SCRIPT)
    ran = python(tmp_path, "changed.py", kind, order)
    assert ran.returncode == 0, ran.stderr
    rows, letters = json.loads(ran.stdout.splitlines()[-1])
    good = [n for n in range(40) if kind.endswith("retried") or n not in {7, 20, 33}]
    assert sorted(rows, key=lambda row: row["i"]) == [{"i": n, "changes": 1, "list": [1]} for n in good]
    assert sorted(letters, key=lambda row: row["i"]) == [{"i": n, "changes": 0} for n in range(40) if n not in good]
