"""Which values are keys, and what of a key decides where its rows go: equal keys give equal bytes, in every process.

The rule is Python's own `==`: 1, 1.0, True and Decimal(1) are one key, and so are datetimes of two zones at one
instant. Python's `hash` of text differs from process to process and is not used; that of numbers does not.
"""

from __future__ import annotations

import dataclasses
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import msgspec

from penstock.graph.graph import KEYS_ARE

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LARGEST: Final = 2**63 - 1


def key_bytes(key: Any) -> bytes:
    """The same for equal keys. Raises `TypeError` for what is no key."""
    try:
        return _encode(key if key.__class__ is str else _canonical(key))
    except UnicodeEncodeError:  # half of a surrogate pair, as names of files may have
        return _encode(_without_surrogates(_canonical(key)))


def _without_surrogates(canonical: Any) -> Any:
    if isinstance(canonical, str):
        return ["surrogates", canonical.encode("utf-8", "surrogatepass")]
    return list(map(_without_surrogates, canonical)) if isinstance(canonical, list) else canonical


def _canonical(key: Any) -> Any:
    if isinstance(key, str):
        # A text of a subclass is the same key as the plain text.
        return str.__str__(key)
    if isinstance(key, (int, float, Decimal)) or _is_fraction(key):
        return _number(key)
    if key is None or type(key) is bytes:
        return key
    if isinstance(key, tuple):
        return list(map(_canonical, key))
    found = _moment(key)
    return _other(key) if found is None else found


def _is_fraction(key: Any) -> bool:
    """Without importing what makes them: who has one has imported it."""
    fractions = sys.modules.get("fractions")
    return fractions is not None and isinstance(key, fractions.Fraction)


def _number(key: Any) -> Any:
    """A whole number as it is; of the others and of very large ones their hash, which is one for all types."""
    if key.is_nan() if isinstance(key, Decimal) else key != key:
        return ["nan"]  # equal to nothing, so anywhere
    if abs(key) <= _LARGEST and key == int(key):
        return int(key)
    return ["number", hash(key)]


def _moment(key: Any) -> Any:
    """Dates and times; None: it is none."""
    if isinstance(key, datetime):
        if key.utcoffset() is None:
            return ["local", key.replace(tzinfo=None).isoformat()]
        return ["instant", (key - _EPOCH) // _MICROSECOND]
    if isinstance(key, date):
        return ["day", key.isoformat()]
    if isinstance(key, timedelta):
        return ["span", key // _MICROSECOND]
    if isinstance(key, time) and key.tzinfo is None:
        return ["time", key.isoformat()]
    return None


def _other(key: Any) -> Any:
    kind = type(key)
    if isinstance(key, UUID):
        return ["uuid", key.bytes]
    if isinstance(key, Enum):
        return ["enum", _name(kind), key.name]
    if isinstance(key, frozenset):
        return ["set", sorted(map(key_bytes, key))]
    if dataclasses.is_dataclass(kind) and _is_frozen(kind):
        compared = [field.name for field in dataclasses.fields(kind) if field.compare]
        return ["object", _name(kind), [_canonical(getattr(key, name)) for name in compared]]
    if isinstance(key, msgspec.Struct) and _is_frozen(kind):
        return ["object", _name(kind), list(map(_canonical, msgspec.structs.astuple(key)))]
    raise TypeError(f"{KEYS_ARE}, not {kind.__name__}")


def _is_frozen(kind: Any) -> bool:
    """Whether a class says that its instances stay as they are and are equal by their fields."""
    config = getattr(kind, "__dataclass_params__", None) or kind.__struct_config__
    return bool(config.frozen and config.eq)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
