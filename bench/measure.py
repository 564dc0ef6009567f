"""What the benchmarks share: runs in a process of their own, the memory and time of a process tree, and tables.

A benchmark script prints a table. What it measures runs in a child, which prints one line `RESULT {json}`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")


def machine() -> str:
    """Where and when: stands under every table."""
    from penstock.build import is_compiled  # the peers' programs, which import this module too, have no penstock

    model = "an unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    python = f"{platform.python_implementation()} {platform.python_version()}"
    kernel = platform.release().partition("-")[0]
    built = "compiled" if is_compiled() else "interpreted"
    cores = f"{os.cpu_count()} cores of {model}"
    return f"{cores}, {python}, Linux {kernel}, penstock {built}, {time.strftime('%Y-%m-%d')}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; numbers to the right."""
    lines = [[str(cell) for cell in row] for row in rows]
    right = [all(_is_number(line[i]) for line in lines) for i in range(len(head))]
    widths = [max(len(line[i]) for line in [list(head), *lines]) for i in range(len(head))]

    def shown(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)) + "|"
    return "\n".join([shown(list(head)), rule, *map(shown, lines)])


def _is_number(cell: str) -> bool:
    return not cell or cell[0] in "0123456789-+.<>" or cell == "n/a"


def quiet(limit_s: float = 60.0) -> bool:
    """Wait until other processes use less than a tenth of a core."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        before, began = busy_s(), time.monotonic()
        time.sleep(0.5)
        if busy_s() - before < 0.1 * (time.monotonic() - began):
            return True
    return False


def busy_s() -> float:
    """Processor time that all processes of the machine have used, and what the host took away."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(numbers[:8]) - numbers[3] - numbers[4]) / TICKS


def result(**values: Any) -> None:
    """Called by a measured child: what it found."""
    print("RESULT " + json.dumps(values), flush=True)


class RunFailed(Exception):
    """A measured child ended without a result."""


def run(command: Sequence[str], *, env: dict[str, str] | None = None, limit_s: float = 300.0) -> dict[str, Any]:
    """Run a measured child; what it told by `result`. Raises `RunFailed`."""
    given = {**os.environ, **(env or {})}
    # An installed package has its bytecode, and a checkout gets it at the first run; without it, start-up is compiling.
    given.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        command, env=given, capture_output=True, text=True, timeout=limit_s, check=False
    )
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("RESULT "):
            found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return found
    raise RunFailed(f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")


def medians(
    measures: dict[str, Callable[[], dict[str, Any]]], rounds: int, *, told: Callable[[str], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Run all measures `rounds` times in turn, so that they share the machine's moods; numbers as medians."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number in range(rounds):
        for name, measure in measures.items():
            quiet(20.0)
            found[name].append(measure())
            (told or _tell)(f"{number + 1}/{rounds} {name}: {found[name][-1]}")
    return {name: _middle(runs) for name, runs in found.items()}


def _middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        key: statistics.median(run[key] for run in runs) if isinstance(value, (int, float)) else value
        for key, value in runs[-1].items()
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def family(pid: int) -> list[int]:
    """A process and all below it, the process first."""
    return list(family_tree(pid))


def family_tree(pid: int) -> dict[int, int]:
    """A process and all below it, the process first, each with its parent."""
    children = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:  # gone meanwhile
                continue
            children[int(stat.rpartition(")")[2].split()[1])].append(int(entry))
    found, waiting = {}, [(pid, 0)]
    while waiting:
        process, parent = waiting.pop()
        found[process] = parent
        waiting += [(child, process) for child in children[process]]
    return found


def descriptors(pids: Iterable[int]) -> int:
    """Files that processes hold open."""
    total = 0
    for pid in pids:
        try:
            total += len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue
    return total


def pss_bytes(pids: Iterable[int]) -> int:
    """Memory of processes, shared pages divided by their sharers (queues in /dev/shm that are mapped count, too)."""
    return sum(sizes["Pss"] for sizes in _rollups(pids))


def private_bytes(pids: Iterable[int]) -> int:
    """As `pss_bytes`, without what is mapped from files in shared memory: for sums with the run directory's size."""
    return sum(sizes["Pss"] - sizes.get("Pss_Shmem", 0) for sizes in _rollups(pids))


def heap_bytes(pids: Iterable[int]) -> int:
    """Anonymous memory of processes: unlike the above, it does not depend on who else has the same pages."""
    return sum(sizes["Anonymous"] for sizes in _rollups(pids))


def _rollups(pids: Iterable[int]) -> Iterator[dict[str, int]]:
    """What the kernel says of each living process's memory, in bytes by name."""
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:  # gone meanwhile
            continue
        if lines:
            yield {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def cpu_s(pids: Iterable[int]) -> float:
    """Processor time that living processes have used."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def directory_bytes(path: Path) -> int:
    """What the files below take."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:  # gone meanwhile
                continue
    return total
