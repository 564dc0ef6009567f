"""The record of a row that failed for good, as dead letters are stored: made of a row and an error, whatever they are.

`slot/turn/row_errors.py` makes them, `dead_letter_frames` is their form in a file.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.batch import UndecodedRow
from penstock.ctrl_c import is_ctrl_c
from penstock.dead_letter_frames import DeadLetterRecord
from penstock.error_text import ERROR_CHARACTERS, TRACEBACK_CHARACTERS, cut

SHOWN_CHARACTERS = 1000
"""As much of a row's `repr` is stored; the row itself is stored whole."""


def pickled(row: object) -> bytes:
    """A row as it is kept on disk. Raises what pickling raises."""
    return pickle.dumps(row, 5)


def new_record(
    *, pipeline: str, stage: str, slot: int, operator: str, time_s: float, attempts: int, error: str, traceback: str,
    row: Any, pickled: Callable[[object], bytes] = pickled,
) -> DeadLetterRecord:
    """The record of a row that failed. Never raises for what the row is: a row that broke user code may be anything."""
    shown, undecoded = _shown(row), isinstance(row, UndecodedRow)
    return DeadLetterRecord(
        pipeline=pipeline, stage=stage, slot=slot, operator=operator, time_s=time_s, attempts=attempts,
        error=storable(cut(error, 2 * ERROR_CHARACTERS)),
        traceback=storable(cut(traceback, TRACEBACK_CHARACTERS)),
        row=row.pickle if undecoded else _kept(row, pickled),
        row_json=_as_json(row, shown), row_repr=shown, undecoded=undecoded,
    )


def encode_record(record: DeadLetterRecord) -> bytes:
    """A record outside of the store; for `decode_record`."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> DeadLetterRecord:
    """What `encode_record` gave."""
    return _decoder.decode(data)


def _kept(row: Any, pickled: Callable[[object], bytes]) -> bytes:
    try:
        return pickled(row)
    except BaseException as exc:  # pickling runs the user's code; a row without a pickled form is kept as text
        if is_ctrl_c(exc):
            raise
        return b""


def _shown(row: Any) -> str:
    try:
        text = repr(row)
    except BaseException as exc:  # the user's __repr__
        if is_ctrl_c(exc):
            raise
        text = f"<{type(row).__name__}, whose repr raises {type(exc).__name__}>"
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}… ({len(text):,} characters)"
    return storable(text)


def storable(text: str) -> str:
    """Text that UTF-8 can encode."""
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates have no UTF-8


def _as_json(row: Any, shown: str) -> str:
    try:
        return msgspec.json.encode(shown if isinstance(row, UndecodedRow) else row, enc_hook=_shown).decode()
    except BaseException as exc:  # keys or values without a JSON form, a repr that raises
        if is_ctrl_c(exc):
            raise
        return msgspec.json.encode(shown).decode()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DeadLetterRecord)
