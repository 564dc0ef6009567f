"""Finds the rows that make DuckDB refuse a transaction, by questions where it can, by trying halves where it cannot."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.connectors.duckdb.imports import duckdb
from penstock.connectors.duckdb.outages import require_no_outage
from penstock.connectors.duckdb.pieces import Piece
from penstock.connectors.duckdb.schema import Column
from penstock.connectors.duckdb.transaction import Transaction


def find_rejects(transaction: Transaction) -> dict[int, str]:
    """Rows, by number, without which the others go in, and why each is refused.

    Called after a failed insert was rolled back; leaves no transaction open and nothing changed in the database.
    """
    blamed: dict[int, str] = {}
    for question in (_unfit, _missing, _repeated, _refused_for_other_reasons):
        found = dict(question(transaction))
        blamed.update(found)
        transaction.leave_out(found)
        if found and _error(transaction) is None:
            break
    return blamed


def _error(transaction: Transaction) -> str | None:
    """What DuckDB says against the pieces as they are; None: they go in."""
    errors = duckdb()
    transaction.begin()
    try:
        transaction.insert()
    except (errors.DataError, errors.IntegrityError, errors.ProgrammingError, errors.NotSupportedError) as exc:
        return str(exc).partition("\n")[0]
    finally:
        transaction.rollback()
    return None


def _columns(transaction: Transaction) -> Iterator[tuple[int, Piece, Column]]:
    for index, piece in enumerate(transaction.pieces):
        for name in piece.names:
            column = transaction.schema.find(name)
            if column is not None:
                yield index, piece, column


def _unfit(transaction: Transaction) -> Iterator[tuple[int, str]]:
    """Values that cannot be cast to their column's type."""
    errors = duckdb()
    for index, piece, column in _columns(transaction):
        says = f"column {column.name!r} of {transaction.target.table} is {column.type} and cannot take"
        try:
            found = transaction.cursor.execute(transaction.statements.unfit_values(index, column)).fetchall()
        except errors.Error as exc:  # there is no such cast at all
            require_no_outage(transaction.target.path, exc)
            first = str(exc).partition("\n")[0]
            same = next(name for name in piece.names if name.lower() == column.name.lower())
            values = piece.table.column(same)
            yield from ((row, f"{says} it: {first}") for row in piece.rows_where(values.is_valid()))
        else:
            yield from ((row, f"{says} {value!r}") for row, value in found)


def _missing(transaction: Transaction) -> Iterator[tuple[int, str]]:
    """No value in a column that is NOT NULL."""
    for column in transaction.statements.columns if transaction.pieces else ():
        if not column.nullable:
            for (row,) in transaction.cursor.execute(transaction.statements.missing_values(column)).fetchall():
                yield row, f"column {column.name!r} of {transaction.target.table} must not be NULL"


def _repeated(transaction: Transaction) -> Iterator[tuple[int, str]]:
    """Rows that are there already, for a table with unique columns that is written without a key."""
    if transaction.target.keys or transaction.table_is_new or not transaction.pieces:
        return
    written = {column.name.lower() for column in transaction.statements.columns}
    for unique in transaction.schema.unique:
        if not set(unique) <= written:
            continue
        columns = [column for column in transaction.schema.columns if column.name.lower() in unique]
        for (row,) in transaction.cursor.execute(transaction.statements.repeated(columns)).fetchall():
            names = ", ".join(column.name for column in columns)
            yield row, f"{transaction.target.table} already has a row with the same ({names})"


def _refused_for_other_reasons(transaction: Transaction) -> Iterator[tuple[int, str]]:
    """CHECK constraints, foreign keys and what else there is: halves are tried, each behind what went in before it."""
    whole = transaction.pieces
    accepted: list[Piece] = []
    for piece in whole:
        parts = [piece]
        while parts:
            part = parts.pop()
            transaction.keep_only([*accepted, part])
            error = _error(transaction)
            rows = part.table.num_rows
            if error is None:
                accepted.append(part)
            elif rows > 1:
                parts += [
                    Piece(part.table.slice(rows // 2), part.kind), Piece(part.table.slice(0, rows // 2), part.kind),
                ]
            else:
                yield part.table.column("_penstock_row")[0].as_py(), error
    transaction.keep_only(accepted)
