"""Connection strings: what of them may be shown, and what never may. Pure.

libpq reads them; what it says about one that it cannot read quotes parts of it. So nothing of it is passed on.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from penstock.connectors.postgres.imports import psycopg

_URI = re.compile(
    r"postgres(?:ql)?://(?:[^@/?#]*@)?(?P<hosts>[A-Za-z0-9.,:%_\[\]-]*?)(?:/(?P<name>[^?#@/]*))?(?:\?(?P<options>[^@]*))?"
)
_PORT = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[^:\[\]]*)(?::\d*)?")
_PAIR = re.compile(r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)")
_SECRET = re.compile(r"pass|key|secret|token")
HIDDEN = "***"


def place(dsn: str) -> str:
    """Where the database is, for messages: `shop on db.example.org:5432`. Empty if that is not certain.

    Only what can be nothing but a host, a port or a database's name is shown. Works without psycopg.
    """
    if dsn.startswith(("postgres://", "postgresql://")):
        found = _URI.fullmatch(dsn)
        hosts = found["hosts"] if found else ""
        if found is None or not all(map(_PORT.fullmatch, hosts.split(","))):
            return ""
        return _shown(found["name"] or "", hosts)
    pairs = _pairs(dsn)
    host = pairs.get("host") or pairs.get("hostaddr", "")
    port = pairs.get("port", "")
    return _shown(pairs.get("dbname", ""), f"{host}:{port}" if port else host)


def _shown(name: str, host: str) -> str:
    if "=" in name or "://" in name:  # `dbname` may hold a whole connection string
        return ""
    return " on ".join(part for part in (name, host) if part)


def _pairs(dsn: str) -> Mapping[str, str]:
    """The values of `host=a port=1`; none where it is anything else."""
    found: dict[str, str] = {}
    at = 0
    while dsn[at:].strip():
        pair = _PAIR.match(dsn, at)
        if pair is None:
            return {}
        value = pair[2][1:-1] if pair[2].startswith("'") else pair[2]
        found[pair[1]] = re.sub(r"\\(.)", r"\1", value)
        at = pair.end()
    return found


def parameters(dsn: str) -> dict[str, Any]:
    """What libpq reads in it. Raises `ValueError`, which quotes nothing, and `ExtraMissing`."""
    module = psycopg()
    try:
        found: dict[str, Any] = module.conninfo.conninfo_to_dict(dsn)
    except module.Error:
        unreadable = True
    else:
        unreadable = "@" in str(found.get("host", "")) and not str(found["host"]).startswith("@")
    if unreadable:  # outside of the handler: psycopg's error, which quotes the string, is no cause of this one
        raise ValueError(
            'the connection string cannot be read; write "postgresql://user@host:5432/database" (with "@", "/" and ":" '
            'in a password as %40, %2F and %3A) or "host=... dbname=... user=..."'
        )
    return found


def unready(dsn: str) -> list[str]:
    """Why nothing can be asked of the server, before anybody is asked."""
    if importlib.util.find_spec("psycopg") is None:
        return ["psycopg is not installed; `pip install 'penstock[postgres]'` installs it"]
    try:
        parameters(dsn)
    except ValueError as exc:
        return [str(exc)]
    return []


def secrets_of(known: Mapping[str, Any]) -> tuple[str, ...]:
    """Values that no message may hold."""
    return tuple(_secrets(known.items()))


def _secrets(known: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for name, value in known:
        if _SECRET.search(name) and name not in ("passfile", "sslkey", "require_auth") and value:
            yield str(value)


def without(secrets: Iterable[str], text: str) -> str:
    """A text of the server's or of libpq's, without the passwords that it may quote."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > 2:  # shorter ones would riddle the text and tell where they stood
            text = text.replace(secret, HIDDEN)
    return text
