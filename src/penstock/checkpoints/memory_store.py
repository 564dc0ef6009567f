"""A checkpoint store in memory: for tests, and for runs in the test's process."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.checkpoints.store import Bytes, CheckpointStore, FileLost, StoreFile


class MemoryStore(CheckpointStore):
    """Files in a dictionary, which several stores may share: each of them is then a process of its own."""

    def __init__(self, files: dict[str, bytes] | None = None, where: str = "memory") -> None:
        super().__init__(where)
        self.files = {} if files is None else files

    def writing(self, name: str) -> StoreFile:
        return _MemoryFile(self.files, name)

    def create(self, name: str, data: bytes) -> bool:
        return self.files.setdefault(name, data) is data

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if name not in self.files:
            raise FileLost(name)
        return self.files[name][offset : None if length is None else offset + length]

    def sizes(self, folder: str) -> dict[str, int]:
        inside = f"{folder}/"
        return {
            name.removeprefix(inside): len(data) for name, data in self.files.items() if name.startswith(inside)
        }

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.files.pop(name, None)


class _MemoryFile(StoreFile):
    def __init__(self, files: dict[str, bytes], name: str) -> None:
        self._files = files
        self._name = name
        self._data = bytearray()

    def write(self, data: Bytes) -> None:
        self._data += data

    def close(self) -> None:
        self._files[self._name] = bytes(self._data)

    def abandon(self) -> None:
        pass
