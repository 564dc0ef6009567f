"""Parses raw websocket captures of nine exchanges; one function per exchange, chosen by the file's name.

A line is `<receive time, s>: <message>`. Control lines give no event: `wss://...` (connected, or sent by the client),
acknowledgements, heartbeats, statuses, empty lines. A message that no rule names is malformed, never control.

Rules
- `kind`: `trade`, `quote` (an exchange's ticker), `book` (snapshot or change), `candle`. One message may hold many.
- `side` is the taker's; COINBASE and BITMEX differ in whose they send: COINBASE's is the maker's.
- HITBTC sends the same streams on four connections, here read as one: equal trades (symbol, id), tickers, book
  messages (symbol, sequence) and candles are stated duplicates, within a connection, too. BITMEX trades have ids.
- Book messages older than their snapshot are stored like the others: whoever rebuilds the book leaves them out.
- GEMINI's first book messages repeat trades from before the capture: left out.
- UPBIT's messages were written as Python shows bytes (`b'...'`) and are unquoted first.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import msgspec

from analytics.events import AnyEvent, Tick
from analytics.stamps import instant
from analytics.ticks import number

Message: TypeAlias = Any  # JSON as the exchange sent it
_decode = msgspec.json.decode
_KRAKEN_CONTROL = frozenset({"heartbeat", "systemStatus", "subscriptionStatus", "pong"})


class Capture:
    """One exchange's captured connections."""

    def __call__(self, file: str, line: int, text: str) -> Iterable[AnyEvent]:
        if text.startswith("wss://"):
            return []
        stamp, colon, message = text.partition(": ")
        if not colon:
            raise ValueError("no receive time before the message")
        received = float(stamp)
        venue = venue_of(file)
        try:
            found = VENUES[venue](_decode(unquoted(message)), received)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"a message of another shape than {venue} sends: {error!r}") from error
        for nth, tick in enumerate(found):
            tick.id = f"{venue}:{tick.id}" if tick.id else f"{file}:{line}:{nth}"
            tick.file, tick.line, tick.venue, tick.received = file, line, venue, received
        return found


def unquoted(message: str) -> str | bytes:
    """The message itself where it was written as Python shows bytes."""
    if not message.startswith("b'"):
        return message
    try:
        plain = literal_eval(message)
    except SyntaxError as error:
        raise ValueError("bytes without their closing quote") from error
    if not isinstance(plain, bytes):
        raise ValueError("more than one message of bytes")
    return plain


@lru_cache
def venue_of(file: str) -> str:
    """`hitbtc` of `ticks/exchanges/HITBTC.ws.2.0.txt.gz`."""
    venue = PurePosixPath(file).name.partition(".")[0].lower()
    if venue not in VENUES:
        raise ValueError(f"no rules for {venue}; known are {', '.join(VENUES)}")
    return venue


def _tick(kind: str, key: str, ts: float, id: str = "", **fields: Any) -> Tick:
    """The rest is filled in by `Capture`."""
    return Tick(id=id, file="", line=0, ts=ts, key=key, kind=kind, venue="", **fields)


def _control(said: object, known: frozenset[str]) -> list[Tick]:
    if said not in known:
        raise ValueError(f"no rule for the event {said!r}")
    return []


def _coinbase(m: Message, received: float) -> list[Tick]:
    match m["type"]:
        case "match" | "last_match":
            side = "buy" if m["side"] == "sell" else "sell"
            return [_tick("trade", m["product_id"], instant(m["time"]), price=float(m["price"]), size=float(m["size"]),
                          side=side, first_id=m["trade_id"], last_id=m["trade_id"])]
        case "ticker":
            return [_tick("quote", m["product_id"], instant(m["time"]), price=float(m["price"]),
                          bid=number(m["best_bid"]), ask=number(m["best_ask"]), last_id=m["sequence"])]
        case "snapshot":
            return [_tick("book", m["product_id"], received, levels=len(m["bids"]) + len(m["asks"]))]
        case "l2update":
            return [_tick("book", m["product_id"], instant(m["time"]), levels=len(m["changes"]))]
        case "subscriptions":
            return []
        case other:
            raise ValueError(f"no rule for messages of type {other!r}")


def _kraken(m: Message, received: float) -> list[Tick]:
    if isinstance(m, Mapping):
        return _control(m["event"], _KRAKEN_CONTROL)
    body, channel, pair = m[1], m[-2], m[-1]
    if channel == "trade":
        return [_tick("trade", pair, float(ts), price=float(price), size=float(size),
                      side="buy" if side == "b" else "sell") for price, size, ts, side, *_ in body]
    if channel == "ticker":
        return [_tick("quote", pair, received, price=float(body["c"][0]), bid=float(body["b"][0]),
                      bid_size=float(body["b"][2]), ask=float(body["a"][0]), ask_size=float(body["a"][2]))]
    if not channel.startswith("book-"):
        raise ValueError(f"no rule for the channel {channel!r}")
    levels = [level for half in m[1:-2] for name, side in half.items() if name != "c" for level in side]
    return [_tick("book", pair, max((float(level[2]) for level in levels), default=received), levels=len(levels))]


def _bitmex(m: Message, received: float) -> list[Tick]:
    match m.get("table"):
        case "trade":
            return [_tick("trade", r["symbol"], instant(r["timestamp"]), f"trade:{r['trdMatchID']}",
                          price=float(r["price"]), size=float(r["size"]), side=r["side"].lower()) for r in m["data"]]
        case "quote":
            return [_tick("quote", r["symbol"], instant(r["timestamp"]), bid=number(r["bidPrice"]),
                          bid_size=number(r["bidSize"]), ask=number(r["askPrice"]), ask_size=number(r["askSize"]))
                    for r in m["data"]]
        case "orderBookL2":
            symbol = m["data"][0]["symbol"] if m["data"] else m.get("filter", {}).get("symbol", "")
            return [_tick("book", symbol, received, levels=len(m["data"]))]
        case None if "info" in m or "success" in m:  # the welcome, the answer to a subscription
            return []
        case None:
            raise ValueError(f"no rule for messages with {', '.join(m)}")
        case other:
            raise ValueError(f"no rule for the table {other!r}")


def _binance(m: Message, received: float) -> list[Tick]:
    d = m["data"]
    symbol = d["s"]
    match d.get("e", "bookTicker"):
        case "aggTrade":
            return [_tick("trade", symbol, d["T"] / 1e3, f"{symbol}:trade:{d['a']}", price=float(d["p"]),
                          size=float(d["q"]), side="sell" if d["m"] else "buy", first_id=d["f"], last_id=d["l"])]
        case "bookTicker":
            return [_tick("quote", symbol, d.get("T", received * 1e3) / 1e3, f"{symbol}:quote:{d['u']}",
                          bid=number(d["b"]), bid_size=number(d["B"]), ask=number(d["a"]), ask_size=number(d["A"]),
                          last_id=d["u"])]
        case "depthUpdate":
            return [_tick("book", symbol, d["E"] / 1e3, f"{symbol}:book:{d['u']}", levels=len(d["b"]) + len(d["a"]),
                          first_id=d["U"], last_id=d["u"])]
        case "kline":
            k = d["k"]
            return [_tick("candle", symbol, k["t"] / 1e3, price=float(k["c"]), size=float(k["v"]), first_id=k["f"],
                          last_id=k["L"])]
        case other:
            raise ValueError(f"no rule for messages of type {other!r}")


def _bitstamp(m: Message, received: float) -> list[Tick]:
    pair, d = m["channel"].rpartition("_")[2], m["data"]
    match m["event"]:
        case "trade":
            return [_tick("trade", pair, int(d["microtimestamp"]) / 1e6, f"trade:{d['id']}",
                          price=float(d["price_str"]), size=float(d["amount_str"]), side="sell" if d["type"] else "buy",
                          first_id=d["id"], last_id=d["id"])]
        case "data":
            return [_tick("book", pair, int(d["microtimestamp"]) / 1e6, levels=len(d["bids"]) + len(d["asks"]))]
        case "bts:subscription_succeeded" | "bts:heartbeat":
            return []
        case other:
            raise ValueError(f"no rule for the event {other!r}")


def _gemini(m: Message, received: float) -> list[Tick]:
    match m["type"]:
        case "trade":
            return [_tick("trade", m["symbol"], m["timestamp"] / 1e3, f"trade:{m['event_id']}", price=float(m["price"]),
                          size=float(m["quantity"]), side=m["side"], first_id=m["event_id"], last_id=m["event_id"])]
        case "l2_updates":
            return [_tick("book", m["symbol"], received, levels=len(m["changes"]))]
        case "heartbeat":
            return []
        case other:
            raise ValueError(f"no rule for messages of type {other!r}")


def _hitbtc(m: Message, received: float) -> list[Tick]:
    if "method" not in m and m.get("result") is True:  # the answer to a subscription
        return []
    p = m["params"]
    symbol = p["symbol"]
    match m["method"]:
        case "snapshotTrades" | "updateTrades":
            return [_tick("trade", symbol, instant(r["timestamp"]), f"{symbol}:trade:{r['id']}",
                          price=float(r["price"]), size=float(r["quantity"]), side=r["side"], first_id=r["id"],
                          last_id=r["id"])
                    for r in p["data"]]
        case "ticker":
            told = ":".join(str(value) for value in p.values())
            return [_tick("quote", symbol, instant(p["timestamp"]), f"quote:{told}", price=number(p["last"]),
                          bid=number(p["bid"]), ask=number(p["ask"]))]
        case "snapshotOrderbook" | "updateOrderbook":
            return [_tick("book", symbol, instant(p["timestamp"]), f"{symbol}:{m['method']}:{p['sequence']}",
                          levels=len(p["bid"]) + len(p["ask"]), last_id=p["sequence"])]
        case "snapshotCandles" | "updateCandles":
            return [_tick("candle", symbol, instant(r["timestamp"]), f"{symbol}:candle:{':'.join(r.values())}",
                          price=float(r["close"]), size=float(r["volume"])) for r in p["data"]]
        case other:
            raise ValueError(f"no rule for the method {other!r}")


def _upbit(m: Message, received: float) -> list[Tick]:
    match m["ty"]:
        case "trade":
            return [_tick("trade", m["cd"], m["ttms"] / 1e3, price=m["tp"], size=m["tv"],
                          side="buy" if m["ab"] == "BID" else "sell", first_id=m["sid"], last_id=m["sid"])]
        case "orderbook":
            best = m["obu"][0]
            return [_tick("book", m["cd"], m["tms"] / 1e3, bid=best["bp"], bid_size=best["bs"], ask=best["ap"],
                          ask_size=best["as"], levels=2 * len(m["obu"]))]
        case other:
            raise ValueError(f"no rule for messages of type {other!r}")


VENUES: Mapping[str, Callable[[Message, float], list[Tick]]] = {
    "coinbase": _coinbase, "kraken": _kraken, "bitmex": _bitmex, "binance_delivery": _binance, "binance_us": _binance,
    "bitstamp": _bitstamp, "gemini": _gemini, "hitbtc": _hitbtc, "upbit": _upbit,
}
