"""`lookup` in a stream that changes: each of its rows is the version of its key that holds from then on."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from penstock.operators.field_key import field_getter
from penstock.operators.joined.join_call import JoinSide
from penstock.operators.joined.two_streams import TwoStreams
from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.keyed_state import StageState
from penstock.operators.looked_up.lookup import HOWS, How
from penstock.operators.looked_up.version_calls import AsOfCall, LatestCall
from penstock.operators.undo_log import UndoLog
from penstock.windows.row_reading import Value, shown_value


class StreamLookup(TwoStreams, frozen=True):
    """A row gives the pair with the version of its key: the latest that came, or the one that held at its time."""

    verb: ClassVar[str] = "lookup"

    how: How = "inner"
    versioned: bool = False
    """True: by event time."""
    gone: Value = None
    """What tells of a version that its key has no row any more; None: nothing does."""

    @property
    def name(self) -> str:
        options = "" if self.how == "inner" else f", how={self.how!r}"
        options += ", versioned=True" if self.versioned else ""
        return f"lookup(stream, on={shown_value(self.right_key)}{options})"

    @property
    def needs_times(self) -> bool:
        return self.versioned

    @property
    def carries(self) -> Sequence[Any]:
        return tuple(fn for fn in (self.right_key, self.gone) if callable(fn))

    def row_given(self, before: Any) -> Any:
        found = self.right_type
        if self.how == "left" and found is not Any:
            found = found | None
        return types.GenericAlias(tuple, (self.left_type, found))

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        gone = field_getter(self.gone) if isinstance(self.gone, str) else self.gone
        is_left = self.how == "left"
        if not self.versioned:
            return LatestCall(self.key_of(), self.right_key_of(), gone, state.values("latest"), is_left=is_left)
        left = JoinSide(self.key_of(), self.left_moment(), state.buffers("waiting"))
        right = JoinSide(self.right_key_of(), self.right_moment(), state.buffers("versions"))
        return AsOfCall(left, right, gone, state, undo, is_left=is_left)

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        if self.how not in HOWS:
            yield f"{name}: how={self.how!r} is none of {', '.join(map(repr, HOWS))}", "write one of them"
        if self.gone is not None and not isinstance(self.gone, str) and not callable(self.gone):
            yield f"{name}: gone={self.gone!r} is neither a field nor a function", "name a field, or pass a function"
