"""Whether two results of a query are the same rows, in any order, numbers to one in a million."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any


def line(row: Sequence[Any]) -> str:
    """As expected results are written: columns joined by one blank, times without a zero fraction."""
    return " ".join(" ".join(map(_text, row)).split())


def difference(found: Iterable[str], expected: Iterable[str]) -> str | None:
    """The first line that one has and the other has not; None: they are the same."""
    ours, theirs = sorted(found), sorted(expected)
    if ours == theirs:
        return None
    ours, theirs = sorted(map(_blanks, ours)), sorted(map(_blanks, theirs))
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, expected {len(theirs)}"
    return next((f"{a!r}, expected {b!r}" for a, b in zip(ours, theirs, strict=True) if not _same(a, b)), None)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        text = value.isoformat(" ", "milliseconds")
        return text.removesuffix(".000")
    if isinstance(value, float | Decimal):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value)


def _blanks(text: str) -> str:
    # Numbers of one value have one form, so that sorting brings the same rows together.
    return " ".join(_number(word) for word in text.split())


def _number(word: str) -> str:
    if "." not in word or word.count("-") or word.count(":"):
        return word
    try:
        return _text(float(word))
    except ValueError:
        return word


def _same(a: str, b: str) -> bool:
    ours, theirs = a.split(), b.split()
    return len(ours) == len(theirs) and all(map(_same_word, ours, theirs))


def _same_word(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return math.isclose(float(a), float(b), rel_tol=1e-6)
    except ValueError:
        return False
