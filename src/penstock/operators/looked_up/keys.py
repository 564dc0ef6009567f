"""What can be wrong with the keys of a lookup: fields that are not there, and keys that are never equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.names import did_you_mean
from penstock.signatures.annotations import shown, taken_by
from penstock.signatures.row_classes import can_take
from penstock.windows.row_reading import Value, field_mistake, reading


def key_mistakes(key: Value, row_type: Any, on: Value, table_type: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with the keys of the rows, and of what they are looked up in."""
    found = [*_key("key", key, row_type), *_key("on", on, table_type)]
    if found:
        yield from found
        return
    ours, theirs = reading(key, row_type, "key_of").type, reading(on, table_type, "key_of").type
    if not can_take(ours, theirs) and not can_take(theirs, ours):
        what = f"keys of the rows are {shown(ours)}, those of the table {shown(theirs)}: none would be found"
        yield what, "make them one type: give the table a type, or `key` a function"


def _key(option: str, key: Value, row_type: Any) -> Iterator[tuple[str, str]]:
    fields = field_mistake(key, row_type)
    if fields is not None:
        yield f"{option}: {shown(row_type)} has no field {key!r}", did_you_mean(str(key), fields)
    elif callable(key) and not can_take(taken_by(key), row_type):
        what = f"`{option}` takes {shown(taken_by(key))}, but the rows are {shown(row_type)}"
        yield what, f"pass a function that takes {shown(row_type)}"
