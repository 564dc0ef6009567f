"""Key groups of a column of keys: the same as `router.group_of_key` gives for each, at the price of one for many rows.

Each different key is looked at once. Where there are many of them and numpy is installed, text is hashed byte by byte
for all keys at a time. Pure.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, Final

from penstock.columns import arrow, compute

_MANY: Final = 256
"""Fewer different keys are hashed one by one."""
_SAMPLE: Final = 1024
_MOST_BYTES: Final = 64
"""Longer keys are, too."""
_POLYNOMIAL: Final = 0xEDB88320
_has_numpy: Final = importlib.util.find_spec("numpy") is not None


def are_keys(kind: Any) -> bool:
    """True: all values of this type are keys, and Python has them."""
    types = arrow().types
    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind) or types.is_boolean(kind)
        or types.is_date32(kind)
    )


def by_key(column: Any, group_of: Callable[[Any], int], table: Sequence[int]) -> Any:
    """For each key what `table` has for its group, as a column. Raises what `group_of` raises for what is no key."""
    pa = arrow()
    if pa.types.is_dictionary(column.type):
        column = compute().cast(column, column.type.value_type)
    if len(column) >= 4 * _SAMPLE and len(column.slice(0, _SAMPLE).unique()) > _SAMPLE // 2:
        keys = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        groups = groups_of_text(keys)  # few are equal: looking for those would take longer than it spares
        if groups is not None:
            return pa.array(table, pa.int32()).take(groups)
    coded = compute().dictionary_encode(column, null_encoding="encode")
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    keys = coded.dictionary
    groups = groups_of_text(keys) if len(keys) >= _MANY else None
    if groups is None:
        found = pa.array([table[group_of(key)] for key in keys.to_pylist()], pa.int32())
    else:
        found = pa.array(table, pa.int32()).take(groups)
    return found.take(coded.indices)


def groups_of_text(keys: Any) -> Any:
    """The groups of keys that are text; None: they are not, or it must be done one by one."""
    pa = arrow()
    if not _has_numpy or keys.null_count or not len(keys):
        return None
    if not (pa.types.is_string(keys.type) or pa.types.is_large_string(keys.type)):
        return None
    keys = keys.cast(pa.large_string())
    lengths = compute().binary_length(keys)
    if compute().max(lengths).as_py() > _MOST_BYTES:
        return None
    return _crc32_of_text(keys, lengths)


def _crc32_of_text(keys: Any, lengths: Any) -> Any:
    """The last byte of the crc32 of each text as MessagePack has it: a head with its length, and its bytes."""
    import numpy

    steps = _table(numpy)
    count, pa = len(keys), arrow()
    length = numpy.asarray(lengths)
    _, offsets, data = keys.buffers()
    starts = numpy.frombuffer(offsets, numpy.int64)[keys.offset : keys.offset + count]
    text = numpy.frombuffer(data, numpy.uint8) if data is not None and data.size else numpy.zeros(1, numpy.uint8)
    crc = numpy.full(count, 0xFFFFFFFF, numpy.uint32)
    short = length < 32
    head = numpy.where(short, 0xA0 | length, 0xD9).astype(numpy.uint8)
    crc = steps[(crc ^ head) & 0xFF] ^ (crc >> 8)
    crc = numpy.where(short, crc, steps[(crc ^ length.astype(numpy.uint32)) & 0xFF] ^ (crc >> 8))
    same = int(length.min())
    for at in range(int(length.max())):
        if at < same:
            crc = steps[(crc ^ text[starts + at]) & 0xFF] ^ (crc >> 8)
            continue
        longer = numpy.nonzero(length > at)[0]
        some = crc[longer]
        crc[longer] = steps[(some ^ text[starts[longer] + at]) & 0xFF] ^ (some >> 8)
    return pa.array((crc ^ 0xFFFFFFFF) & 0xFF, pa.int32())


_made: list[Any] = []


def _table(numpy: Any) -> Any:
    """What a byte does to a crc32."""
    if not _made:
        steps = numpy.arange(256, dtype=numpy.uint32)
        for _ in range(8):
            steps = numpy.where(steps & 1, (steps >> 1) ^ numpy.uint32(_POLYNOMIAL), steps >> 1).astype(numpy.uint32)
        _made.append(steps)
    return _made[0]
