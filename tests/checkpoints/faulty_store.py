"""A store between a process and a real one: its calls fail, or the process is killed in them, as a test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from penstock.checkpoints.store import Bytes, CheckpointStore, StoreFile
from penstock.errors import StoreUnavailable


class Killed(BaseException):
    """The process is gone; nothing that it still does has an effect."""


@dataclass(frozen=True)
class Fault:
    """What becomes of the n-th call of a method (counted from 0), and of those behind it if the process is killed."""

    method: str
    nth: int
    kind: Literal["fails before", "fails after", "killed before", "killed after"]


class FaultyStore(CheckpointStore):
    """Another store, with at most one fault at a time."""

    def __init__(self, inner: CheckpointStore) -> None:
        super().__init__(inner.where)
        self.answers_are_final = inner.answers_are_final
        self.inner = inner
        self.dead = False
        self._fault: Fault | None = None
        self._calls: Counter[str] = Counter()

    def fail(self, fault: Fault | None) -> None:
        """From now on."""
        self._fault = fault
        self._calls.clear()

    @contextmanager
    def call(self, method: str) -> Iterator[None]:
        if self.dead:
            raise Killed
        fault = self._fault
        due = fault is not None and fault.method == method and fault.nth == self._calls[method]
        self._calls[method] += 1
        kind = fault.kind if fault is not None and due else ""
        self._strike(kind, "before")
        yield
        self._strike(kind, "after")

    def _strike(self, kind: str, when: str) -> None:
        if kind == f"killed {when}":
            self.dead = True
            raise Killed
        if kind == f"fails {when}":
            raise StoreUnavailable(self.where, f"a fault of the test's ({kind})")

    def writing(self, name: str) -> StoreFile:
        with self.call("writing"):
            return _FaultyFile(self, name)

    def create(self, name: str, data: bytes) -> bool:
        with self.call("create"):
            created = self.inner.create(name, data)
        return created

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self.call("read"):
            data = self.inner.read(name, offset, length)
        return data

    def sizes(self, folder: str) -> dict[str, int]:
        with self.call("sizes"):
            sizes = self.inner.sizes(folder)
        return sizes

    def delete(self, names: Sequence[str]) -> None:
        with self.call("delete"):
            self.inner.delete(names[: len(names) // 2])
        with self.call("delete, the other half"):
            self.inner.delete(names[len(names) // 2 :])

    def tidy(self) -> None:
        with self.call("tidy"):
            self.inner.tidy()


METHODS = ("create", "writing", "write", "close", "read", "sizes", "delete", "delete, the other half", "tidy")


class _FaultyFile(StoreFile):
    def __init__(self, store: FaultyStore, name: str) -> None:
        self._store = store
        self._inner = store.inner.writing(name)

    def write(self, data: Bytes) -> None:
        with self._store.call("write"):
            self._inner.write(data)

    def close(self) -> None:
        with self._store.call("close"):
            self._inner.close()

    def abandon(self) -> None:
        if not self._store.dead:
            self._inner.abandon()
