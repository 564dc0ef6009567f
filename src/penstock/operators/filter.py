"""`filter`: rows that a function says yes to."""

from __future__ import annotations

from typing import ClassVar

from penstock.operators.operator import Operator


class Filter(Operator, frozen=True):
    """`fn(row)` true: the row goes on as it is."""

    verb: ClassVar[str] = "filter"
