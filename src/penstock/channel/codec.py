"""Payloads: rows, columns and blocks of lines to bytes and back. What comes back is what was given, types and all.

Rows whose type is known go as msgpack, and scalars do; everything else as pickle 5 (`plan/travel.py`). The type of a
row is an annotation, so it is a promise only: a batch with a row or a value of another type is pickled (`exact`).
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

from penstock import columns
from penstock.batch import Lines, WrittenLines
from penstock.channel.by_position import ByPosition, OtherFields, by_name, goes_by_position
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.exact import ExactRows, all_plain
from penstock.channel.packed_rows import PackedForm, PackedRows
from penstock.channel.pickled_rows import RowWatch, unpickled_apart
from penstock.channel.pickled_structs import keep_as_it_is, keep_structs_as_they_are
from penstock.ctrl_c import is_ctrl_c
from penstock.plan.projection import Projection
from penstock.plan.travel import SCALARS, Form, travel_of


class Codec(IntEnum):
    """How a payload is written; stands in the frame's header."""

    TYPED = 1
    """msgpack of the edge's row type."""
    PLAIN = 2
    """msgpack of dicts, lists and scalars."""
    PICKLE = 3
    ARROW = 4
    LINES = 5
    JOINED = 6
    """Several payloads, each with its codec; only in side files."""
    WRITTEN = 7
    """The lines that the sink will write."""
    POSITIONAL = 8
    """msgpack of the edge's row type, by position."""


class Decoded(msgspec.Struct, frozen=True):
    """A payload's rows. `failures`: rows that fit no type or cannot be unpickled, by index, as (what came, why)."""

    batch: Any
    failures: dict[int, tuple[Any, BaseException | str]] = {}


class RowCodec:
    """Encodes and decodes the batches of one edge."""

    def __init__(
        self, row_type: Any = Any, projection: Projection | None = None, *, whole_rows: bool = False
    ) -> None:
        """`projection`: what is decoded of typed rows; None: all of it. `whole_rows`: so does whoever is sent rows."""
        self._row_type = row_type
        self._packed = None if projection is None else PackedForm(projection)
        travel = travel_of(row_type)
        self._structs = travel.structs
        self._exact = ExactRows(travel.structs)
        by_position = len(travel.structs) == 1 and goes_by_position(row_type)
        self._by_position = ByPosition(row_type, self._exact) if by_position else None
        self._whole_rows = whole_rows
        self._plain = travel.form is Form.PLAIN
        self._encoder = msgspec.msgpack.Encoder()
        self._untyped = msgspec.msgpack.Decoder()
        self._typed = msgspec.msgpack.Decoder(list[row_type]) if self._structs else self._untyped
        keep_structs_as_they_are()

    def encode(self, batch: Any) -> tuple[Codec, bytes]:
        """(codec, payload). Raises whatever pickle raises for a row that it cannot carry."""
        if isinstance(batch, WrittenLines):
            return Codec.WRITTEN, batch.data
        if isinstance(batch, Lines):
            return Codec.LINES, batch.first.to_bytes(8, "little") + batch.data
        if isinstance(batch, PackedRows):
            if self._structs == {batch.row_class}:
                return Codec.TYPED, batch.payload()
            batch = batch.rows()
        if not isinstance(batch, list):
            return Codec.ARROW, columns.encode_table(batch.table())
        kinds = _kinds(batch)
        try:
            if self._structs and kinds <= self._structs:
                codec, payload = self._typed_payload(batch)
                if payload is not None:
                    return codec, payload
            if kinds <= SCALARS or (self._plain and kinds <= {dict, list} and all_plain(batch)):
                return Codec.PLAIN, self._encoder.encode(batch)
        except (OverflowError, TypeError, UnicodeEncodeError):  # beyond 64 bits, a lone surrogate
            pass
        for kind in kinds:  # classes may have been made since this codec was
            keep_as_it_is(kind)
        return Codec.PICKLE, pickle.dumps(batch, 5)

    def _typed_payload(self, rows: list[Any]) -> tuple[Codec, bytes | None]:
        """None: some row is not exactly what its class says."""
        if self._whole_rows and self._by_position is not None:  # by name, those who read little find it sooner
            return Codec.POSITIONAL, self._by_position.encode(rows)
        return Codec.TYPED, self._encoder.encode(rows) if self._exact.all_fit(rows) else None

    def decode(self, codec: int, payload: bytes, rows: int = -1, watch: RowWatch | None = None) -> Decoded:
        """The rows of a payload. `rows`: how many there are, where that is known.

        Pickled rows run code of their classes: where that fails, or `watch` asks for it, they are decoded one by one.
        """
        match codec:
            case Codec.TYPED:
                try:
                    if self._packed is not None:
                        return Decoded(self._packed.opened(payload))
                    return Decoded(self._typed.decode(payload))
                except msgspec.ValidationError:
                    # It says nothing about the other rows of the batch.
                    return self._decode_one_by_one(payload)
            case Codec.POSITIONAL:
                return self._decode_by_position(payload)
            case Codec.PLAIN:
                return Decoded(self._untyped.decode(payload))
            case Codec.PICKLE:
                return self._unpickled(payload, watch)
            case Codec.ARROW:
                return Decoded(ColumnBatch(columns.decode_table(payload), self._row_type))
            case Codec.LINES:
                return Decoded(Lines(payload[8:], int.from_bytes(payload[:8], "little"), rows))
            case Codec.WRITTEN:
                return Decoded(WrittenLines(payload, 0, rows))
            case Codec.JOINED:
                return self._decode_joined(payload, watch)
        raise ValueError(f"unknown codec {codec}")

    def _unpickled(self, payload: bytes, watch: RowWatch | None) -> Decoded:
        if watch is not None and watch.one_by_one:
            return Decoded(*unpickled_apart(payload, watch))
        try:
            return Decoded(pickle.loads(payload))
        except MemoryError:
            raise
        except BaseException as exc:  # whatever code of the rows' classes raises: it is seen which row's that is
            if is_ctrl_c(exc):
                raise
            return Decoded(*unpickled_apart(payload, watch))

    def _decode_joined(self, payload: bytes, watch: RowWatch | None) -> Decoded:
        stored = msgspec.msgpack.decode(payload, type=list[tuple[int, bytes]])
        parts: list[Decoded] = []
        for codec, data in stored:
            # Not that of a right side of a join: what it puts around rows goes around them once.
            parts.append(RowCodec.decode(self, codec, data, -1, watch))
            if watch is not None:
                watch.passed += _length(parts[-1].batch)
        first, others = parts[0].batch, [part.batch for part in parts[1:]]
        if not isinstance(first, list) and all(type(other) is type(first) for other in others):
            joined = first.join(others)
            if joined is not None:
                return Decoded(joined)
        # Kinds or columns differ: rows are what they have in common.
        rows: list[Any] = []
        failures: dict[int, tuple[Any, BaseException | str]] = {}
        for part in parts:
            made, unmade = _rows(part.batch)
            failures.update({len(rows) + index: failure for index, failure in unmade.items()})
            failures.update({len(rows) + index: failure for index, failure in part.failures.items()})
            rows.extend(made)
        return Decoded(rows, failures)

    def _decode_by_position(self, payload: bytes) -> Decoded:
        if self._by_position is not None:
            try:
                return Decoded(self._by_position.decode(payload))
            except (OtherFields, msgspec.ValidationError):  # the class has changed since
                pass
        payload = by_name(payload, self._row_type)
        try:
            return Decoded(self._typed.decode(payload))
        except msgspec.ValidationError:
            return self._decode_one_by_one(payload)

    def _decode_one_by_one(self, payload: bytes) -> Decoded:
        one = msgspec.msgpack.Decoder(self._row_type)
        rows: list[Any] = []
        failures: dict[int, tuple[Any, BaseException | str]] = {}
        for index, raw in enumerate(msgspec.msgpack.decode(payload, type=list[msgspec.Raw])):
            try:
                rows.append(one.decode(raw))
            except msgspec.ValidationError as exc:
                rows.append(None)
                failures[index] = (self._untyped.decode(raw), f"the row does not fit {_shown(self._row_type)}: {exc}")
        return Decoded(rows, failures)


def _length(batch: Any) -> int:
    return len(batch) if isinstance(batch, list) else int(batch.count)


def _rows(batch: Any) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
    if isinstance(batch, ColumnBatch):
        return batch.rows_or_failures()
    return (batch if isinstance(batch, list) else batch.rows()), {}


def _kinds(batch: list[Any]) -> set[type]:
    """The types of the rows."""
    first = type(batch[0]) if batch else None
    for row in batch:
        if type(row) is not first:
            return set(map(type, batch))
    return {first} if first is not None else set()


def join_payloads(parts: Sequence[tuple[int, bytes]]) -> tuple[Codec, bytes]:
    """One payload of several, for a side file."""
    return Codec.JOINED, msgspec.msgpack.encode(parts)


def _shown(row_type: Any) -> str:
    return getattr(row_type, "__name__", str(row_type))
