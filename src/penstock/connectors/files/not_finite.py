"""Finds NaN and the infinities in values of which JSON is to be made: it has no such numbers, and would say null."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock.ctrl_c import is_ctrl_c

_NULL = re.compile(rb"null")
"""Found in half the time that `in` takes, for every line is looked through."""
_PACKED = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""A number of 64 bits in MessagePack that is not finite; some bytes of text look the same."""


class NotFinite:
    """Looks into rows. `plain`: what makes plain values of others, as for the JSON."""

    def __init__(self, plain: Callable[[Any], Any]) -> None:
        self._plain = plain
        self._packer = msgspec.msgpack.Encoder(enc_hook=plain)

    def may_be_in(self, rows: Sequence[Any], text: bytes) -> bool:
        """False: all is well with these rows, whose JSON is `text`. Quick, by two searches in bytes."""
        if _NULL.search(text) is None:
            return False
        try:
            packed = self._packer.encode(rows)
        except BaseException as exc:  # JSON takes more: integers of any size
            if is_ctrl_c(exc):
                raise
            return True
        return _PACKED.search(packed) is not None

    def place(self, row: Any) -> str:
        """`field 'a.b' is nan`; empty where every number is finite."""
        waiting: list[tuple[str, Any]] = [("", msgspec.to_builtins(row, enc_hook=self._plain, str_keys=True))]
        while waiting:
            name, value = waiting.pop()
            if isinstance(value, float):
                if not math.isfinite(value):
                    return f"field {name!r} is {value}" if name else f"it is {value}"
            elif isinstance(value, dict):
                waiting += [(f"{name}.{key}" if name else str(key), item) for key, item in reversed(value.items())]
            elif isinstance(value, list | tuple):
                waiting += [(f"{name}[{index}]", item) for index, item in enumerate(value) if _may_hold(item)]
        return ""


def _may_hold(value: Any) -> bool:
    return isinstance(value, float | dict | list | tuple)
