"""How many different values there are, from their hashes, in 4 KiB: HyperLogLog, and few values exactly.

Up to `FEW` hashes are kept as they are. Beyond that, 4,096 registers each keep the longest run of zeros at the end of
the hashes that fall to it. The estimate is Ertl's ("New cardinality estimation algorithms for HyperLogLog sketches",
2017), which needs no tables and has no bias at any size. Its standard error is 1.04 / sqrt(4096), which is 1.6 %.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log, sqrt
from typing import Any, Final, TypeAlias

FEW: Final = 256
"""So many hashes are kept as they are: 9 bytes each, and then half of what the registers take."""
STANDARD_ERROR: Final = 1.04 / 64
_INDEX_BITS: Final = 12
_REGISTERS: Final = 1 << _INDEX_BITS
_RANKS: Final = 64 - _INDEX_BITS
"""Bits of a hash that a run of zeros is looked for in."""
_ALPHA: Final = 1 / (2 * log(2))

Sketch: TypeAlias = set[int] | bytearray
Note: TypeAlias = Callable[..., None]
"""Takes a function and its arguments, which take back what is written next."""


def with_hash(sketch: Sketch, hashed: int) -> Sketch:
    """The sketch with another hash: the same one, changed, or another once there are many."""
    if isinstance(sketch, set):
        sketch.add(hashed)
        return sketch if len(sketch) <= FEW else _registers(sketch)
    _raise_register(sketch, hashed)
    return sketch


def note_undo(note: Note, sketch: Sketch, hashed: int) -> None:
    """Before `with_hash`: what takes it back in the sketch that it is given."""
    if isinstance(sketch, set):
        if hashed not in sketch:
            note(sketch.discard, hashed)
        return
    index = hashed & (_REGISTERS - 1)
    note(sketch.__setitem__, index, sketch[index])


def joined(sketch: Sketch, other: Sketch) -> Sketch:
    """The sketch with the hashes of another, which stays as it is."""
    if isinstance(sketch, set) and isinstance(other, set):
        sketch |= other
        return sketch if len(sketch) <= FEW else _registers(sketch)
    if isinstance(sketch, set):
        few, sketch = sketch, bytearray(other)
    elif isinstance(other, set):
        few = other
    else:
        return bytearray(map(max, sketch, other))
    for hashed in few:
        _raise_register(sketch, hashed)
    return sketch


def estimate(sketch: Sketch) -> int:
    """How many different hashes it was given."""
    if isinstance(sketch, set):
        return len(sketch)
    counts = [0] * (_RANKS + 2)
    for rank in sketch:
        counts[rank] += 1
    z = _REGISTERS * _tau(1 - counts[_RANKS + 1] / _REGISTERS)
    for rank in range(_RANKS, 0, -1):
        z = 0.5 * (z + counts[rank])
    z += _REGISTERS * _sigma(counts[0] / _REGISTERS)
    return round(_ALPHA * _REGISTERS * _REGISTERS / z)


def _registers(hashes: set[int]) -> bytearray:
    registers = bytearray(_REGISTERS)
    for hashed in hashes:
        _raise_register(registers, hashed)
    return registers


def _raise_register(registers: bytearray, hashed: int) -> None:
    index, rest = hashed & (_REGISTERS - 1), hashed >> _INDEX_BITS
    rank = (rest & -rest).bit_length() if rest else _RANKS + 1
    if rank > registers[index]:
        registers[index] = rank


def _sigma(x: float) -> float:
    if x == 1:
        return inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x, before = x * x, z
        z, y = z + x * y, y + y
    return z


def _tau(x: float) -> float:
    if x in (0, 1):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x, before, y = sqrt(x), z, 0.5 * y
        z -= (1 - x) ** 2 * y
    return z / 3


STATE_TYPE: Any = set[int] | bytearray
