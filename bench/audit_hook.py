"""Notes what a process does, by the interpreter's audit events; follows what it starts with `-c`, and what it forks.

`timeline.py` installs it and reads what it wrote: one line an event, of what `Event` there has. It imports next to
nothing itself, and costs a few microseconds an event.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

_FILES = {f"os.{what}": what for what in ("rename", "remove", "rmdir", "mkdir", "listdir", "scandir")}
_OF_IMPORTS = (".py", ".pyc", ".so")
_FD = 1000
"""Out of the way of what processes count or close."""


def install(place, role):  # type: ignore[no-untyped-def]  # what types need would be imported in every process
    """From here on, events go to the file; the function notes one more. `role`: what the process is."""
    opened = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    to = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _FD)
    os.close(opened)

    def note(event, what=""):  # type: ignore[no-untyped-def]
        os.write(to, f"{time.monotonic_ns()}\t{os.getpid()}\t{time.process_time_ns()}\t{event}\t{what}\n".encode())

    def hear(event, args):  # type: ignore[no-untyped-def]
        if event == "import":
            note("import", args[0])
        elif event == "open" and isinstance(args[0], str) and not args[0].endswith(_OF_IMPORTS):
            note("open", args[0])
        elif event in _FILES:
            note(_FILES[event], args[0])
        elif event == "os.fork":
            note("fork")
        elif event == "subprocess.Popen":
            note("exec", _passed_on(args[1], place))

    note("begins", role)
    os.register_at_fork(after_in_child=lambda: note("forked", str(os.getppid())))
    sys.addaudithook(hear)
    return note


def _passed_on(command, place):  # type: ignore[no-untyped-def]
    """Have the new process note its events, too; what it is."""
    if "-c" not in command:
        return command[0]
    at = command.index("-c")
    code, role = command[at + 1], command[at + 2].rpartition(".")[2]
    scope = {"__name__": "audit_hook", "__file__": __file__}
    hook = f"hook = {scope!r}; exec(open({__file__!r}).read(), hook); hook['install']({place!r}, {role!r})"
    command[at + 1] = f"{hook}\n{code}"
    return role
