"""What verbs over two streams have in common: the key of the right rows, and what the planner says of both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from msgspec.structs import replace

from penstock.operators.field_key import field_getter
from penstock.operators.keyed_operator import KeyedOperator
from penstock.operators.verb import Becomes
from penstock.windows.row_reading import Value


class TwoStreams(KeyedOperator, frozen=True):
    """`key` is that of the left rows. What it is given are left rows, and right ones in a `RightRow`."""

    becomes: ClassVar[Becomes] = Becomes.ROWS
    has_function: ClassVar[bool] = False

    right_key: Value = None
    left_type: Any = Any
    """This and what follows are what the planner says."""
    right_type: Any = Any
    left_time: Any = None
    right_time: Any = None

    def between(self, left: Any, right: Any, left_time: Any = None, right_time: Any = None) -> Self:
        """As it stands in a plan."""
        return replace(self, left_type=left, right_type=right, left_time=left_time, right_time=right_time)

    @property
    def needs_times(self) -> bool:
        """True: the rows of both sides must have event times."""
        return True

    @property
    def row_taken(self) -> Any:
        return Any

    @property
    def carries(self) -> Sequence[Any]:
        return (self.right_key,) if callable(self.right_key) else ()

    def right_key_of(self) -> Callable[[Any], Any]:
        """What gives the key of a right row."""
        on = self.right_key
        key_of = field_getter(on) if isinstance(on, str) else on
        assert key_of is not None
        return key_of

    def left_moment(self) -> Callable[[Any], int]:
        """What gives the time of a left row, in microseconds."""
        made: Callable[[Any], int] = self.left_time.moment_of(self.left_time.function())
        return made

    def right_moment(self) -> Callable[[Any], int]:
        """The same of a right row."""
        made: Callable[[Any], int] = self.right_time.moment_of(self.right_time.function())
        return made
