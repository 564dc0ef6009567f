"""Scores market data: spread and imbalance of quotes, the direction of the trade flow, jumps of the price.

All scores of a row use that row and earlier ones of the same symbol. A stretch that starts within a file brings the
messages before it as context, so that flow and volatility are warm when its first own row comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

from analytics.events import Tick

_FLOW_KEEPS = 0.98
"""A trade's weight in the flow halves over 34 trades."""
_VARIANCE_LEARNS = 0.02
_WARM_TRADES = 20
"""So many trades before a jump is called one."""


@dataclass
class _Market:
    signed: float = 0.0
    total: float = 0.0
    last_price: float = 0.0
    variance: float = 0.0
    trades: int = 0


def score_ticks(ticks: Sequence[Tick]) -> None:
    """Fills the scores in place; ticks in the order in which they came."""
    markets: dict[tuple[str, str], _Market] = {}
    for tick in ticks:
        if tick.bid is not None and tick.ask is not None:
            _quote(tick, tick.bid, tick.ask)
        if tick.kind == "trade" and tick.price is not None and tick.price > 0:
            market = markets.get((tick.venue, tick.key))
            if market is None:
                market = markets[tick.venue, tick.key] = _Market()
            _trade(tick, tick.price, market)


def _quote(tick: Tick, bid: float, ask: float) -> None:
    if bid + ask > 0:
        tick.spread_bps = (ask - bid) / (bid + ask) * 20_000
    if tick.bid_size is not None and tick.ask_size is not None and tick.bid_size + tick.ask_size > 0:
        tick.imbalance = (tick.bid_size - tick.ask_size) / (tick.bid_size + tick.ask_size)


def _trade(tick: Tick, price: float, market: _Market) -> None:
    worth = tick.notional if tick.notional is not None else tick.size or 0.0
    market.signed = market.signed * _FLOW_KEEPS + (worth if tick.side == "buy" else -worth)
    market.total = market.total * _FLOW_KEEPS + worth
    tick.flow = market.signed / market.total if market.total else 0.0
    if market.last_price:
        move = log(price) - log(market.last_price)  # their quotient might be too small or too large for a number
        if market.trades >= _WARM_TRADES:
            # A quiet market has no variance; half a basis point then counts as one standard deviation.
            tick.jump = move / max(sqrt(market.variance), 5e-5)
        market.variance += _VARIANCE_LEARNS * (move * move - market.variance)
    market.last_price = price
    market.trades += 1
