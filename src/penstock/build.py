"""How this copy was built: a wheel may bring what a worker does in each turn compiled (`hatch_build.py`)."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec


def is_compiled() -> bool:
    """True: machine code; False: the same modules as Python, from a checkout or a wheel that fits every machine."""
    found = find_spec("penstock.slot.loop")
    return found is not None and (found.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
