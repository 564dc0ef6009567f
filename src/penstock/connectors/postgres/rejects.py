"""Finds the rows that make the server refuse a transaction: halves are tried, each behind what went in before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.connectors.postgres.connection import Connection
from penstock.connectors.postgres.imports import psycopg
from penstock.connectors.postgres.outages import blames_rows, said
from penstock.connectors.postgres.transaction import Encoded, Transaction

_ONE_BY_ONE = 8
"""Of so few rows each is tried: where most are refused, halves of them are tried in vain."""
_REFERS = "23503"
"""A row refers to another one, which may be among those that come later."""


def find_rejects(connection: Connection, transaction: Transaction, pieces: Sequence[Encoded]) -> dict[int, str]:
    """Rows, by number, without which the others go in, and why each is refused.

    Called after a failed attempt was rolled back; leaves no transaction open and nothing changed.
    """
    connection.begin()
    try:
        refused = list(_refused(connection, transaction, pieces))
        while any(state == _REFERS for _, _, state in refused):
            again = list(_refused(connection, transaction, [part for part, _, _ in refused]))
            if len(again) == len(refused):
                break
            refused = again
    finally:
        connection.rollback()
    return {part.numbers[0]: why for part, why, _ in refused}


def _refused(
    connection: Connection, transaction: Transaction, pieces: Sequence[Encoded]
) -> Iterator[tuple[Encoded, str, str]]:
    """(a single row, why, the server's code for it)."""
    parts = [piece for piece in reversed(pieces) if piece.lines]
    while parts:
        part = parts.pop()
        error = _error(connection, transaction, part)
        rows = len(part.lines)
        if error is None:
            continue
        if rows == 1:
            yield part, *error
        else:
            step = rows // 2 if rows > _ONE_BY_ONE else 1
            parts += [part.part(start, start + step) for start in reversed(range(0, rows, step))]


def _error(connection: Connection, transaction: Transaction, part: Encoded) -> tuple[str, str] | None:
    """What the server says against these rows, and its code; None: they are in."""
    connection.execute("SAVEPOINT part")
    try:
        transaction.put_again(part)
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg().Error as exc:
        if not blames_rows(exc):
            raise
        connection.execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
        return said(exc), exc.sqlstate
    connection.execute("RELEASE SAVEPOINT part")
    return None
