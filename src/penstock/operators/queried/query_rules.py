"""What a query over a batch may be, by its syntax tree: what needs more than one row of the stream is refused. Pure.

Borders of batches mean nothing, so a total, an order or a limit of one batch means nothing either. Of tables beside the
batch, which are whole, all of that may be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Final, TypeAlias

import msgspec

from penstock.names import did_you_mean

BATCH: Final = "batch"
Tree: TypeAlias = Mapping[str, Any]
_WINDOWS: Final = 'use .key_by(...).window(...).aggregate(...), or scan, which see all rows of a key'
_MODIFIERS: Final = {
    "DISTINCT_MODIFIER": ("DISTINCT", "use .key_by(...).dedupe(...)"),
    "ORDER_MODIFIER": ("ORDER BY", "leave it out, or use .key_by(...).top(...)"),
    "LIMIT_MODIFIER": ("LIMIT", "leave it out"),
    "LIMIT_PERCENT_MODIFIER": ("LIMIT", "leave it out"),
}


class Problem(msgspec.Struct, frozen=True):
    """What is wrong, what to do, and where in the query; -1: not known."""

    what: str
    remedy: str
    at: int = -1


def problems(tree: Tree, tables: Set[str], aggregates: Set[str]) -> list[Problem]:
    """Of one SELECT. `tables`: the names of those beside the batch; `aggregates`: of functions of many rows."""
    known = {name.lower(): False for name in tables} | {BATCH: True}
    reader = _Reader(aggregates)
    if not reader.reads(tree, known) and not reader.found:
        reader.found.append(Problem(f"it does not read {BATCH}", f"write SELECT ... FROM {BATCH}"))
    return reader.found


class _Reader:
    """Goes through the tree. `known` says of each name that may be read whether it has rows of the batch."""

    def __init__(self, aggregates: Set[str]) -> None:
        self._aggregates = aggregates
        self.found: list[Problem] = []

    def reads(self, node: Tree, known: Mapping[str, bool]) -> bool:
        """True: the rows of a query are made of rows of the batch."""
        known = self._with_ctes(node, known)
        if node["type"] == "SET_OPERATION_NODE":
            reads = [self.reads(child, known) for child in node["children"]]
            if any(reads) and not (node["setop_type"] == "UNION" and node["setop_all"]):
                self._refuse(str(node["setop_type"]), "use UNION ALL, which needs no other rows", _place(node))
            elif any(reads) and not all(reads):
                self._refuse("UNION ALL with rows of a table", f"select from {BATCH} in each of its parts", -1)
        elif node["type"] == "SELECT_NODE":
            reads = [self._from(node["from_table"], known)]
            if any(reads):
                self._select(node)
            for part in ("select_list", "where_clause", "having", "qualify", "group_expressions"):
                self._subqueries(node[part], known)
        else:
            self._refuse("a recursive query" if "CTE" in node["type"] else str(node["type"]), "leave it out", -1)
            return True
        if any(reads):
            for modifier in node["modifiers"]:
                name, remedy = _MODIFIERS.get(modifier["type"], (modifier["type"], "leave it out"))
                self._refuse(name, remedy, _place(modifier))
        return any(reads)

    def _with_ctes(self, node: Tree, known: Mapping[str, bool]) -> Mapping[str, bool]:
        inner = dict(known)
        for cte in node["cte_map"]["map"]:
            inner[cte["key"].lower()] = self.reads(cte["value"]["query_node"], inner)
        return inner

    def _from(self, table: Tree, known: Mapping[str, bool]) -> bool:
        match table["type"]:
            case "BASE_TABLE":
                name = table["table_name"].lower()
                if name not in known or table["schema_name"]:
                    remedy = f"{did_you_mean(name, known)}; others are given as tables={{{name!r}: files.csv(...)}}"
                    self.found.append(Problem(f"no table is called {table['table_name']!r}", remedy, _place(table)))
                return known.get(name, False)
            case "JOIN":
                sides = [self._from(table[side], known) for side in ("left", "right")]
                self._subqueries(table["condition"], known)
                if all(sides):
                    self._refuse(f"a join of {BATCH} with itself", "use .key_by(...).join(...)", _place(table))
                elif any(sides) and table["join_type"] not in ("INNER", "SEMI", "ANTI"):
                    self._outer(table, batch_is_left=sides[0])
                return any(sides)
            case "SUBQUERY":
                return self.reads(table["subquery"]["node"], known)
            case _:
                self._subqueries(table, known)
                return False

    def _outer(self, table: Tree, *, batch_is_left: bool) -> None:
        """A row of a table that no row of one batch matches may be matched by the next batch."""
        if table["join_type"] != ("LEFT" if batch_is_left else "RIGHT"):
            what = f"{table['join_type']} JOIN, which gives rows of a table that no row of the batch has matched"
            self._refuse(what, f"put {BATCH} on the outer side", _place(table))

    def _select(self, node: Tree) -> None:
        if node["group_expressions"] or node["aggregate_handling"] != "STANDARD_HANDLING":
            self._refuse("GROUP BY", _WINDOWS, _first_place(node["group_expressions"] or node["select_list"]))
            return
        if node["sample"]:
            self._refuse("a sample", "leave it out, or use .filter(...)", -1)
        for part in ("select_list", "having", "qualify"):
            for expression in _outside_subqueries(node[part]):
                kind, name = expression.get("class"), str(expression.get("function_name", "")).lower()
                if kind == "WINDOW":
                    self._refuse(f"{name}() OVER", _WINDOWS, _place(expression))
                elif kind == "FUNCTION" and name in self._aggregates and not expression["is_operator"]:
                    self._refuse(f"{name.removesuffix('_star')}()", _WINDOWS, _place(expression))

    def _subqueries(self, part: Any, known: Mapping[str, bool]) -> None:
        """Queries inside of expressions are read in the same way: what they read of the batch is one batch, too."""
        for node in _nodes(part):
            if self.reads(node, known):
                self._refuse(f"a subquery over {BATCH}", "select from it alone", _first_place([node]))

    def _refuse(self, name: str, remedy: str, at: int) -> None:
        what = f"{name} would be of one batch, and borders of batches mean nothing"
        self.found.append(Problem(what, remedy, at))


def _outside_subqueries(part: Any) -> Iterator[Tree]:
    """All expressions in a part of the tree, but for those of queries within."""
    if isinstance(part, list):
        for each in part:
            yield from _outside_subqueries(each)
    elif isinstance(part, dict):
        yield part
        for name, value in part.items():
            if name != "subquery":
                yield from _outside_subqueries(value)


def _nodes(part: Any) -> Iterator[Tree]:
    """The outermost queries in a part of the tree."""
    if isinstance(part, list):
        for each in part:
            yield from _nodes(each)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name == "subquery" and isinstance(value, dict) and "node" in value:
                yield value["node"]
            else:
                yield from _nodes(value)


def _place(part: Tree) -> int:
    found = part.get("query_location", -1)
    return found if isinstance(found, int) and found < 1 << 32 else -1


def _first_place(parts: Iterable[Tree]) -> int:
    """The place of the first expression that has one."""
    for part in parts:
        for expression in _outside_subqueries(part):
            if _place(expression) >= 0:
                return _place(expression)
    return -1
