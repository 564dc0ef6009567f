"""The contract of tables that rows are looked up in, some keys at a time: what a database's connector implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from penstock.operator import Context
from penstock.options import Duration

T_co = TypeVar("T_co", covariant=True)

CACHE_KEYS = 100_000
MAX_AGE = "1m"


class TableReader(ABC):
    """Asks for rows, in one worker, in one thread."""

    @abstractmethod
    def find(self, keys: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Return the rows of each of these keys, in the order of the keys, which differ and are not None.

        Raise `Unavailable` if that is not possible now: the worker waits, and its successor opens the table again. Any
        other exception fails the rows, one by one.
        """

    def close(self) -> None:
        """The last call, at most once; never after a kill."""


class LookupTable(ABC, Generic[T_co]):
    """A picklable description of a table. The workers open it.

    What was found is kept for `max_age`, of the last `cache_keys` keys, also that there is nothing.
    """

    cache_keys: int = CACHE_KEYS
    max_age: Duration = MAX_AGE

    @property
    @abstractmethod
    def label(self) -> str:
        """What kind of table it is, for messages."""

    @property
    def target(self) -> str:
        """What is read, for messages."""
        return self.label

    @property
    def row_type(self) -> Any:
        """The annotation of a row, `typing.Any` if unknown."""
        return Any

    @property
    def modules(self) -> Sequence[str]:
        """Modules that opening imports. They are imported once, before workers are forked."""
        return ()

    def check_table(self) -> Sequence[str]:
        """Return problems as text, found without reading data. Called once, before anything starts."""
        return ()

    @abstractmethod
    def open(self, key: str, context: Context) -> TableReader:
        """Open it in the worker, to be asked by the column `key`. Raises `Unavailable` if it is out of reach now."""
