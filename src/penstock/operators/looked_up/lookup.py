"""`lookup` in a table that is loaded whole: a file, the result of a query, a list."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, Literal, TypeAlias

from penstock.operators.field_key import field_getter
from penstock.operators.looked_up.keys import key_mistakes
from penstock.operators.verb import Asked, Becomes, Operator
from penstock.options import Duration, parse_duration
from penstock.source import Source
from penstock.windows.row_reading import Value, shown_value

How: TypeAlias = Literal["inner", "left"]
HOWS: Final = ("inner", "left")


class Pairs:
    """What the lookups in tables have in common: each gives pairs of a row and what was found for its key."""

    __slots__ = ()

    verb: ClassVar[str] = "lookup"
    has_function: ClassVar[bool] = False

    key: Value
    """The key of the rows."""
    on: Value
    """The key of what they are looked up in."""
    how: How

    @property
    def target(self) -> str:
        """What is looked up in, as messages name it."""
        raise NotImplementedError

    @property
    def table_type(self) -> Any:
        """The annotation of what is found."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        how = "" if self.how == "inner" else f", how={self.how!r}"
        return f"lookup({self.target}, on={shown_value(self.on)}{how})"

    @property
    def row_taken(self) -> Any:
        return Any

    def row_given(self, before: Any) -> Any:
        found = self.table_type
        if self.how == "left" and found is not Any:
            found = found | None
        return types.GenericAlias(tuple, (before, found))

    def mistakes_with(self, row_type: Any) -> Iterator[tuple[str, str]]:
        for what, remedy in key_mistakes(self.key, row_type, self.on, self.table_type):
            yield f"{self.name}: {what}", remedy

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        if self.how not in HOWS:
            yield f"{name}: how={self.how!r} is none of {', '.join(map(repr, HOWS))}", "write one of them"
        if self.key is None and self.on is not None:
            yield f"{name}: the key of the rows is not known", 'name their field, or a function of them: key="user_id"'


class Lookup(Pairs, Operator, frozen=True):
    """With `how="inner"`; a row without a match gives nothing."""

    becomes: ClassVar[Becomes] = Becomes.ROWS

    key: Value = None
    on: Value = None
    how: How = "inner"

    table: Source[Any] | None = None
    """None: nothing that can be read was given."""
    given: Any = None
    """What the user wrote, where `table` is None."""
    reload: Duration | None = None
    """How often to look whether the table has changed; None: never."""

    @property
    def target(self) -> str:
        return repr(self.given) if self.table is None else self.table.target

    @property
    def table_type(self) -> Any:
        return Any if self.table is None else self.table.row_type

    @property
    def asks(self) -> Sequence[Asked]:
        return () if self.table is None else (Asked(self.table.label, self.table.check_source),)

    @property
    def carries(self) -> Sequence[Any]:
        return (self.table, *(key for key in (self.key, self.on) if callable(key)))

    @property
    def modules(self) -> Sequence[str]:
        return () if self.table is None else ("penstock.operators.looked_up.loaded", *self.table.modules)

    def function(self) -> Callable[[Any], Any]:
        from penstock.operators.looked_up.loaded import Inner, Left, Reloaded  # workers alone need it

        assert self.table is not None
        kind = Left if self.how == "left" else Inner
        made = kind(self.table, key_function(self.on), shown_value(self.on), key_function(self.key))
        return made if self.reload is None else Reloaded(made, self.table, parse_duration(self.reload))

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        yield from Pairs.mistakes(self, name)
        if self.table is None:
            yield f"{name}: that is no table", 'pass a source such as files.csv("users.csv", User), or a list of rows'
        elif not self.table.bounded:
            yield f"{name}: {self.table.label} never ends, so it cannot be loaded", "look up in the stream of it"
        if self.reload is not None:
            try:
                if parse_duration(self.reload) <= 0:
                    yield f"{name}: reload={self.reload!r} is no time at all", 'write a duration like "10s"'
            except ValueError as error:
                what, _, remedy = str(error).partition("; ")
                yield f"{name}: reload: {what}", remedy


class LeftLookup(Lookup, frozen=True):
    """With `how="left"`: each row gives one pair."""

    becomes: ClassVar[Becomes] = Becomes.ROW


def key_function(value: Value) -> Callable[[Any], Any]:
    """What gives the key of a row."""
    if value is None:
        return _itself
    return field_getter(value) if isinstance(value, str) else value


def _itself(row: Any) -> Any:
    return row
