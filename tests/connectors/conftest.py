"""A PostgreSQL server for the tests of a session, and a database of its own for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from postgres_server import Server, made_server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Shared: a test that stops it, or changes what all see, makes its own."""
    with made_server() as made:
        yield made


class Database:
    """An empty database on the shared server."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.dsn = server.dsn(name)

    def query(self, sql: str, *values: Any) -> list[Any]:
        return self.server.execute(sql, self.name, list(values) or None)


@pytest.fixture
def pg(server: Server) -> Iterator[Database]:
    name = f"test_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name}")
    yield Database(server, name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")
