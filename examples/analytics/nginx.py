"""Parses nginx status snapshots (one JSON object a line) and turns their cumulative counters into rates.

Rules
- Only counters become rates: requests, answers by class, bytes, connections, handshakes, cache bytes.
- `ssl` counts per worker process: its rates are kept per `pid`, all others are the server's.
- A snapshot of which any counter is no whole number is malformed as a whole, and the next rates leave it out.
- The rate is missing in a counter's first snapshot and where it fell (the process was restarted).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from analytics.events import AnyEvent, Rate

Snapshot: TypeAlias = Mapping[str, Any]  # JSON as nginx sent it
_TOO_LARGE = 2**63
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Status:
    """The snapshots of one server, in order; keeps each counter's last value."""

    def __init__(self) -> None:
        self.last: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, file: str, line: int, text: str) -> list[AnyEvent]:
        snapshot = _decode(text)
        try:
            ts = snapshot["timestamp"] / 1e3
            found = list(counters(snapshot))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no status of nginx: {error!r}") from error
        for key, kind, total in found:
            if type(total) is not int or not 0 <= total < _TOO_LARGE:
                raise ValueError(f"no status of nginx: {kind} of {key} is {total!r}")
        return [Rate(
            id=f"{file}:{line}:{key}:{kind}", file=file, line=line, ts=ts, key=key, kind=kind, total=total,
            per_s=self._rate(key, kind, ts, total),
        ) for key, kind, total in found]

    def _rate(self, key: str, kind: str, ts: float, total: int) -> float | None:
        before = self.last.get((key, kind))
        self.last[key, kind] = ts, total
        if before is None or total < before[1] or ts <= before[0]:
            return None
        return (total - before[1]) / (ts - before[0])


def counters(snapshot: Snapshot) -> Iterator[tuple[str, str, int]]:
    """(key, kind, total) of every counter in a snapshot."""
    yield "server", "accepted", snapshot["connections"]["accepted"]
    yield "server", "dropped", snapshot["connections"]["dropped"]
    yield "server", "requests", snapshot["requests"]["total"]
    for kind in ("handshakes", "handshakes_failed", "session_reuses"):
        yield f"ssl:{snapshot['pid']}", kind, snapshot["ssl"][kind]
    for name, zone in snapshot["server_zones"].items():
        yield from _traffic(f"zone:{name}", zone)
    for name, upstream in snapshot["upstreams"].items():
        for peer in upstream["peers"]:
            yield from _traffic(f"peer:{name}/{peer['server']}", peer)
            yield f"peer:{name}/{peer['server']}", "fails", peer["fails"]
    for name, cache in snapshot["caches"].items():
        for kind in ("hit", "miss", "expired", "bypass"):
            yield f"cache:{name}", kind, cache[kind]["responses"]


def _traffic(key: str, counts: Snapshot) -> Iterator[tuple[str, str, int]]:
    for kind in ("requests", "received", "sent"):
        yield key, kind, counts[kind]
    for kind in ("2xx", "3xx", "4xx", "5xx"):
        yield key, kind, counts["responses"][kind]
