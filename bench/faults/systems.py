"""The systems of the kill matrix, and which cells make no sense for them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NO_TIMEOUT = "it has no time-out for a function"
ONE_DEATH = "a death is a death: see `killed`"
IN_MAIN = "this place is in the main process: see `main killed`"
NO_SUPERVISOR = "it has no supervisor of its own beside the main process"
EVERYWHERE = "every process runs every step: see the stage"


@dataclass(frozen=True)
class System:
    """One column."""

    name: str
    flow: str
    environment: str = ""
    """Folder of its Python in the folder of environments; empty: the one that runs this."""
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Why a cell is not run, by fault and place; `*` is any."""
    again: bool = False
    """True: a second run can resume from what it keeps, so it is given one."""

    def python(self, environments: Path) -> Path | None:
        """Its interpreter; None: it is not installed."""
        if not self.environment:
            return Path(sys.executable)
        path = environments / self.environment / "bin" / "python"
        return path if path.exists() else None

    def not_for(self, fault: str, place: str) -> str | None:
        """Why a cell makes no sense here."""
        for key in ((fault, place), (fault, "*"), ("*", place)):
            if key in self.reasons:
                return self.reasons[key]
        return None


# A segfault and the kernel's kill are deaths like any other to systems that do not look at the cause.
_SAME = {
    ("segfault", "*"): "as a poison record", ("memory", "*"): "as a poison record",
    ("supervisor killed", "*"): NO_SUPERVISOR,
}

SYSTEMS = (
    System("penstock", "flow_penstock.py", again=True),
    System("mp.Queue", "flow_queue.py", "plain", {("slow", "*"): NO_TIMEOUT, **_SAME}),
    System(
        "pypeln", "flow_pypeln.py", "pypeln",
        {("killed", "source"): IN_MAIN, ("poison", "source"): IN_MAIN, ("slow", "source"): NO_TIMEOUT, **_SAME},
    ),
    System(
        "Bytewax", "flow_bytewax.py", "bytewax",
        {("killed", "fan-out"): EVERYWHERE, ("slow", "*"): NO_TIMEOUT, **_SAME}, again=True,
    ),
    System(
        "Pathway", "flow_pathway.py", "pathway",
        {("killed", "fan-out"): EVERYWHERE, ("slow", "*"): NO_TIMEOUT, **_SAME},
    ),
    System(
        "Ray Data", "flow_ray.py", "raydata",
        {("killed", "sink"): IN_MAIN, ("poison", "sink"): IN_MAIN, ("slow", "*"): NO_TIMEOUT, **_SAME},
    ),
)
