"""Where the state of a slot is that is not in memory: records by key in a RocksDB (rocksdict, the extra of that name).

It is an index of the changelog, which has all of it, and is never further than what is committed: `applied` says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from penstock.errors import ExtraMissing

_KIB = 1024


class Store(Protocol):
    """Records in the order of their keys."""

    def get(self, key: bytes) -> bytes | None:
        """The record of a key; None: there is none."""
        ...

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write records, or remove them (None): all of them, or none if it is killed meanwhile."""
        ...

    def beginning_with(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, record) of those whose keys begin so, in order; `write` is not called meanwhile."""
        ...

    def close(self) -> None: ...


class RocksStore:
    """In a folder of its own. One process at a time, guarded by the slot's lock."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        """Open it, or make an empty one. `memory_bytes`: what it may take for its own buffers and blocks.

        Raises `ExtraMissing`; and what rocksdict raises where the folder is damaged.
        """
        module = _rocksdict()
        options = module.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(max(memory_bytes // 4, 256 * _KIB))
        options.set_max_write_buffer_number(2)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(64 * _KIB)
        blocks = module.BlockBasedOptions()
        blocks.set_block_cache(module.Cache(max(memory_bytes // 2, 512 * _KIB)))
        blocks.set_bloom_filter(10, False)
        options.set_block_based_table_factory(blocks)
        self._batch = module.WriteBatch
        self._rocks: Any = module.Rdict(str(folder), options)

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._rocks.get(key)
        return found

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        batch = self._batch(raw_mode=True)
        for key, record in changes:
            if record is None:
                batch.delete(key)
            else:
                batch.put(key, record)
        # Into its own log without a sync: as for all files of a run, what a killed process has written is there.
        self._rocks.write(batch)

    def beginning_with(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, record in self._rocks.items(from_key=prefix):
            if not key.startswith(prefix):
                return
            yield key, record

    def close(self) -> None:
        self._rocks.close()


def _rocksdict() -> ModuleType:
    try:
        import rocksdict  # of an extra
    except ImportError as exc:
        raise ExtraMissing("rocksdict", "rocksdict") from exc
    module: ModuleType = rocksdict  # without the extra mypy knows nothing of it
    return module
