"""What a life finds of columns in the log, which may have been put together from the logs of several slots.

Each change says whose keys it is about: those of some groups, where the log of a slot was copied that owned more of
them, or else all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from penstock import columns
from penstock.channel.column_keys import by_key
from penstock.channel.router import group_of_key
from penstock.event_time import NO_WATERMARK
from penstock.plan.membership import KEY_GROUPS
from penstock.slot.state.change import Change, Op
from penstock.windows.columnar.partials import END, KEY


class _Part:
    """What concerns keys of the same groups."""

    def __init__(self) -> None:
        self.partials: list[Any] = []
        self.given: dict[int, list[Any]] = {}
        self.done: int = NO_WATERMARK
        self.floor: int = NO_WATERMARK


class LoadedColumns:
    """The state that changes come to."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._parts: dict[bytes, _Part] = {b"": _Part()}
        for change in changes:
            part = self._parts.get(change.groups)
            if part is None:
                part = self._parts[change.groups] = _Part()
            self._apply(change, part)
        whole, others = self._parts[b""], [part for groups, part in self._parts.items() if groups]
        counted = [*others, whole] if whole.done != NO_WATERMARK or not others else others
        self.done: int = min(part.done for part in counted)
        """All of them have given the windows up to there."""
        self.floor: int = min(part.floor for part in counted)
        self.ahead = [(part.done, groups) for groups, part in self._parts.items() if groups and part.done > self.done]
        """Those that have given more: up to where, and their groups."""
        self.partials = [table for table in self._left() if table.num_rows]
        self.given: dict[int, list[Any]] = {}
        for part in self._parts.values():
            for window, keys in part.given.items():
                if window > part.done:
                    self.given.setdefault(window, []).extend(keys)

    def _apply(self, change: Change, part: _Part) -> None:
        about = [part] if change.groups else list(self._parts.values())
        match change.op:
            case Op.APPEND:
                part.partials.append(columns.decode_table(change.values[0]))
            case Op.REMOVE:
                keys = columns.decode_table(change.values[0])["key"]
                part.given.setdefault(change.at, []).append(keys)
            case Op.CLOSE:
                for one in about:
                    one.done, one.floor = max(one.done, change.at), max(one.floor, change.fields[0])
            case _:
                for one in about:
                    one.partials, one.given = [], {}

    def _left(self) -> Iterator[Any]:
        """What is not gone, and of the groups that count."""
        compute = columns.compute()
        for groups, part in self._parts.items():
            for partial in part.partials:
                left = partial.filter(compute.greater(partial[END], part.floor))
                yield left.filter(in_groups(left[KEY], groups)) if groups and left.num_rows else left


def in_groups(keys: Any, groups: bytes) -> Any:
    """For each key whether it is of one of the groups."""
    counted = [int(group in groups) for group in range(KEY_GROUPS)]
    return columns.compute().equal(by_key(keys, group_of_key, counted), 1)
