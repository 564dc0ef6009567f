"""A worker that was started by exec instead of fork: it imports the program itself, and then lives as any other."""

from __future__ import annotations

import os
import pickle
import sys
from functools import partial
from pathlib import Path

import msgspec

from penstock.program import at_home, import_program
from penstock.slot.main import live
from penstock.slot.process import signals
from penstock.slot.process.process_end import end_with
from penstock.slot.records.life import Life
from penstock.supervisor.descriptors import raise_limit


def main(run_dir: str, life: bytes, program: bytes) -> None:
    """Never returns."""
    end_with(partial(_live, Path(run_dir), life, program))


def _live(run_dir: Path, life: bytes, program: bytes) -> int:
    signals.give_back_to_children()
    return live(run_dir, msgspec.msgpack.decode(life, type=Life), partial(_import, program))


def _import(program: bytes) -> None:
    """What the program prints when imported, the caller has printed already."""
    kept = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    try:
        import_program(at_home(pickle.loads(program)))
    finally:
        raise_limit()  # the program may have set its own
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
