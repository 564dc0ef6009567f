"""Reads time stamps for all parsers: an offset that a stamp tells is obeyed; a stamp that tells none counts as UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(stamp: str) -> float:
    """Seconds since 1970 of an ISO time, with or without an offset from UTC."""
    time = datetime.fromisoformat(stamp)
    return (time.replace(tzinfo=UTC) if time.tzinfo is None else time).timestamp()
