"""The packages that the extra `duckdb` brings, imported where they are first needed."""

from __future__ import annotations

from typing import Any

from penstock.errors import ExtraMissing


def duckdb() -> Any:
    """The duckdb module. Raises `ExtraMissing`."""
    try:
        import duckdb as module
    except ImportError as exc:
        raise ExtraMissing("duckdb", "duckdb") from exc
    return module


def pyarrow() -> Any:
    """The pyarrow module. Raises `ExtraMissing`."""
    try:
        import pyarrow as module
    except ImportError as exc:
        raise ExtraMissing("pyarrow", "duckdb") from exc
    return module
