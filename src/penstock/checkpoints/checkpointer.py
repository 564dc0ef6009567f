"""The checkpointer: a process beside the supervisor that takes checkpoints of a run, and may be killed at any moment.

It reads and writes files only, and loads no code of the user's. What it has to say goes to the supervisor (`news`),
which starts another one if it dies, and takes away what it had pinned. How the last checkpoints went stands in a file
of the run, for whoever looks at the status.
"""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path

import msgspec

from penstock.channel.bell import open_fifo
from penstock.checkpoints.claimed import Claimed, claim
from penstock.checkpoints.consistent import Inconsistent
from penstock.checkpoints.cut import Copied, RunFiles, copy_run
from penstock.checkpoints.manifest import Holder, Manifest
from penstock.checkpoints.news import Failed, Made, Started, Taken, encode
from penstock.checkpoints.requests import Answer, answer, waiting_requests
from penstock.checkpoints.store_cut import RunFacts, same_history, store_cut
from penstock.checkpoints.stores import open_store
from penstock.checkpoints.tell_durable import tell_durable
from penstock.checkpoints.told import Told
from penstock.errors import PenstockError, StoreTaken
from penstock.metrics.checkpoint_state import CheckpointState, write_state
from penstock.plan.paths import RunPaths
from penstock.slot.process import lifeline, signals

_LONGEST_PAUSE_S = 30.0
_SPARE_S = 1.0


def main(socket_fd: int, told: bytes) -> None:
    """The process's body, from the start to its end."""
    signals.settle()
    given = msgspec.msgpack.decode(told, type=Told)
    os.set_inheritable(socket_fd, False)
    paths = RunPaths(Path(given.run.run_dir))
    if not given.last and not lifeline.hold(paths.lifeline):
        return
    Checkpointer(given, socket.socket(fileno=socket_fd)).run()


class Checkpointer:
    """Takes checkpoints until it is killed."""

    def __init__(self, told: Told, sock: socket.socket) -> None:
        self._told = told
        self._paths = RunPaths(Path(told.run.run_dir))
        self._socket = sock
        self._claimed: Claimed | None = None
        self._state = CheckpointState(store=told.store, every_s=told.every_s)
        self._cuts = 0
        self._synced_s = 0.0
        """Wall clock before which all outputs were synced."""

    def run(self) -> None:
        """One checkpoint after the other; savepoints at once when they are asked for."""
        self._say(Started(os.getpid()))
        if self._told.last:
            self._attempt(savepoint=False)
            return
        bell = open_fifo(self._paths.checkpoint_bell, "the checkpointer's bell")
        while True:
            began = time.monotonic()
            names = waiting_requests(self._paths.checkpoint_requests)
            made, error = self._attempt(savepoint=bool(names))
            for name in names:
                answer(self._paths.checkpoint_requests, name, Answer(made.id if made is not None else "", error))
            # A store that fails is asked less often.
            pause = self._told.every_s * min(2.0**self._state.failed_in_a_row, _LONGEST_PAUSE_S / self._told.every_s)
            left = max(began + max(pause, self._told.every_s) - time.monotonic(), 0.0)
            if select.select([bell], [], [], left)[0]:
                os.read(bell, 4096)

    def _attempt(self, *, savepoint: bool) -> tuple[Manifest | None, str]:
        """(the checkpoint, or None, and why there is none)."""
        began = time.monotonic()
        try:
            made = self._take(savepoint=savepoint)
        except StoreTaken as exc:
            self._note_failure(str(exc))
            self._say(Taken(str(exc)))
            return None, str(exc)
        except (PenstockError, Inconsistent, OSError) as exc:
            self._note_failure(str(exc))
            self._say(Failed(str(exc)))
            return None, str(exc)
        self._state = msgspec.structs.replace(
            self._state, id=made.id, taken_s=made.taken_s, took_s=time.monotonic() - began,
            content_bytes=made.content_bytes, own_bytes=made.own_bytes, made=self._state.made + 1, failed_in_a_row=0,
            last_error="",
        )
        write_state(self._paths.checkpoint_state, self._state)
        self._say(Made(made.id, made.lineage, made.taken_s))
        return made, ""

    def _take(self, *, savepoint: bool) -> Manifest:
        claimed = self._claim()
        files, facts = self._told.run.files(), self._told.run.facts()
        self._cuts += 1

        def stored(copied: Copied) -> tuple[Manifest, Copied]:
            return self._stored(copied, files, facts, claimed, savepoint), copied

        made, copied = copy_run(files, self._told.life << 32 | self._cuts, stored)
        tell_durable(files, copied)
        claimed.retain(self._told.keep)
        return made

    def _stored(
        self, copied: Copied, files: RunFiles, facts: RunFacts, claimed: Claimed, savepoint: bool
    ) -> Manifest:
        # Before the manifest: it must not speak of output that a power failure takes.
        now_s = time.time()
        self._told.run.sync_outputs(self._synced_s)
        self._synced_s = now_s - _SPARE_S  # the clock of files is coarse
        before = same_history(claimed.manifests, facts.run_id, copied.records[0].lineage)
        return store_cut(copied, facts, claimed, files.files, before, savepoint=savepoint)

    def _claim(self) -> Claimed:
        if self._claimed is None:
            holder = Holder(
                host=os.uname().nodename, pid=os.getpid(), run_id=self._told.run.run_id, run_dir=self._told.run.run_dir
            )
            self._claimed = claim(open_store(self._told.store, self._told.run.pipeline), holder)
        return self._claimed

    def _note_failure(self, why: str) -> None:
        state = self._state
        self._state = msgspec.structs.replace(
            state, failed=state.failed + 1, failed_in_a_row=state.failed_in_a_row + 1, last_error=why
        )
        write_state(self._paths.checkpoint_state, self._state)

    def _say(self, news: Started | Made | Failed | Taken) -> None:
        self._socket.send(encode(news), socket.MSG_NOSIGNAL)
