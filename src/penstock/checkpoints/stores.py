"""Opens the store that an address names."""

from __future__ import annotations

from pathlib import Path

from penstock.checkpoints.directory_store import DirectoryStore, pipelines_below
from penstock.checkpoints.store import CheckpointStore
from penstock.names import is_name
from penstock.store_address import Address, StoreAddress, parse_store


def open_store(address: Address | StoreAddress, pipeline: str) -> CheckpointStore:
    """The store of one pipeline's checkpoints. Reaches for nothing yet, but for packages that it takes.

    Raises `ValueError` for what is no address, and `ExtraMissing`.
    """
    found = address if isinstance(address, StoreAddress) else parse_store(address)
    if found.kind == "s3":
        from penstock.checkpoints.object_store import s3_store  # takes a package that most do without

        return s3_store(found.place, pipeline)
    return DirectoryStore(Path(found.place), pipeline)


def pipelines_in(address: Address | StoreAddress) -> list[str]:
    """The pipelines that have checkpoints there, by name. Raises as `open_store` does, and `StoreUnavailable`."""
    found = address if isinstance(address, StoreAddress) else parse_store(address)
    if found.kind == "s3":
        from penstock.checkpoints.object_store import s3_pipelines

        names = s3_pipelines(found.place)
    else:
        names = pipelines_below(Path(found.place))
    return sorted(name for name in names if is_name(name))
