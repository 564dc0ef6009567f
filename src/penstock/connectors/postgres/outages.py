"""Tells apart what time may heal, what blames single rows, and what somebody has to put right.

By SQLSTATE where there is one. A connection that was not made has none, so its text is read: what nobody knows there
counts as an outage, which is told and waited for.
"""

from __future__ import annotations

from typing import Any

AGAIN = frozenset({"40001", "40P01", "40003"})
"""Serialization failure, deadlock: the same transaction may go through at once."""
_AWAY = (
    "08",  # the connection
    "53",  # no disk, no memory, too many connections
    "57P",  # the server is shut down, started, or has crashed
    "58",  # input and output
    "57014",  # a statement was cancelled: statement_timeout, or an administrator
    "55P03",  # lock_timeout
    "55006",  # object in use
    "25006",  # read only: a standby, or a server before it is promoted
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "XX000",  # "cache lookup failed": somebody altered the table meanwhile
)
_OF_ROWS = (
    "22",  # data
    "23",  # constraints
    "44",  # WITH CHECK OPTION
    "54",  # too large for an index, or for a row
    "P0",  # raised by a trigger
    "42501",  # row-level security; whether the table may be written at all is known before
    "21000",  # raised by a trigger's query
    "38", "39",  # raised by functions in other languages
)
_OF_CONNECTION = ("OperationalError", "ConnectionTimeout", "InterfaceError")
"""Classes of psycopg for a connection that broke: without a SQLSTATE, since the server said nothing."""
_TO_PUT_RIGHT = (
    "password authentication failed", "no password supplied", "authentication failed", "no pg_hba.conf entry",
    "does not exist", "is not permitted to log in", "permission denied for database", "certificate",
    "server does not support SSL", "invalid connection option", "could not read root certificate",
    "does not accept password", "role is not permitted", "is not currently accepting connections",
)


def is_outage(error: Any) -> bool:
    """Whether the server may be able to do the same later."""
    state: str | None = error.sqlstate
    return is_lost(error) if state is None else state.startswith(_AWAY)


def is_lost(error: Any) -> bool:
    """Whether the connection broke, so that nobody knows what became of a commit."""
    return error.sqlstate is None and type(error).__name__ in _OF_CONNECTION


def may_be_made_later(error: Any) -> bool:
    """Whether a connection that was refused may be made another time."""
    return error.sqlstate is None and not any(text in str(error) for text in _TO_PUT_RIGHT)


def blames_rows(error: Any) -> bool:
    """Whether the server refused what it was given, and not us."""
    return error.sqlstate is not None and error.sqlstate.startswith(_OF_ROWS)


def said(error: Any) -> str:
    """What the server says, in one line, with its detail."""
    primary = error.diag.message_primary
    if primary is None:
        return " ".join(str(error).split())
    detail = error.diag.message_detail
    return " ".join((f"{primary} ({detail})" if detail else primary).split())
