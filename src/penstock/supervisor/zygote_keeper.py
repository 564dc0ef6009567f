"""Keeps a zygote: hears what it says, and starts another one when it dies.

Its workers outlive it; they come to the supervisor, and whatever was being born is born again by the next one.
"""

from __future__ import annotations

import random
import selectors
import signal
import time
from collections.abc import Callable, Iterator

from penstock.slot.records.life import FailureNote
from penstock.supervisor.cause_of_death import describe
from penstock.supervisor.notices import Notices
from penstock.supervisor.protocol import IMPORT_S, Born, Died, FromZygote, ImportFailed, NotBorn, Output, Ready
from penstock.supervisor.restart import Escalate, Progress, RestartPolicy
from penstock.supervisor.shutdown import Shutdown
from penstock.supervisor.zygote_process import ZygoteProcess

_KILLED_TOLD_S = 10.0


class ZygoteKeeper:
    """The zygotes of one run, one after the other."""

    def __init__(
        self, first: ZygoteProcess, start: Callable[[], ZygoteProcess], *, selector: selectors.BaseSelector,
        notices: Notices, shutdown: Shutdown, heard: Callable[[Born | NotBorn | Died, int | None], None],
        lost: Callable[[], None], fail: Callable[[FailureNote], None],
    ) -> None:
        """`heard`: births and deaths, with the descriptor that came with them; `lost`: the zygote is gone."""
        self.process: ZygoteProcess | None = None
        """None: the next one is to be started."""
        self.ready = False
        """True: it has imported the program."""
        self._start = start
        self._selector = selector
        self._notices = notices
        self._shutdown = shutdown
        self._heard = heard
        self._lost = lost
        self._fail = fail
        self._policy = RestartPolicy(10, 60.0)
        self._due = 0.0
        self._killed_told_at = -_KILLED_TOLD_S
        self._slow_told = self._exec_told = False
        self._watch(first)

    def due_in(self, now: float) -> Iterator[float]:
        """In how many seconds `tick` has something to do."""
        if self.process is None:
            if not self._shutdown.leaving:
                yield self._due - now
        elif not self.ready and not self._slow_told:
            yield self.process.started + IMPORT_S + 1.1 - now

    def tick(self, now: float) -> None:
        """Start the next one when it is time; tell of one that takes long to import the program."""
        if self.process is None:
            if not self._shutdown.leaving and now >= self._due:
                self._watch(self._start())
            return
        if self._selector.get_key(self.process.socket).events != self.process.events:
            self._selector.modify(self.process.socket, self.process.events, self._hear)
        if not self.ready and not self._slow_told and now > self.process.started + IMPORT_S + 1:
            self._slow_told = True
            said = self.process.said()
            self._notices.warn(
                f"the program is still being imported for the workers, after {IMPORT_S:g} s"
                + (f"; it is here:\n{said}" if said else "")
            )

    def send_some(self) -> None:
        if self.process is not None:
            self.process.send_some()

    def reap(self, pid: int) -> bool:
        """Take the exit status, if the process is the zygote."""
        if self.process is None or pid != self.process.pid:
            return False
        self.process.reap()
        return True

    def close(self) -> None:
        """The run is over."""
        if self.process is not None:
            self.process.close()
            self.process.forget()
            self.process = None

    def _watch(self, process: ZygoteProcess) -> None:
        self.process, self.ready = process, False
        self._selector.register(process.socket, selectors.EVENT_READ, self._hear)

    def _hear(self) -> None:
        assert self.process is not None
        try:
            while (heard := self.process.receive()) is not None:
                self._on_message(self.process, *heard)
        except EOFError:
            self._on_death(self.process)

    def _on_message(self, process: ZygoteProcess, message: FromZygote, pidfd: int | None) -> None:
        match message:
            case Ready():
                self.ready = True
                self._pass_on_import(process)
                if message.by_exec and not self._exec_told:
                    self._exec_told = True
                    self._notices.warn(message.by_exec)
            case ImportFailed():
                self._fail(FailureNote("program", message.reason, message.traceback))
            case _:
                self._heard(message, pidfd)

    def _pass_on_import(self, process: ZygoteProcess) -> None:
        """What the program writes to standard error when imported, but for its output the caller has seen it all."""
        said = process.said()
        if said:
            self._notices.say(Output("import", f"{said}\n".encode()))

    def _on_death(self, process: ZygoteProcess) -> None:
        self._selector.unregister(process.socket)
        status = process.close()
        said, imported = process.said(), self.ready
        process.forget()
        self.process, self.ready = None, False
        self._lost()
        if not self._shutdown.leaving:
            self._follow(status, said, imported)

    def _follow(self, status: int, said: str, imported: bool) -> None:
        """Decide about the next one. What dies twice in the same way while it imports will do so again."""
        how = describe(-status if status < 0 else status << 8)
        killed, now = status == -signal.SIGKILL, time.monotonic()
        # SIGKILL is nobody's signature: it is told, and tried again as often as it takes.
        decision = self._policy.decide(
            0, now, counted=not killed, progress=Progress.NONE, chance=random.random(), same="" if imported else how,
        )
        if killed and not imported and now > self._killed_told_at + _KILLED_TOLD_S:
            self._killed_told_at = now
            self._notices.warn(
                "the process that imports the program for the workers was killed; restarting it "
                "(does the machine have enough memory?)"
            )
        if isinstance(decision, Escalate):
            shown = f"; it said:\n{said}" if said else ""
            when = "while importing it" if not imported else "after importing it"
            self._fail(FailureNote(
                "program", f"the process that imports the program for the workers ended repeatedly, {when} "
                f"({how}){shown}"
            ))
            return
        self._due = now + decision.after_s
