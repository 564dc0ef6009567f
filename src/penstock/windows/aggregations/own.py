"""The user's own aggregation: a class whose instances are accumulators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

import msgspec

from penstock.signatures.annotations import returned_by
from penstock.windows.aggregations.aggregation import Aggregation, Names

T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@runtime_checkable
class Accumulator(Protocol[T_contra, R_co]):
    """What a class must have to be an aggregation: it is made without arguments, for each key and window.

    Make it a `msgspec.Struct` or a dataclass, whose fields are annotated: that is how state is kept.
    """

    def add(self, row: T_contra, /) -> None:
        """Take in a row."""

    def merge(self, other: Self, /) -> None:
        """Take in what `other` has taken in, after all that this one has. `other` must stay as it is."""

    def result(self) -> R_co:
        """What the window gives. Changes nothing."""


class Own(Aggregation, frozen=True):
    """Place: an instance. A row is added to a copy: if `add` raises half-way, nothing has happened."""

    kind: Any = None

    verb: ClassVar[str] = "own"
    guard: ClassVar[int] = -1

    @property
    def call(self) -> str:
        return str(getattr(self.kind, "__name__", self.kind))

    @property
    def names(self) -> Mapping[str, Any]:
        own = OwnCalls(self.kind)
        return {self._known("begun"): own.begun, self._known("grown"): own.grown, self._known("joined"): own.joined}

    def _known(self, verb: str) -> str:
        return f"{verb}_{self.kind.__name__}_{id(self.kind):x}"

    def first(self, x: Names) -> Sequence[str]:
        return (f"{self._known('begun')}({x[0]})",)

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return (f"{self._known('grown')}({a[0]}, {x[0]})",)

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"{self._known('joined')}({a[0]}, {b[0]})",)

    def result(self, a: Names) -> str:
        return f"{a[0]}.result()"

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (self.kind,)

    def result_type(self, types: Sequence[Any]) -> Any:
        return returned_by(self.kind.result)

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        absent = [name for name in ("add", "merge", "result") if not callable(getattr(self.kind, name, None))]
        if absent:
            yield f"{self.name} has no {', '.join(absent)}", "define add(row), merge(other) and result() in it"
            return
        try:
            msgspec.msgpack.Decoder(self.kind)
            known = not isinstance(msgspec.inspect.type_info(self.kind), msgspec.inspect.CustomType)
        except (TypeError, NameError) as error:
            yield f"{self.name}: {error}", "annotate its fields with types that msgspec can decode"
            return
        if not known:
            yield f"{self.name} cannot be kept as state", "make it a msgspec.Struct or a dataclass"


class OwnCalls:
    """What is called of a class of the user's."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def begun(self, row: Any) -> Any:
        """An accumulator with one row."""
        made = self._kind()
        made.add(row)
        return made

    def grown(self, accumulator: Any, row: Any) -> Any:
        """A copy with another row."""
        copy = self._decode(self._encode(accumulator))
        copy.add(row)
        return copy

    def joined(self, accumulator: Any, other: Any) -> Any:
        """A copy with all that another one has."""
        copy = self._decode(self._encode(accumulator))
        copy.merge(other)
        return copy
