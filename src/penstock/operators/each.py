"""`each`: a function called for its effect; nothing goes on. What a callable given to `sink` becomes."""

from __future__ import annotations

from typing import ClassVar

from penstock.operators.operator import Operator


class Each(Operator, frozen=True):
    """`fn(row)` is called; its result is dropped."""

    verb: ClassVar[str] = "each"
