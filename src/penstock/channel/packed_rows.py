"""Rows that stay as the bytes that came, with no more of each decoded than their stage reads (`plan/projection.py`).

A batch of them is a block, as `batch.Lines` and `ColumnBatch` are. Whoever asks for a row gets a new, whole one, made
of its bytes, so nothing can have changed it. Whoever passes the block on passes on its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, Raw, field
from msgspec.structs import FieldInfo, fields

from penstock.plan.projection import Projection

_ALONE_BYTES: Final = 32 * 1024
"""A payload of this size is worth a frame of its own."""
_FEW: Final = 4
"""One in so many, or fewer."""


class PackedForm:
    """How rows of one class are opened in a stage that reads some of their fields."""

    def __init__(self, projection: Projection) -> None:
        row_class = projection.row_class
        self.row_class = row_class
        self.names = projection.fields
        self._encoder = msgspec.msgpack.Encoder()
        self._all = _decoder_of_rows(row_class)
        self._one = msgspec.msgpack.Decoder(row_class)
        self._untyped = msgspec.msgpack.Decoder()
        self._raws = _decoder_of_rows(Raw)
        self._seen = _decoder_of_rows(_seen_class(row_class, self.names))

    def opened(self, payload: bytes) -> PackedRows:
        """The rows of a payload. Raises `ValidationError` where a field that is read is not what its class says."""
        return PackedRows(self, payload, None, self._seen.decode(payload))

    def raws(self, payload: bytes) -> list[Any]:
        """Each row's bytes."""
        raws: list[Any] = self._raws.decode(payload)
        return raws

    def packed(self, raws: list[Any]) -> bytes:
        """The bytes of all these rows."""
        return self._encoder.encode(raws)

    def all(self, payload: bytes) -> list[Any]:
        """Whole rows. Raises `ValidationError` for one that its class does not take."""
        rows: list[Any] = self._all.decode(payload)
        return rows

    def one(self, raw: Any) -> Any:
        """A whole row; what it has if its class does not take it, because the class is another one by now."""
        try:
            return self._one.decode(raw)
        except msgspec.ValidationError:
            return self._untyped.decode(raw)


class PackedRows:
    """A batch of rows that are not decoded."""

    __slots__ = ("_form", "_payload", "_raws", "seen")

    def __init__(self, form: PackedForm, payload: bytes | None, raws: list[Any] | None, seen: list[Any]) -> None:
        """`payload` or `raws` is there, or both."""
        self._form = form
        self._payload = payload
        self._raws = raws
        self.seen = seen
        """What functions and keys are given: an object for each row, with the fields that are read."""

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.seen)

    @property
    def row_class(self) -> Any:
        """What a whole row is."""
        return self._form.row_class

    @property
    def stands_alone(self) -> bool:
        """True: these are the bytes of a whole frame, which need not be touched, and are enough for another one."""
        return self._payload is not None and len(self._payload) >= _ALONE_BYTES

    def payload(self) -> bytes:
        """All rows, as they came."""
        return self._form.packed(self._each()) if self._payload is None else self._payload

    def _each(self) -> list[Any]:
        if self._raws is None:
            assert self._payload is not None
            self._raws = self._form.raws(self._payload)
        return self._raws

    def kept(self, seen: list[Any]) -> PackedRows:
        """The rows that these objects of `seen` stand for; in their order, and each at most once."""
        if len(seen) == self.count:
            return self
        mine, at = self.seen, 0
        indices: list[int] = []
        for row in seen:
            while mine[at] is not row:
                at += 1
            indices.append(at)
            at += 1
        return self.pick(indices)

    def slice(self, start: int, stop: int) -> PackedRows:
        """Rows `start` to `stop`."""
        return PackedRows(self._form, None, self._each()[start:stop], self.seen[start:stop])

    def parts(self, rows: int) -> list[PackedRows]:
        """The same rows in batches of `rows` rows."""
        if self.count <= rows:
            return [self]
        return [self.slice(start, start + rows) for start in range(0, self.count, rows)]

    def pick(self, indices: Sequence[int]) -> PackedRows:
        """Some of the rows."""
        raws, seen = self._each(), self.seen
        picked = [raws[index] for index in indices]
        if len(indices) * _FEW < self.count:
            picked = [raw.copy() for raw in picked]  # a few rows would keep the whole frame in memory
        return PackedRows(self._form, None, picked, [seen[index] for index in indices])

    def join(self, others: Sequence[PackedRows]) -> PackedRows | None:
        """These rows and then those of others; None where their classes, or what is read of them, differ."""
        blocks = [self, *others]
        form = self._form
        if any(other._form.row_class is not form.row_class or other._form.names != form.names for other in others):
            return None
        raws = [raw for block in blocks for raw in block._each()]
        return PackedRows(form, None, raws, [row for block in blocks for row in block.seen])

    def rows(self) -> list[Any]:
        """Whole rows, each newly made. Raises `ValidationError` for one that its class does not take."""
        return self._form.all(self.payload())

    def row(self, index: int) -> Any:
        """A whole row, newly made."""
        return self._form.one(self._each()[index])


def _decoder_of_rows(row_type: Any) -> Any:
    return msgspec.msgpack.Decoder(list[row_type])


def _seen_class(row_class: Any, names: Sequence[str]) -> Any:
    """A Struct with some fields of another one, by the same names on the wire and with the same defaults."""
    known: dict[str, FieldInfo] = {info.name: info for info in fields(row_class)}
    given = [(name, known[name].type, _with_default(known[name])) for name in names]
    return msgspec.defstruct(row_class.__name__, given, module=row_class.__module__, kw_only=True, gc=False)


def _with_default(info: FieldInfo) -> Any:
    # A row may have been sent without fields that have their default (`omit_defaults`).
    if info.default is not NODEFAULT:
        return field(default=info.default, name=info.encode_name)
    if info.default_factory is not NODEFAULT:
        return field(default_factory=info.default_factory, name=info.encode_name)
    return field(name=info.encode_name)
