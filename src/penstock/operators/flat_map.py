"""`flat_map`: one row in, any number out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from penstock.operators.verb import Becomes, CallText, Operator
from penstock.signatures.annotations import element_of, returned_by, shown
from penstock.signatures.fields_read import fields_read
from penstock.signatures.row_classes import plain_class


def checked(result: Iterable[Any]) -> Iterable[Any]:
    """What a `flat_map` function gave. Raises `TypeError` where that is one row, whose letters or keys nobody means."""
    if isinstance(result, (str, bytes, dict)):
        raise TypeError(_one_row(result))
    return result


class FlatMap(Operator, frozen=True):
    """`fn(row)` gives an iterable (never a str, bytes or dict) of rows to pass on, all or none."""

    verb: ClassVar[str] = "flat_map"
    becomes: ClassVar[Becomes] = Becomes.ROWS
    code_names: ClassVar[Mapping[str, Any]] = {"checked": checked}

    def code(self, call: CallText, row: str) -> str:
        return f"checked({call(row)})"

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        return fields_read(self.fn, row_class)

    def row_given(self, before: Any) -> Any:
        return element_of(returned_by(self.fn))

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        given = returned_by(self.fn)
        if given is not None and not _holds_rows(plain_class(given)):
            yield f"{name} returns {shown(given)}, but must return an iterable of rows", "return a list, or use .map"


def _one_row(result: object) -> str:
    kind = type(result).__name__
    if isinstance(result, dict):
        return f"a flat_map function returned {kind}; return an iterable of rows, [row] for one, list(it) for its keys"
    return f"a flat_map function returned {kind}; return an iterable of rows, [text] for one"


def _holds_rows(kind: type | None) -> bool:
    """False: surely nothing that rows are taken out of; a text would fall apart into letters, a dict into keys."""
    if kind is None or kind is object:
        return True
    return not issubclass(kind, str | bytes | dict) and (issubclass(kind, Iterable) or hasattr(kind, "__getitem__"))
