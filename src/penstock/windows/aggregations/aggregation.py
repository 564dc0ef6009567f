"""What every aggregation is: a value that says, as text, how its part of an accumulator comes to be and grows.

An accumulator is a list; each aggregation of a window has `width` places in it, which MessagePack can hold. The text of
all of them becomes one generated function (`accumulators`): a call for each aggregation and row would cost more than
what most of them do.

Whatever can raise is computed before anything is written, so that a row which fails leaves the accumulator as it was.
Accumulators can be merged: that of a window with rows A and B is that of A merged with that of B, in this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import msgspec

from penstock.windows.row_reading import Value, shown_value

Names = Sequence[str]
"""Expressions: the places of an accumulator (`a[3]`), the values read of a row (`x0`)."""


class _Taken(msgspec.Struct, frozen=True, kw_only=True):
    where: Value = None
    """Only rows in which this is true are taken; None: all are."""


class Aggregation(_Taken, frozen=True):
    """Base of the aggregations. All texts are about one row, whose time is `t`, in microseconds."""

    of: Value = None

    verb: ClassVar[str] = ""
    width: ClassVar[int] = 1
    """Places in the accumulator."""
    in_place: ClassVar[bool] = False
    """True: places hold containers that `add` changes; False: `new` gives what takes their place."""
    guard: ClassVar[int] = 0
    """Which of the values decides: rows where it is None are passed over. -1: no row is for what it holds."""
    never_raises: ClassVar[bool] = False
    """True: what `new` says cannot raise."""
    result_without_rows: ClassVar[str] = "None"
    """The result where all rows were passed over."""

    @property
    def name(self) -> str:
        """`sum('ms', where='ok')`, as messages and plans show it."""
        if self.where is None:
            return self.call
        between = "" if self.call.endswith("()") else ", "
        return f"{self.call[:-1]}{between}where={shown_value(self.where)})"

    @property
    def call(self) -> str:
        """The same without `where`."""
        return f"{self.verb}({', '.join(shown_value(value) for value in self.values())})"

    @property
    def names(self) -> Mapping[str, Any]:
        """What its texts use. Equal names mean the same, whichever aggregation uses them."""
        return {}

    def values(self) -> Sequence[Value]:
        """What it computes with."""
        return (self.of,)

    def read(self) -> Sequence[Value]:
        """What it reads of a row."""
        return self.values() if self.where is None else (*self.values(), self.where)

    def over(self, types: Sequence[Any]) -> Self:
        """The same for values of these types, where that is less work."""
        return self

    def prepared(self, x: Names) -> str:
        """What is made of the guarding value before anything is written, and used in its place; empty: it is used."""
        return ""

    def check(self, a: Names) -> str:
        """A statement that raises where the accumulator can take no further row; empty: it always can."""
        return ""

    def first(self, x: Names) -> Sequence[str]:
        """The places of an accumulator with one row."""
        raise NotImplementedError

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        """What the places become with another row. Each may use those in `new` that come before its own."""
        raise NotImplementedError

    def add(self, a: Names, x: Names) -> Sequence[str]:
        """For `in_place`: statements that add another row. They must not raise."""
        raise NotImplementedError

    def undo(self, a: Names, x: Names) -> Sequence[str]:
        """For `in_place`: statements that note in `note` what takes back `add`, which comes next."""
        raise NotImplementedError

    def copied(self, a: Names) -> Sequence[str]:
        """The places of a copy that shares nothing that changes."""
        return a

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        """The places with the rows of both. What `a` holds may be changed, and what `b` holds must not."""
        raise NotImplementedError

    def result(self, a: Names) -> str:
        """What the window gives."""
        return a[0]

    # Types: `typing.Any` is "not known". `types`: those of the values, the guarding one without None.

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        """The types of its places."""
        raise NotImplementedError

    def result_type(self, types: Sequence[Any]) -> Any:
        """The type of what the window gives."""
        return types[0]

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        """What is wrong with it over values of these types, and what to write instead."""
        return iter(())
