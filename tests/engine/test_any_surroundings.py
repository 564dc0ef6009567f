"""Whatever a program inherits (streams, signals, limits, variables), a run gives all rows or says why it did not begin.

A worker dies in each run, since it is deaths that surroundings get into the way of. `PENSTOCK_EXAMPLES` asks for more.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest
from engine_scripts import environment, write
from hypothesis import example, given, settings
from hypothesis import strategies as st

ROWS = 300
EXAMPLES = int(os.environ.get("PENSTOCK_EXAMPLES", "4"))
SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
VARIABLES = ["HOME", "TERM", "LANG", "LC_ALL", "USER", "LOGNAME", "PATH", "SHELL", "TMPDIR", "XDG_RUNTIME_DIR", "TZ"]
PLENTY = 1024
ENOUGH = 80
"""Descriptors that such a small pipeline gets along with."""
COMMANDS = [("odd.py",), ("-m", "penstock", "run", "odd.py")]
PROGRAM = f"""
    import os, signal, sys
    import penstock as ps
    from penstock.connectors import files

    class Twice:
        def open(self, context):
            self.context = context

        def __call__(self, n):
            if n == 100 and self.context.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if n in (50, 250):
                print("row", n)
            return 2 * n

    app = ps.Pipeline("odd")
    app.source(range({ROWS})).stage("twice", workers=2).map(Twice).sink(files.json_lines("out.jsonl"), name="store")
    if __name__ == "__main__":
        app.run()
"""


@dataclass(frozen=True)
class Surroundings:
    closed: frozenset[int] = frozenset()
    blocked: frozenset[int] = frozenset()
    ignored: frozenset[int] = frozenset()
    descriptors: int = PLENTY
    umask: int = 0o022
    without: frozenset[str] = frozenset()

    def take_effect(self) -> None:
        """In the child, before it becomes the program."""
        for number in self.ignored:
            signal.signal(number, signal.SIG_IGN)
        os.umask(self.umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))
        for fd in self.closed:
            os.close(fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)


surroundings = st.builds(
    Surroundings,
    closed=st.frozensets(st.integers(0, 2)),
    blocked=st.just(frozenset(SIGNALS)) | st.frozensets(st.sampled_from(SIGNALS)),
    ignored=st.just(frozenset(SIGNALS)) | st.frozensets(st.sampled_from(SIGNALS)),
    descriptors=st.just(PLENTY) | st.integers(16, 200),
    umask=st.integers(0, 0o777),
    without=st.frozensets(st.sampled_from(VARIABLES)),
)


@pytest.mark.timeout(100 * (EXAMPLES + 4))
@settings(max_examples=EXAMPLES)
@given(around=surroundings, command=st.sampled_from(COMMANDS))
@example(Surroundings(descriptors=16), COMMANDS[0])
@example(Surroundings(descriptors=24, closed=frozenset({0, 1})), COMMANDS[1])
@example(Surroundings(frozenset({0, 1, 2}), frozenset(SIGNALS), frozenset(SIGNALS), ENOUGH, 0o777), COMMANDS[1])
def test_a_run_gives_all_rows_or_says_why_it_did_not_begin(
    tmp_path_factory: pytest.TempPathFactory, around: Surroundings, command: tuple[str, ...]
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    write(folder, "odd.py", PROGRAM)
    out, said = folder / "out.jsonl", folder / "said"
    env = {name: value for name, value in environment(folder).items() if name not in around.without}
    with said.open("wb") as file:
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            preexec_fn=around.take_effect, timeout=90, check=False,
        )
    text = said.read_text()
    if done.returncode == 0:
        out.chmod(0o600)  # the umask may have taken it from us
        assert sorted(map(json.loads, out.read_text().splitlines())) == [2 * n for n in range(ROWS)]
        return
    assert around.descriptors < ENOUGH, text  # nothing else of this is a reason not to run
    assert done.returncode in (1, 2), (done.returncode, text)
    assert not out.exists(), text
    if 2 not in around.closed:
        assert "`ulimit -n`" in text, text
        assert command == COMMANDS[0] or "Traceback" not in text, text
