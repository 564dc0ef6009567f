"""`filter`: rows that a function says yes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from penstock.operators.operator import Operator


@dataclass(frozen=True, slots=True)
class Filter(Operator):
    """`fn(row)` true: the row goes on as it is."""

    verb: ClassVar[str] = "filter"
