"""A hash of 64 bits that is the same in every process: equal values have equal hashes, as Python's `==` has it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from hashlib import blake2b
from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_LARGEST = 2**63


def stable_hash(value: Any) -> int:
    """Raises `TypeError` for what cannot be hashed this way."""
    data = str.encode(value, "utf-8", "surrogatepass") if isinstance(value, str) else _encode(_canonical(value))
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _canonical(value: Any) -> Any:
    if isinstance(value, str):
        return b"s" + str.encode(value, "utf-8", "surrogatepass")
    if isinstance(value, float | Decimal) and value != value:
        return ["nan"]
    if isinstance(value, int | float | Decimal | Fraction):
        # Python's hash of numbers is one for all types, and the same in every process.
        return int(value) if -_LARGEST < value < _LARGEST and value == int(value) else ["number", hash(value)]
    if isinstance(value, tuple):
        return list(map(_canonical, value))
    if isinstance(value, frozenset):
        return ["set", sorted(map(stable_hash, value))]
    return value
