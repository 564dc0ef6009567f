"""`event_time`: says when what a row tells of happened. Rows are passed on; the stage's watermark follows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
from msgspec.structs import replace

from penstock.event_time import moments, moments_of_field
from penstock.operators.verb import TIME_MODULES, Becomes, CallText, Operator
from penstock.options import Duration, parse_duration
from penstock.signatures.callables import fn_name
from penstock.signatures.fields_read import fields_of

if TYPE_CHECKING:
    from penstock.operators.moment_text import MomentText


class Field(msgspec.Struct, frozen=True):
    """Reads a field of a row, as `event_time("ts")` and `key_by("user")` name it."""

    name: str

    def __call__(self, row: Any) -> Any:
        return row[self.name] if isinstance(row, dict) else getattr(row, self.name)


class EventTime(Operator, frozen=True):
    """`fn(row)` gives the time of a row, as a `datetime` or as a number of `unit`s since 1970."""

    verb: ClassVar[str] = "event_time"
    becomes: ClassVar[Becomes] = Becomes.PASSED
    needs_result: ClassVar[str] = "return the time of the row"

    disorder: Duration = 0.0
    """Rows may be older than the newest one before them by this much, and are not late."""
    idle_after: Duration | None = None
    """An input that has nothing for so long holds up no watermark; None: each is waited for."""
    unit: str = "s"
    row_type: Any = Any
    """Of the rows that it is given; the planner says."""

    def placed(self, row_type: Any) -> Self:
        """As it stands in a plan."""
        return replace(self, row_type=row_type)

    def code(self, call: CallText, row: str) -> str:
        return self._moment_text().expression(row, call(row))

    @property
    def code_names(self) -> Mapping[str, Any]:  # type: ignore[override]
        return self._moment_text().names

    def _moment_text(self) -> MomentText:
        from penstock.operators.moment_text import moment_text  # this module is imported by every worker

        return moment_text(self, self.row_type)

    @property
    def name(self) -> str:
        """`event_time('ts', disorder='5s')`, as messages and plans show it."""
        given = [repr(self.fn.name) if isinstance(self.fn, Field) else fn_name(self.fn)]
        given += [f"disorder={self.disorder!r}"] if self.disorder else []
        given += [f"idle_after={self.idle_after!r}"] if self.idle_after is not None else []
        given += [f"unit={self.unit!r}"] if self.unit != "s" else []
        return f"{self.verb}({', '.join(given)})"

    @property
    def field(self) -> str | None:
        """The field that has the time; None: a function gives it."""
        return self.fn.name if isinstance(self.fn, Field) else None

    @property
    def disorder_us(self) -> int:
        return round(parse_duration(self.disorder) * 1e6)

    @property
    def idle_after_s(self) -> float | None:
        return None if self.idle_after is None else parse_duration(self.idle_after)

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        return fields_of([self.field or self.fn], row_class)

    def row_given(self, before: Any) -> Any:
        return before

    @property
    def modules(self) -> Sequence[str]:
        return ("penstock.operators.moment_text", *TIME_MODULES)

    def moments(self) -> Callable[[Any], int]:
        """What gives the moment of a row, newly made."""
        return self.moment_of(self.function())

    def moment_of(self, fn: Callable[[Any], Any]) -> Callable[[Any], int]:
        """What gives the moment of a row. `fn`: as `function()` has made it."""
        if isinstance(fn, Field):
            return moments_of_field(self.unit, fn.name)
        moment = moments(self.unit)
        return lambda row: moment(fn(row))

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        try:
            moments(self.unit)
        except ValueError as error:
            what, _, remedy = str(error).partition("; ")
            yield f"{name}: {what}", remedy
        for option, value in (("disorder", self.disorder), ("idle_after", self.idle_after)):
            if value is None and option == "idle_after":
                continue
            try:
                parse_duration(value)  # type: ignore[arg-type]
            except ValueError as error:
                what, _, remedy = str(error).partition("; ")
                yield f"{name}: {option}: {what}", remedy
