"""The contract of a checkpoint store: named files of bytes that outlive the machine; what they mean is `history`'s.

A store holds the checkpoints of one pipeline. Two folders are in use: `log`, whose files are created once and never
changed, and `files`, for content. `directory_store` and `object_store` are stores; `memory_store` is one for tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

Bytes: TypeAlias = bytes | bytearray | memoryview


class FileLost(LookupError):
    """A store has no file of this name, or its bytes cannot be read any more."""

    def __init__(self, name: str, why: str = "") -> None:
        """`why`: it is there, but; empty: it is not."""
        self.why = why or "is missing"
        self.missing = not why
        super().__init__(f"{name} {self.why}")


class StoreFile(ABC):
    """A file that is being written. Nothing stands under its name before `close` has returned."""

    @abstractmethod
    def write(self, data: Bytes) -> None:
        """Append. Raises `StoreUnavailable`; the file can then only be abandoned."""

    @abstractmethod
    def close(self) -> None:
        """Make it durable, and put it under its name, in place of what is there. Raises `StoreUnavailable`.

        Called at most once, and not after `abandon`.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Make away with it. Called in place of `close`, or where `close` has failed. Raises nothing."""


class CheckpointStore(ABC):
    """Where the checkpoints of one pipeline are kept.

    Names are `folder/name` of letters, digits, `.` and `-`. Every method raises `StoreUnavailable` where the store
    cannot be reached or has no room, after retries that are bounded in time, and `NotPrivate` where what is there may
    be another user's. One thread at a time. Nothing is opened before the first call.
    """

    answers_are_final = True
    """False: a call that has failed may still have its effect later, when a request arrives that was given up."""

    def __init__(self, where: str) -> None:
        self.where = where
        """The store and the pipeline, as messages name them."""

    @abstractmethod
    def writing(self, name: str) -> StoreFile:
        """Begin a file."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Make a small file, whole or not at all, durable when this returns. False: there is one of this name.

        Of several processes on several machines that create one name at the same time, one gets True. A False may
        also be due to this very call, if an answer was lost: who needs to know reads what is there.
        """

    @abstractmethod
    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """This part of a file, fewer bytes at its end; all of it by default. Raises `FileLost`."""

    @abstractmethod
    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every file in a folder, by its name in there; empty if there is no such folder.

        A file that was created before this call began is among them.
        """

    @abstractmethod
    def delete(self, names: Sequence[str]) -> None:
        """Remove files, before this returns. What is not there is no error."""

    def tidy(self) -> None:
        """Remove what killed processes were writing. Called by who has just claimed the store."""

    def close(self) -> None:
        """Give back what the store holds. Nothing is called after it."""
