"""What a supervisor tells: its caller in words, and whoever looks at the run by files."""

from __future__ import annotations

from penstock.plan.paths import RunPaths
from penstock.private_files import replace_own
from penstock.slot.records.life import FailureNote
from penstock.slot.turn.last_error import write_last_error
from penstock.supervisor.caller_link import CallerLink
from penstock.supervisor.protocol import Notice, Output, Running


class Notices:
    """Of one run. Nothing here raises for a full disk: notices are for people, and the run continues."""

    def __init__(self, caller: CallerLink, paths: RunPaths) -> None:
        self._caller = caller
        self._paths = paths

    def warn(self, text: str) -> None:
        self.say(Notice("WARNING", text))

    def say(self, message: Notice | Output | Running) -> None:
        self._caller.say(message)

    def running(self) -> None:
        """All workers have been born."""
        self.phase("running")
        self.say(Running())

    def phase(self, phase: str) -> None:
        """How far the run is; the next run looks at the journals, too."""
        try:
            replace_own(self._paths.phase, phase.encode())
        except OSError as exc:
            self.warn(f"{self._paths.phase}: {phase!r} cannot be recorded: {exc.strerror}")

    def last_error(self, note: FailureNote) -> None:
        """What `penstock status` shows of a stage."""
        unwritten = write_last_error(self._paths.last_errors, note.stage, note.reason)
        if unwritten is not None:
            self.warn(f"the last error is not shown by `penstock status`: {unwritten}")
