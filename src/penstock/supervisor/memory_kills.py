"""How often the kernel has killed for want of memory: what tells such a death from anybody's SIGKILL."""

from __future__ import annotations

from pathlib import Path


class MemoryKills:
    """Counts of the cgroup that this process lives in, and of the machine."""

    def __init__(self) -> None:
        self._paths = [*_cgroup_events(), Path("/proc/vmstat")]
        self._last = self._count()

    def happened(self) -> bool:
        """True when there were any since the last call."""
        now = self._count()
        grown, self._last = now > self._last, now
        return grown

    def _count(self) -> int:
        total = 0
        for path in self._paths:
            try:
                lines = path.read_text().splitlines()
            except OSError:
                continue  # not every kernel and container shows it; then SIGKILL stays anybody's
            total += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        return total


def _cgroup_events() -> list[Path]:
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
    except OSError:
        return []
    return [Path("/sys/fs/cgroup" + own) / "memory.events"]
