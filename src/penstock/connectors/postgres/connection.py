"""One connection to the server, and transactions on it that depend on no state of a session.

So a pooler that gives every transaction another session (pgbouncer) may stand between: nothing is prepared, every
setting is `SET LOCAL`, and names are qualified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from penstock.connectors.postgres.dsn import parameters, place, secrets_of, without
from penstock.connectors.postgres.imports import psycopg
from penstock.connectors.postgres.outages import is_outage, may_be_made_later, said
from penstock.errors import PenstockError
from penstock.operator import Unavailable

_DEFAULTS = {
    "connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""A server that is gone without a word is noticed within a minute. What the connection string says counts."""
LOCK_TIMEOUT_S = 10
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; "
    f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'; "
    # Of a client that is gone without a word, the server gives up the transaction, and with it the locks.
    "SET LOCAL idle_in_transaction_session_timeout = '60s'; "
    # A server that loses what it said was committed would lose rows: the journal counts on it.
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', true) "
    "WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
)


class Connection:
    """A connection that was made; its errors say what to do, and never a password."""

    def __init__(self, dsn: str, name: str) -> None:
        """`name`: as which the server lists it. Raises `Unavailable`, or `PenstockError` if waiting is of no use."""
        known = parameters(dsn)
        self._secrets = secrets_of(known)
        where = place(dsn)
        self.place = f"PostgreSQL ({where})" if where else "PostgreSQL"
        for option, value in _DEFAULTS.items():
            known.setdefault(option, value)
        known.setdefault("fallback_application_name", name[:63])
        known["client_encoding"] = "UTF8"
        self._open(known)

    def _open(self, known: dict[str, Any]) -> None:
        module = psycopg()
        trouble: Exception
        try:
            self.raw = module.connect(**known, autocommit=True, prepare_threshold=None)
        except module.Error as exc:
            text = without(self._secrets, said(exc))
            if may_be_made_later(exc):
                trouble = Unavailable(f"{self.place} cannot be reached ({text})")
            else:
                trouble = PenstockError(
                    f"{self.place} refuses the connection ({text}); correct the connection string, or have the "
                    "server's administrator allow it"
                )
        else:
            return
        raise trouble  # outside of the handler: libpq's error may quote the connection string

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """A cursor with the result. Without `values` the text may hold several statements, and any `%`."""
        return self.raw.execute(sql.encode(), values)

    def rows(self, sql: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.execute(sql, values).fetchall()
        return found

    def begin(self) -> None:
        self.execute(_BEGIN)

    def rollback(self) -> None:
        """Nothing happened. A broken connection has rolled back already."""
        if not self.raw.broken and not self.raw.closed:
            self.execute("ROLLBACK")

    def commit(self) -> None:
        self.execute("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits at the end; rolls back whatever is raised within."""
        self.begin()
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self.commit()

    @contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Errors of psycopg's within are `Unavailable`, or `PenstockError` with what the server says."""
        module = psycopg()
        try:
            yield
        except module.Error as exc:
            text = without(self._secrets, said(exc))
            if is_outage(exc):
                raise Unavailable(f"{self.place}: {doing} was not possible ({text})") from exc
            hint = exc.diag.message_hint or "correct that on the server"
            raise PenstockError(f"{self.place} refuses {doing} ({text}); {hint}") from exc

    def close(self) -> None:
        self.raw.close()


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'
