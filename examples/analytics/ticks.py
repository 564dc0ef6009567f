"""Parses market data as two Binance markets sent it: `<receive time, ns> <JSON>`, trades, quotes and book changes.

Rules
- Prices and sizes come as strings with trailing zeros; they have at most 15 digits, so a float's shortest text gives
  the very decimal back, and sums in decimal stay exact.
- `ts` is the exchange's time of the event. Spot quotes have none: there `ts` is the receive time. `received` is the
  local clock, which runs 1.27 s behind; it is stored as it is.
- The maker's side is given (`m`: the buyer waited); `side` is the taker's, who decided.
- Ids are natural: trade number, last update number. A message that comes twice, however far away in its file, is a
  stated duplicate; these captures have none. Sizes of futures are contracts; `enrich` knows their worth.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from analytics.events import AnyEvent, Tick


class _Data(msgspec.Struct):
    """A trade, quote or depth message: the fields of all three."""

    s: str
    e: str = "bookTicker"
    E: int = 0
    T: int = 0
    t: int = 0
    p: str = ""
    q: str = ""
    m: bool = False
    u: int = 0
    U: int = 0
    b: str | list[tuple[str, str]] = ""
    B: str = ""
    a: str | list[tuple[str, str]] = ""
    A: str = ""


class _Message(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Message).decode
_NUMBERED_BY: Mapping[str, tuple[str, str]] = {
    "trade": ("trade", "t"), "bookTicker": ("quote", "u"), "depthUpdate": ("book", "u"),
}
"""Kind of event, and the field that counts them, by the message's type."""


def binance_id(text: str) -> str:
    """The id of a line's event; empty where it gives none."""
    try:
        return _id(_decode(text.partition(" ")[2]).data)
    except ValueError:
        return ""


def _id(data: _Data) -> str:
    kind, number = _NUMBERED_BY.get(data.e, ("", ""))
    return f"binance:{data.s}:{kind}:{getattr(data, number)}" if kind else ""


def binance(file: str, line: int, text: str) -> list[AnyEvent]:
    """Messages of Binance, spot or coin-margined futures."""
    stamp, _, message = text.partition(" ")
    received = int(stamp) / 1e9
    data = _decode(message).data
    match data.e:
        case "trade":
            return [Tick(
                id=_id(data), file=file, line=line, ts=data.T / 1e3, key=data.s, kind="trade",
                venue="binance", received=received, price=float(data.p), size=float(data.q),
                side="sell" if data.m else "buy", first_id=data.t, last_id=data.t,
            )]
        case "bookTicker":
            return [Tick(
                id=_id(data), file=file, line=line, ts=data.T / 1e3 or received, key=data.s,
                kind="quote", venue="binance", received=received, bid=number(data.b), bid_size=number(data.B),
                ask=number(data.a), ask_size=number(data.A), last_id=data.u,
            )]
        case "depthUpdate":
            return [Tick(
                id=_id(data), file=file, line=line, ts=data.E / 1e3, key=data.s, kind="book",
                venue="binance", received=received, levels=len(data.b) + len(data.a), first_id=data.U, last_id=data.u,
            )]
        case other:
            raise ValueError(f"no rule for messages of type {other!r}")


def number(text: object) -> float | None:
    """A price or size; None where nothing is given."""
    return float(text) if isinstance(text, (str, int, float)) and text != "" else None
