"""A store between a process and a real one: its calls fail, or the process is killed in them, as a test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from penstock.checkpoint.store import Bytes, CheckpointStore, StoreFile
from penstock.errors import StoreUnavailable

Fault: TypeAlias = Literal["", "fails before", "fails after", "killed before", "killed after"]


class Killed(BaseException):
    """The process is gone; nothing that it still does has an effect."""


class FaultyStore(CheckpointStore):
    """What becomes of each call that changes something is the next of `faults`; nothing happens behind the last."""

    def __init__(self, inner: CheckpointStore) -> None:
        super().__init__(inner.where)
        self.inner = inner
        self.faults: Iterator[Fault] = iter(())
        self.dead = False

    def before(self) -> Fault:
        """At the beginning of a call."""
        if self.dead:
            raise Killed
        fault = next(self.faults, "")
        if fault == "killed before":
            self.dead = True
            raise Killed
        if fault == "fails before":
            raise StoreUnavailable(self.where, "a fault of the test's")
        return fault

    def after(self, fault: Fault) -> None:
        """At its end."""
        if fault == "killed after":
            self.dead = True
            raise Killed
        if fault == "fails after":
            raise StoreUnavailable(self.where, "a fault of the test's, after the fact")

    def writing(self, name: str) -> StoreFile:
        self.after(self.before())
        return _FaultyFile(self, name)

    def create(self, name: str, data: bytes) -> bool:
        fault = self.before()
        created = self.inner.create(name, data)
        self.after(fault)
        return created

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.after(self.before())
        return self.inner.read(name, offset, length)

    def sizes(self, folder: str) -> dict[str, int]:
        self.after(self.before())
        return self.inner.sizes(folder)

    def delete(self, names: Sequence[str]) -> None:
        fault = self.before()
        self.inner.delete(names[: len(names) // 2] if fault else names)
        self.after(fault)

    def tidy(self) -> None:
        fault = self.before()
        self.inner.tidy()
        self.after(fault)


class _FaultyFile(StoreFile):
    def __init__(self, store: FaultyStore, name: str) -> None:
        self._store = store
        self._inner = store.inner.writing(name)

    def write(self, data: Bytes) -> None:
        fault = self._store.before()
        self._inner.write(data)
        self._store.after(fault)

    def close(self) -> None:
        fault = self._store.before()
        self._inner.close()
        self._store.after(fault)

    def abandon(self) -> None:
        if not self._store.dead:
            self._inner.abandon()
