"""Ctrl-C, told from errors: code of the user's is called in workers, where nobody can press it, and in his own process.

Whoever catches what such code raises catches all of it, exits and panics included, and lets only Ctrl-C through.
"""

from __future__ import annotations

_can_be_pressed = True


def cannot_be_pressed() -> None:
    """From now on, in this process: it is a worker, which terminals do not reach."""
    global _can_be_pressed
    _can_be_pressed = False


def is_ctrl_c(error: BaseException) -> bool:
    """True: somebody at the terminal wants the end. In a worker `KeyboardInterrupt` is an error like any other."""
    return _can_be_pressed and isinstance(error, KeyboardInterrupt)
