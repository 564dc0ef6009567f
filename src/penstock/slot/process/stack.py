"""Where a process of ours stands: the stacks of its Python threads, in its log, when it is asked by a signal."""

from __future__ import annotations

import faulthandler
import signal

ASKS = signal.SIGRTMIN + 7
"""Nobody's by convention. It ends a process that does not know it, so only one that says that it listens is asked."""


def show_on_demand() -> None:
    """From now on the signal shows all stacks on standard error, without the help of the thread that hangs."""
    faulthandler.register(ASKS, file=2, all_threads=True)


def show_after(seconds: float) -> None:
    """Show all stacks on standard error then, unless `show_no_more` comes before."""
    faulthandler.dump_traceback_later(seconds, file=2)


def show_no_more() -> None:
    faulthandler.cancel_dump_traceback_later()
