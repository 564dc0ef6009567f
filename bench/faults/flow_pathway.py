"""Pathway in two processes, started by `pathway spawn`; every process runs every step."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from pathlib import Path

from faults import trouble


def spawn() -> None:
    command = [
        str(Path(sys.executable).with_name("pathway")), "spawn", "--processes", "2", "--threads", "1", "--first-port",
        str(random.randrange(20_000, 30_000, 10)), sys.executable, *sys.argv,
    ]
    sys.exit(abs(subprocess.run(command, check=False).returncode))


def main() -> None:
    if "PATHWAY_PROCESS_ID" not in os.environ:
        spawn()
    import pathway as pw

    logging.disable(logging.WARNING)

    class Numbers(pw.io.python.ConnectorSubject):  # type: ignore[misc]
        deletions_enabled = False

        def run(self) -> None:
            for number in trouble.numbers():
                self.next(k=number, x=number)

    class Row(pw.Schema):  # type: ignore[misc]
        k: int = pw.column_definition(primary_key=True)
        x: int

    numbers = pw.io.python.read(Numbers(), schema=Row, autocommit_duration_ms=100, max_backlog_size=1000)
    worked = numbers.select(y=pw.apply_with_type(trouble.work, int, numbers.x))
    fanned = worked.select(v=pw.apply_with_type(lambda n: tuple(trouble.fan(n)), tuple[int, ...], worked.y))
    fanned = fanned.flatten(fanned.v)
    lines = trouble.Lines()
    pw.io.subscribe(fanned, on_change=lambda key, row, time, is_addition: lines.put(row["v"]))
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main()
