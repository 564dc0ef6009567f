"""A query in a worker: the tables beside the batch are loaded once, and each batch is given to the same connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock import columns
from penstock.errors import PenstockError
from penstock.operator import Context
from penstock.operators.looked_up.loading import rows_of_source
from penstock.operators.queried.duckdb_session import columns_of, quoted, select_columns, session
from penstock.operators.queried.query_rules import BATCH
from penstock.operators.queried.row_order import ROW, ordered
from penstock.source import Source

_GIVEN: Final = "_penstock_given"


class SqlCall:
    """What is called for a batch of columns."""

    def __init__(self, query: str, row_type: Any, tables: Mapping[str, Source[Any]]) -> None:
        self._query = query.strip().rstrip(";")
        self._row_type = row_type
        self._tables = tables
        self._session: Any = None
        self._ordered: str | None = None
        """The query that keeps rows in their order; None: it does so anyway."""
        self._given = BATCH
        """As what a batch is registered."""

    def open(self, context: Context) -> None:
        """Load the tables."""
        self._session = session()
        self._ordered = ordered(self._session, self._query)
        for name, source in self._tables.items():
            for problem in source.check_source():
                raise PenstockError(f"{source.target}: {problem}")
            self._load(name, source, context)
        known = columns_of(self._row_type)
        if known is not None:
            # Columns have the types that the rows are annotated with, whatever the values of one batch are.
            self._given = _GIVEN
            known = {**known, ROW: "BIGINT"} if self._ordered else known
            self._session.register(_GIVEN, columns.arrow().table({name: columns.arrow().nulls(0) for name in known}))
            self._session.execute(f"CREATE VIEW {BATCH} AS {select_columns(known, _GIVEN)}")

    def __call__(self, batch: Any) -> Any:
        """A `pyarrow.Table` of a table."""
        if self._ordered is None:
            self._session.register(self._given, batch)
            return self._session.sql(self._query).to_arrow_table()
        numbers = columns.arrow().array(range(len(batch)))
        self._session.register(self._given, batch.append_column(ROW, numbers))
        found = self._session.sql(self._ordered).to_arrow_table()
        return found.select([name for name in found.column_names if not name.startswith(ROW)])

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    def _load(self, name: str, source: Source[Any], context: Context) -> None:
        known, rows = columns_of(source.row_type), list(rows_of_source(source, context))
        if known is None and not rows:
            raise PenstockError(
                f"{source.target} has no rows, so the columns of table {name!r} are not known; give it a type"
            )
        pa = columns.arrow()
        table = columns.rows_to_table(rows) if rows else pa.table({column: pa.nulls(0) for column in known or {}})
        self._session.register(_GIVEN, table)
        made = f"SELECT * FROM {_GIVEN}" if known is None else select_columns(known, _GIVEN)
        self._session.execute(f"CREATE TABLE {quoted(name)} AS {made}")
        self._session.unregister(_GIVEN)
