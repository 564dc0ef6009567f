"""`ps.processing_time()`: what `window(time=)` is given where rows count when they come."""

from __future__ import annotations

import msgspec


class ProcessingTime(msgspec.Struct, frozen=True):
    """The clock on the wall, in the worker that counts the row."""


def processing_time() -> ProcessingTime:
    """Windows by the clock: `window(ps.tumbling("10s"), time=ps.processing_time())`. No row is late.

    Results depend on when rows came: a row that is counted again after a kill is counted by the time then. Windows are
    given once they are over, also while no row comes; what is open when the input ends is given then.
    """
    return ProcessingTime()
