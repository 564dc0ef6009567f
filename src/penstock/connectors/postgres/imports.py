"""The package that the extra `postgres` brings, imported where it is first needed."""

from __future__ import annotations

from typing import Any

from penstock.errors import ExtraMissing


def psycopg() -> Any:
    """The psycopg module. Raises `ExtraMissing`."""
    try:
        import psycopg as module
    except ImportError as exc:  # the package is missing, or libpq, which `psycopg[binary]` brings along
        raise ExtraMissing("psycopg", "postgres") from exc
    return module
