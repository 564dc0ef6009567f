"""Payloads: rows, columns and blocks of lines to bytes and back.

Rows whose type is known go as msgpack, checked against the type; scalars too; everything else as pickle 5. The type
of a row is an annotation, so it is a promise only: a batch with a row of another type is pickled.
"""

from __future__ import annotations

import pickle
import types
import typing
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgspec

from penstock.batch import Lines
from penstock.channel import columns


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


@dataclass(frozen=True, slots=True)
class Decoded:
    """A payload's rows. `failures`: rows that do not fit the type, by index, as (what came, why not)."""

    batch: Any
    failures: dict[int, tuple[Any, str]] = field(default_factory=dict)


_SCALARS = frozenset({int, float, str, bool, bytes, type(None)})


class RowCodec:
    """Encodes and decodes the batches of one edge."""

    def __init__(self, row_type: Any = Any) -> None:
        self._row_type = row_type
        self._structs = _struct_types(row_type)
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
        if isinstance(batch, Lines):
            return Codec.LINES, batch.first.to_bytes(8, "little") + batch.data
        if not isinstance(batch, list):
            return Codec.ARROW, columns.encode_table(columns.as_table(batch))
        kinds = set(map(type, batch))
        try:
            if self._structs and kinds <= self._structs:
                return Codec.TYPED, self._encoder.encode(batch)
            if kinds <= _SCALARS or (self._plain and kinds <= {dict, list}):
                return Codec.PLAIN, self._encoder.encode(batch)
        except (OverflowError, TypeError, UnicodeEncodeError):  # an int beyond 64 bits, a lone surrogate, a broken promise
            pass
        return Codec.PICKLE, pickle.dumps(batch, 5)

    def decode(self, codec: int, payload: bytes) -> Decoded:
        """The rows of a payload."""
        match codec:
            case Codec.TYPED:
                try:
                    return Decoded(self._typed.decode(payload))
                except msgspec.ValidationError:
                    return self._decode_one_by_one(payload)
            case Codec.PLAIN:
                return Decoded(self._untyped.decode(payload))
            case Codec.PICKLE:
                return Decoded(pickle.loads(payload))
            case Codec.ARROW:
                return Decoded(columns.decode_table(payload))
            case Codec.LINES:
                return Decoded(Lines(payload[8:], int.from_bytes(payload[:8], "little")))
            case Codec.JOINED:
                return self._decode_joined(payload)
        raise ValueError(f"unknown codec {codec}")

    def _decode_joined(self, payload: bytes) -> Decoded:
        stored = msgspec.msgpack.decode(payload, type=list[tuple[int, bytes]])
        parts = [self.decode(codec, data) for codec, data in stored]
        if not all(isinstance(part.batch, list) for part in parts):
            return Decoded(columns.arrow().concat_tables([columns.as_table(part.batch) for part in parts]))
        rows: list[Any] = []
        failures: dict[int, tuple[Any, str]] = {}
        for part in parts:
            failures.update({len(rows) + index: failure for index, failure in part.failures.items()})
            rows.extend(part.batch)
        return Decoded(rows, failures)

    def _decode_one_by_one(self, payload: bytes) -> Decoded:
        one = msgspec.msgpack.Decoder(self._row_type)
        rows: list[Any] = []
        failures: dict[int, tuple[Any, str]] = {}
        for index, raw in enumerate(msgspec.msgpack.decode(payload, type=list[msgspec.Raw])):
            try:
                rows.append(one.decode(raw))
            except msgspec.ValidationError as exc:
                rows.append(None)
                failures[index] = (self._untyped.decode(raw), f"the row is no {_shown(self._row_type)}: {exc}")
        return Decoded(rows, failures)


def join_payloads(parts: list[tuple[int, bytes]]) -> tuple[Codec, bytes]:
    """One payload of several, for a side file."""
    return Codec.JOINED, msgspec.msgpack.encode(parts)


def _shown(row_type: Any) -> str:
    return getattr(row_type, "__name__", str(row_type))


def _struct_types(row_type: Any) -> frozenset[type]:
    """The Struct classes that a row may be, when msgpack carries all of them faithfully; else none."""
    members = typing.get_args(row_type) if _is_union(row_type) else (row_type,)
    if not all(isinstance(m, type) and issubclass(m, msgspec.Struct) for m in members):
        return frozenset()
    if not all(_is_faithful(member, set()) for member in members):
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


def _is_faithful(annotation: Any, seen: set[Any]) -> bool:
    """True when a value of this type comes back from typed msgpack as what it was."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        if annotation in seen:
            return True
        seen.add(annotation)
        try:
            fields = msgspec.structs.fields(annotation)
        except (NameError, TypeError):  # an annotation that cannot be resolved
            return False
        plain_init = not hasattr(annotation, "__post_init__")
        return plain_init and all(_is_faithful(f.type, seen) for f in fields)
    if annotation in _SCALARS or annotation is None:
        return True
    if _is_union(annotation):
        return all(_is_faithful(a, seen) for a in typing.get_args(annotation))
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, set, frozenset):
        return _is_faithful(args[0], seen)
    if origin is tuple:
        return all(a is Ellipsis or _is_faithful(a, seen) for a in args)
    if origin is dict:
        return args[0] in (str, int) and _is_faithful(args[1], seen)
    return getattr(annotation, "__module__", "") in ("datetime", "decimal", "uuid")
