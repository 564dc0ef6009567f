"""Signals of our own processes: set, never inherited, and given back to the children of user code.

A blocked SIGCHLD that came from the caller would hang the first death; an ignored SIGTERM would go through `exec` into
every program that user code starts. So what we do not obey has a handler that does nothing: `exec` sets it to the
default, system calls are restarted, and nothing raises inside user code.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NOT_OURS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""A terminal's or a service manager's: the caller handles them, and tells the supervisor."""
_OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP)
_ALL = tuple(map(int, signal.valid_signals()))
_hooked = False
_forking = threading.local()


def settle() -> None:
    """Set the mask and every disposition of this process; to be called again after user code was imported."""
    for number in _ALL:
        if number in _NOT_OURS:
            signal.signal(number, _do_nothing)
            signal.siginterrupt(number, False)  # libraries that do not expect an interrupted call never see one
        elif number == signal.SIGCHLD:
            signal.signal(number, signal.SIG_DFL)  # ignored, it would take the status of every child away
        elif number not in _OF_PYTHON and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def give_back_to_children() -> None:
    """From now on a forked child obeys the signals that we do not, so that `terminate()` ends it."""
    global _hooked
    if not _hooked:
        _hooked = True
        os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_give_back)


@contextmanager
def held_back() -> Iterator[None]:
    """Keep signals waiting while one of our own processes is made; it takes them once it has called `settle`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_OURS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """A handler, because what is ignored stays ignored in programs that user code starts."""


def _hold_back() -> None:
    """A signal that comes before the child obeys it would be lost."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_OURS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _give_back() -> None:
    for number in _NOT_OURS:
        if signal.getsignal(number) is _do_nothing:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _let_through()
