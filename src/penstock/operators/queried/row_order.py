"""Keeps rows in their order through joins and unions, in which DuckDB gives them as it likes.

Rows of a batch have a number, and the query is written anew with that number in each SELECT that reads the batch. The
rows are put in its order at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.operators.queried.query_rules import BATCH

ROW: Final = "_penstock_row"
_UNNAMED: Final = "_penstock_batch"
Tree = dict[str, Any]


def ordered(connection: Any, query: str) -> str | None:
    """The query over a batch that has a column `ROW`, and gives it; None: it keeps the order by itself.

    It is one that `query_rules` has found nothing wrong with, but for names of tables, which may be unknown here.
    """
    tree = _serialized(connection, query)
    node = tree["statements"][0]["node"]
    if not any(map(_mixes, _parts(node))):
        return None
    star = _serialized(connection, f"SELECT * EXCLUDE ({ROW}) FROM t")["statements"][0]["node"]["select_list"][0]
    column = _serialized(connection, f"SELECT t.{ROW} AS {ROW} FROM t")["statements"][0]["node"]["select_list"][0]
    _Writer(star["exclude_list"], column).number(node, {BATCH: True})
    [(text,)] = connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchall()
    return f"SELECT * FROM ({text}) ORDER BY {ROW}"


def _serialized(connection: Any, query: str) -> Tree:
    [(text,)] = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    tree: Tree = json.loads(text)
    return tree


def _mixes(part: Tree) -> bool:
    return part.get("type") in ("JOIN", "SET_OPERATION_NODE") or part.get("class") == "SUBQUERY"


def _parts(tree: Any) -> Iterator[Tree]:
    if isinstance(tree, list):
        for each in tree:
            yield from _parts(each)
    elif isinstance(tree, dict):
        yield tree
        for each in tree.values():
            yield from _parts(each)


class _Writer:
    """Adds the number to each SELECT that reads the batch. `known` says of names whether they do."""

    def __init__(self, exclude: list[Any], column: Tree) -> None:
        """As DuckDB writes `EXCLUDE (row)` and `t.row`."""
        self._exclude = exclude
        self._column = column

    def number(self, node: Tree, known: Mapping[str, bool]) -> bool:
        """False: it does not read the batch."""
        inner = dict(known)
        for cte in node["cte_map"]["map"]:
            inner[cte["key"].lower()] = self.number(cte["value"]["query_node"], inner)
        if node["type"] == "SET_OPERATION_NODE":
            parts = [self.number(child, inner) for child in node["children"]]  # each of them, whatever others are
            return all(parts)
        name = self._from(node["from_table"], inner)
        if name is None:
            return False
        for expression in node["select_list"]:
            if expression.get("class") == "STAR" and expression["relation_name"].lower() in ("", name.lower()):
                expression["exclude_list"] = [*expression["exclude_list"], *self._exclude]
        node["select_list"].append({**self._column, "column_names": [name, ROW]})
        return True

    def _from(self, table: Tree, known: Mapping[str, bool]) -> str | None:
        """By what name the batch is known in the SELECT; None: it is not read."""
        match table["type"]:
            case "BASE_TABLE":
                name: str = table["table_name"]
                return (table["alias"] or name) if known.get(name.lower(), False) else None
            case "JOIN":
                left, right = (self._from(table[side], known) for side in ("left", "right"))
                return right if left is None else left
            case "SUBQUERY":
                if not self.number(table["subquery"]["node"], known):
                    return None
                table["alias"] = table["alias"] or _UNNAMED
                return str(table["alias"])
            case _:
                return None
