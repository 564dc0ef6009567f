"""Checks a query before anything runs: its syntax, what it may be over batches, its columns where rows have types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from penstock.operators.queried.duckdb_session import columns_of, quoted, select_nothing, session
from penstock.operators.queried.query_rules import BATCH, Problem, problems

_DESCRIBE: Final = "DESCRIBE "
_SHOWN: Final = 40


class Checked(msgspec.Struct, frozen=True):
    """What was found."""

    problems: Sequence[Problem]
    columns: Mapping[str, str] | None
    """Of the result, with their SQL types (empty: the values tell); None: it depends on unknown columns."""


def check(query: str, row_type: Any, tables: Mapping[str, Any]) -> Checked:
    """`tables`: the types of their rows. Raises `ExtraMissing`."""
    connection = session()
    try:
        [(text,)] = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
        tree = json.loads(text)
        if tree["error"]:
            return Checked([_syntax(tree)], None)
        statements = tree["statements"]
        if len(statements) != 1:
            return Checked([Problem(f"it has {len(statements)} statements", "write one SELECT")], None)
        functions = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
        ).fetchall()
        found = problems(statements[0]["node"], tables.keys(), {name for name, in functions})
        return Checked(found, None) if found else _bound(connection, query, {**tables, BATCH: row_type})
    finally:
        connection.close()


def _syntax(tree: Mapping[str, Any]) -> Problem:
    if tree["error_type"] != "parser":
        return Problem("it is no SELECT", "write one, as SELECT ... FROM batch")
    return Problem(tree["error_message"], "correct the query", int(tree.get("position", -1)))


def _bound(connection: Any, query: str, tables: Mapping[str, Any]) -> Checked:
    """With tables of these columns, if all are known."""
    typed = True
    for name, row_type in tables.items():
        columns = columns_of(row_type)
        if columns is None:
            return Checked([], None)
        typed = typed and all(columns.values())
        connection.execute(f"CREATE VIEW {quoted(name)} AS {select_nothing(columns)}")
    connection.execute("SET errors_as_json = true")
    try:
        described = connection.execute(_DESCRIBE + query).fetchall()
    except Exception as error:  # DuckDB's, of whatever class: each says that the query cannot be
        return Checked([_told(str(error))], None)
    names = [name for name, *_ in described]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = f"several columns are called {', '.join(map(repr, twice))}"
        return Checked([Problem(what, "name them apart: SELECT a.id AS user_id")], None)
    return Checked([], {name: kind if typed else "" for name, kind, *_ in described})


def _told(text: str) -> Problem:
    """An error as JSON behind its kind."""
    _, brace, document = text.partition("{")
    try:
        error = json.loads(brace + document)
    except ValueError:
        return Problem(" ".join(text.split()), "correct the query")
    # Behind the first lines stand all functions that there are.
    message = " ".join(str(error["exception_message"]).partition("\n\tCandidate functions")[0].split())
    return Problem(message, "correct the query", int(error.get("position", 0)) - len(_DESCRIBE))


def place(query: str, at: int) -> str:
    """`line 2, column 8: "bb FROM batch"`; empty where it is not known."""
    if not 0 <= at <= len(query):
        return ""
    line = query.count("\n", 0, at) + 1
    begin = query.rfind("\n", 0, at) + 1
    rest = query[at:].partition("\n")[0]
    shown = rest if len(rest) <= _SHOWN else rest[:_SHOWN] + "…"
    return f"line {line}, column {at - begin + 1} of the query: {shown!r}" if shown else f"line {line} of the query"
