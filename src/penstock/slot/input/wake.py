"""What a source's own thread, or its event loop, calls when there is something to read: `Context.wake`.

The flag is set before the bell is rung, and a sleeper looks at the flag after it has said that it sleeps, so no call
is lost: it is seen by that look, or it ends the sleep.
"""

from __future__ import annotations

from collections.abc import Callable


class Wake:
    """For one stage in one slot. May be called from any thread."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """`ring`: wakes the worker."""
        self.called = False
        """True: read again. `SourceInput.take` clears it before it reads."""
        self._ring = ring

    def __call__(self) -> None:
        if not self.called:
            self.called = True
            self._ring()
