"""The entry point of the command line, installed as `penstock` and as `python -m penstock`: Ctrl-C ends it.

Of penstock, only the package's `__init__` is imported before `main`, so that a Ctrl-C while the command line is
imported is caught, too. One that comes before is Python's, and shows a traceback.
"""

from __future__ import annotations

import _thread
import sys
import time

_INTERRUPTED = 130
_SOON_S = 0.01


def main() -> None:
    """Run the command line."""
    sys.unraisablehook = _raise_again
    try:
        from penstock.cli.main import main

        main()
    except KeyboardInterrupt:
        _leave()


def _leave() -> None:
    if sys.stderr is not None:
        print("penstock: interrupted", file=sys.stderr)
    sys.exit(_INTERRUPTED)


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Python prints what a finalizer or a callback of a weak reference raises, and continues.

    Importing runs many of those. A Ctrl-C in one of them would be lost, so it is pressed again, once this hook, where
    it would be lost as well, has returned.
    """
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _thread.start_new_thread(_press_again, ())
    else:
        sys.__unraisablehook__(unraisable)


def _press_again() -> None:
    time.sleep(_SOON_S)
    _thread.interrupt_main()


if __name__ == "__main__":
    main()
