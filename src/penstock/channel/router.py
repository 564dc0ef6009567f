"""Which receiving slot a row goes to. Pure: rows and numbers go in, (channel, rows) come out.

A key belongs to one of 256 groups, for good; a table says which slot owns the group (`plan/membership.py`). `keys`
says what a key is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from penstock import columns
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.column_keys import are_keys, by_key
from penstock.channel.keys import key_bytes
from penstock.channel.packed_rows import PackedRows
from penstock.column_rows import shown_row
from penstock.columns import compute
from penstock.ctrl_c import is_ctrl_c
from penstock.operators.field_key import field_getter
from penstock.plan.membership import KEY_GROUPS
from penstock.plan.plan import Route

_CACHED_KEYS = 65536


def group_of_key(key: Any) -> int:
    """The key's group, the same in every process, run and version. Raises `TypeError` for what is no key."""
    return crc32(key_bytes(key)) % KEY_GROUPS


class KeyFailure:
    """A row whose key could not be computed."""

    def __init__(self, row: Any, error: BaseException) -> None:
        self.row = row
        self.error = error


class Router:
    """Routes the rows of one edge from one sending slot; channels are numbered as the plan lists them."""

    def __init__(
        self, route: Route, channels: int, key: str | Callable[[Any], Any] | None = None, table: Sequence[int] = (),
    ) -> None:
        """`table`: the channel of each key group, where rows go by their key."""
        self.route = route
        self._channels = channels
        self._table = tuple(table)
        self._key = field_getter(key) if isinstance(key, str) else key
        self._field = key if isinstance(key, str) else None
        self._slots: dict[Any, int] = {}

    def split(
        self, batch: Any, rooms: Callable[[], Sequence[int]], turn: int
    ) -> tuple[list[tuple[int, Any]], list[KeyFailure]]:
        """(channel, part of the batch) for every channel that gets rows, and the rows without a key.

        `rooms` gives the free bytes of each channel; asked only where it matters.
        """
        match self.route:
            case Route.BROADCAST:
                return [(i, batch) for i in range(self._channels)], []
            case Route.DEAL:
                return [(turn % self._channels, batch)], []
            case _ if self._channels == 1 and self.route is not Route.HASH:
                return [(0, batch)], []
            case Route.HASH:
                return self._by_key(batch)
            case _:  # balance: whoever has most room gets all of it
                free = rooms()
                return [(max(range(self._channels), key=free.__getitem__), batch)], []

    def _by_key(self, batch: Any) -> tuple[list[tuple[int, Any]], list[KeyFailure]]:
        if isinstance(batch, ColumnBatch):
            return self._columns_by_key(batch)
        if isinstance(batch, PackedRows):
            picked, keyless = self._group(batch.seen, list(range(batch.count)))
            given = [(slot, batch.pick(indices)) for slot, indices in picked.items()]
            return given, [KeyFailure(batch.row(index), error) for index, error in keyless]
        rows = batch if isinstance(batch, list) else batch.rows()
        parts, failures = self._group(rows, rows)
        return list(parts.items()), [KeyFailure(rows[index], error) for index, error in failures]

    def _columns_by_key(self, batch: ColumnBatch) -> tuple[list[tuple[int, Any]], list[KeyFailure]]:
        table = batch.table()
        if self._field is not None and self._field in table.column_names:
            whole = self._whole_columns(batch, table, self._field)
            if whole is not None:
                return whole, []
        wanted = table if self._field is None else table.select([self._field])
        keys, unmade = columns.rows_or_failures(wanted, Any)
        at = [index for index in range(len(keys)) if index not in unmade]
        parts, failures = self._group([keys[index] for index in at] if unmade else keys, at)
        keyless = [KeyFailure(shown_row(table.slice(at[index], 1))[0], error) for index, error in failures]
        for index, (_, reason) in unmade.items():
            keyless.append(KeyFailure(shown_row(table.slice(index, 1))[0], ValueError(reason)))
        return [(slot, batch.pick(indices)) for slot, indices in parts.items()], keyless

    def _whole_columns(self, batch: ColumnBatch, table: Any, field: str) -> list[tuple[int, Any]] | None:
        """The parts of a batch by a column of keys; None: some of them must be looked at row by row."""
        if self._channels == 1 and are_keys(table.column(field).type):
            return [(0, batch)]
        try:
            slots = by_key(table.column(field), group_of_key, self._table)
        except BaseException as exc:  # a value that is no key, or that Python has no type for
            if is_ctrl_c(exc):
                raise
            return None
        found = sorted(compute().unique(slots).to_pylist())
        if len(found) == 1:
            return [(found[0], batch)]
        return [(slot, batch.where(compute().equal(slots, slot))) for slot in found]

    def _group(self, rows: list[Any], what: list[Any]) -> tuple[dict[int, list[Any]], list[tuple[int, BaseException]]]:
        """Parts of `what` by slot, and the index of each row without a key."""
        parts: dict[int, list[Any]] = {}
        failures: list[tuple[int, BaseException]] = []
        slots, key_of = self._slots, self._key
        assert key_of is not None
        for index, (row, item) in enumerate(zip(rows, what, strict=True)):
            try:
                key = key_of(row)
                # Only text and bytes are remembered: of other keys there may be as many as rows.
                slot = slots.get(key) if key.__class__ is str or key.__class__ is bytes else None
                if slot is None:
                    slot = self._remember(key)
            except BaseException as exc:  # the user's key function, be it an exit or a panic: its error is the row's
                if is_ctrl_c(exc):
                    raise
                failures.append((index, exc))
                continue
            part = parts.get(slot)
            if part is None:
                parts[slot] = [item]
            else:
                part.append(item)
        return parts, failures

    def _remember(self, key: Any) -> int:
        slot = self._table[group_of_key(key)]
        if key.__class__ is str or key.__class__ is bytes:
            if len(self._slots) >= _CACHED_KEYS:
                # All at once: what to forget would have to be noted at every row.
                self._slots.clear()
            self._slots[key] = slot
        return slot
