"""Payloads: rows, columns and blocks of lines to bytes and back.

Rows whose type is known go as msgpack, checked against the type; scalars too; everything else as pickle 5. The type
of a row is an annotation, so it is a promise only: a batch with a row of another type is pickled, and so is one whose
rows would come back as less than they were (subclasses in fields, moments of a time zone).
"""

from __future__ import annotations

import pickle
import types
import typing
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from itertools import chain
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec

from penstock.batch import Lines, WrittenLines
from penstock.channel import columns
from penstock.channel.pickled_rows import RowWatch, unpickled_apart


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


class Decoded(msgspec.Struct, frozen=True):
    """A payload's rows. `failures`: rows that fit no type or cannot be unpickled, by index, as (what came, why)."""

    batch: Any
    failures: dict[int, tuple[Any, BaseException | str]] = {}


_SCALARS = frozenset({int, float, str, bool, bytes, type(None)})
_EXACT = frozenset({date, timedelta, Decimal, UUID})
"""Types of the standard library that typed msgpack gives back as they were."""


class RowCodec:
    """Encodes and decodes the batches of one edge."""

    def __init__(self, row_type: Any = Any) -> None:
        self._row_type = row_type
        self._structs = _struct_types(row_type)
        self._nested = frozenset(chain.from_iterable(map(_nested_structs, self._structs)))
        self._moments: dict[type, Callable[[Any], Any]] = {
            struct: attrgetter(*names) for struct in self._structs if (names := _moment_fields(struct))
        }
        self._plain = not self._structs and _is_plain(row_type)
        self._encoder = msgspec.msgpack.Encoder()
        self._untyped = msgspec.msgpack.Decoder()
        self._typed = msgspec.msgpack.Decoder(list[row_type]) if self._structs else self._untyped

    @property
    def name(self) -> str:
        """What a plan shows."""
        if self._structs:
            return "msgpack, typed"
        return "msgpack" if self._plain else "msgpack for scalars, else pickle"

    def encode(self, batch: Any) -> tuple[Codec, bytes]:
        """(codec, payload). Raises whatever pickle raises for a row that it cannot carry."""
        if isinstance(batch, WrittenLines):
            return Codec.WRITTEN, batch.data
        if isinstance(batch, Lines):
            return Codec.LINES, batch.first.to_bytes(8, "little") + batch.data
        if not isinstance(batch, list):
            return Codec.ARROW, columns.encode_table(columns.as_table(batch))
        kinds = _kinds(batch)
        try:
            if self._structs and kinds <= self._structs and self._comes_back(batch):
                return Codec.TYPED, self._encoder.encode(batch)
            if kinds <= _SCALARS or (self._plain and kinds <= {dict, list}):
                return Codec.PLAIN, self._encoder.encode(batch)
        except (OverflowError, TypeError, UnicodeEncodeError):  # beyond 64 bits, a lone surrogate, a broken promise
            pass
        return Codec.PICKLE, pickle.dumps(batch, 5)

    def decode(self, codec: int, payload: bytes, rows: int = -1, watch: RowWatch | None = None) -> Decoded:
        """The rows of a payload. `rows`: how many there are, where that is known.

        Pickled rows run code of their classes: where that fails, or `watch` asks for it, they are decoded one by one.
        """
        match codec:
            case Codec.TYPED:
                try:
                    return Decoded(self._typed.decode(payload))
                except msgspec.ValidationError:
                    return self._decode_one_by_one(payload)
            case Codec.PLAIN:
                return Decoded(self._untyped.decode(payload))
            case Codec.PICKLE:
                return self._unpickled(payload, watch)
            case Codec.ARROW:
                return Decoded(columns.decode_table(payload))
            case Codec.LINES:
                return Decoded(Lines(payload[8:], int.from_bytes(payload[:8], "little"), rows))
            case Codec.WRITTEN:
                return Decoded(WrittenLines(payload, 0, rows))
            case Codec.JOINED:
                return self._decode_joined(payload, watch)
        raise ValueError(f"unknown codec {codec}")

    def _comes_back(self, batch: Sequence[Any]) -> bool:
        """False: rows of the promised types that msgpack would give back as less than they are."""
        if any(struct.__subclasses__() for struct in self._nested):
            return False  # a field may hold a subclass, of which only the promised fields would arrive
        if not self._moments:
            return True
        return all(_are_utc(found(row)) for row in batch if (found := self._moments.get(row.__class__)))

    def _unpickled(self, payload: bytes, watch: RowWatch | None) -> Decoded:
        if watch is not None and watch.one_by_one:
            return Decoded(*unpickled_apart(payload, watch))
        try:
            return Decoded(pickle.loads(payload))
        except (MemoryError, KeyboardInterrupt):
            raise
        except BaseException:  # whatever code of the rows' classes raises: it is seen which row's that is
            return Decoded(*unpickled_apart(payload, watch))

    def _decode_joined(self, payload: bytes, watch: RowWatch | None) -> Decoded:
        stored = msgspec.msgpack.decode(payload, type=list[tuple[int, bytes]])
        parts: list[Decoded] = []
        for codec, data in stored:
            parts.append(self.decode(codec, data, -1, watch))
            if watch is not None:
                watch.passed += _length(parts[-1].batch)
        batches = [part.batch for part in parts]
        if all(isinstance(batch, WrittenLines) for batch in batches):
            return Decoded(WrittenLines(b"".join(batch.data for batch in batches), 0))
        if not any(isinstance(batch, (list, Lines)) for batch in batches) and _have_one_schema(batches):
            return Decoded(columns.arrow().concat_tables(batches))
        rows: list[Any] = []
        failures: dict[int, tuple[Any, BaseException | str]] = {}
        for part in parts:
            made, unmade = self._rows(part.batch)
            failures.update({len(rows) + index: failure for index, failure in unmade.items()})
            failures.update({len(rows) + index: failure for index, failure in part.failures.items()})
            rows.extend(made)
        return Decoded(rows, failures)

    def _rows(self, batch: Any) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
        if isinstance(batch, Lines):
            return batch.split(), {}
        return (batch, {}) if isinstance(batch, list) else columns.rows_or_failures(batch, self._row_type)

    def _decode_one_by_one(self, payload: bytes) -> Decoded:
        one = msgspec.msgpack.Decoder(self._row_type)
        rows: list[Any] = []
        failures: dict[int, tuple[Any, BaseException | str]] = {}
        for index, raw in enumerate(msgspec.msgpack.decode(payload, type=list[msgspec.Raw])):
            try:
                rows.append(one.decode(raw))
            except msgspec.ValidationError as exc:
                rows.append(None)
                failures[index] = (self._untyped.decode(raw), f"the row is no {_shown(self._row_type)}: {exc}")
        return Decoded(rows, failures)


def _length(batch: Any) -> int:
    if isinstance(batch, (Lines, WrittenLines)):
        return batch.count
    return len(batch) if isinstance(batch, list) else int(batch.num_rows)


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


def _have_one_schema(tables: Sequence[Any]) -> bool:
    return all(table.schema.equals(tables[0].schema) for table in tables)


def _shown(row_type: Any) -> str:
    return getattr(row_type, "__name__", str(row_type))


def _struct_types(row_type: Any) -> frozenset[type]:
    """The Struct classes that a row may be, when msgpack carries all of them faithfully; else none."""
    members = typing.get_args(row_type) if _is_union(row_type) else (row_type,)
    if not all(isinstance(m, type) and issubclass(m, msgspec.Struct) for m in members):
        return frozenset()
    if not all(_is_faithful_row(member) for member in members):
        return frozenset()
    try:
        msgspec.msgpack.Decoder(list[row_type])  # a union without tags is refused here
    except TypeError:
        return frozenset()
    return frozenset(members)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _is_plain(annotation: Any) -> bool:
    """Dicts with text keys, lists and scalars: msgpack gives back what it was given."""
    if annotation in _SCALARS or annotation is None:
        return True
    if _is_union(annotation):
        return all(_is_plain(a) for a in typing.get_args(annotation))
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return _is_plain(args[0])
    return origin is dict and args[0] is str and _is_plain(args[1])


def _is_faithful_row(struct: Any) -> bool:
    return _has_plain_fields(struct) and all(
        _is_moment(f.type) or _is_faithful(f.type, {struct}) for f in msgspec.structs.fields(struct)
    )


def _is_faithful(annotation: Any, seen: set[Any]) -> bool:
    """True when a value of this type comes back from typed msgpack as what it was."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        if annotation in seen:
            return not any(_is_moment(f.type) for f in msgspec.structs.fields(annotation))
        seen.add(annotation)
        fields = msgspec.structs.fields(annotation) if _has_plain_fields(annotation) else None
        return fields is not None and all(_is_faithful(f.type, seen) for f in fields)
    if annotation in _SCALARS or annotation in _EXACT or annotation is None:
        return True
    if _is_union(annotation):
        return all(_is_faithful(a, seen) for a in typing.get_args(annotation))
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, set, frozenset):
        return _is_faithful(args[0], seen)
    if origin is tuple:
        return all(a is Ellipsis or _is_faithful(a, seen) for a in args)
    return origin is dict and args[0] in (str, int) and _is_faithful(args[1], seen)


def _has_plain_fields(struct: Any) -> bool:
    """True when the fields are all there is to an instance, and their annotations can be resolved."""
    try:
        msgspec.structs.fields(struct)
    except (NameError, TypeError):
        return False
    return not hasattr(struct, "__post_init__")


def _is_moment(annotation: Any) -> bool:
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    return datetime in members and set(members) <= {datetime, type(None)}


def _moment_fields(struct: Any) -> list[str]:
    return [f.name for f in msgspec.structs.fields(struct) if _is_moment(f.type)]


def _are_utc(found: Any) -> bool:
    """False: msgpack would give a moment back in UTC that was in another time zone."""
    return all(
        value is None or (value.__class__ is datetime and (value.tzinfo is None or value.tzinfo is UTC))
        for value in (found if found.__class__ is tuple else (found,))
    )


def _nested_structs(struct: Any) -> frozenset[type[msgspec.Struct]]:
    """The Struct classes that fields may hold, however deep."""
    found: set[Any] = set()
    waiting: list[Any] = [f.type for f in msgspec.structs.fields(struct)]
    while waiting:
        annotation = waiting.pop()
        waiting.extend(typing.get_args(annotation))
        if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) and annotation not in found:
            found.add(annotation)
            waiting.extend(f.type for f in msgspec.structs.fields(annotation))
    return frozenset(found)

