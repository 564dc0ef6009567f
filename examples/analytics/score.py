"""Fourth stage: scores each event from what came before it in its stretch, then lets the events go one by one."""

from __future__ import annotations

from analytics.anomaly import Level, score_readings
from analytics.events import AnyEvent, Click, LogRecord, Normal, Rate, Reading, Tick
from analytics.flow import score_ticks
from analytics.rarity import score_logs
from analytics.sessions import score_clicks

_WARM_RATES = 20
"""So many rates before a change is called one."""
_GREATEST_CHANGE = 10.0
"""A counter that was all but still has next to no deviation: any change is the greatest."""


def score(normal: Normal) -> list[AnyEvent]:
    """The stretch's own events, scored; its context has done its work and ends here."""
    events = normal.events
    score_clicks([event for event in events if isinstance(event, Click)])
    score_readings([event for event in events if isinstance(event, Reading)])
    score_ticks([event for event in events if isinstance(event, Tick)])
    score_logs([event for event in events if isinstance(event, LogRecord)])
    score_rates([event for event in events if isinstance(event, Rate)])
    return events[normal.context :]


def score_rates(rates: list[Rate]) -> None:
    """How far each counter's rate is from its usual one, in standard deviations."""
    levels: dict[tuple[str, str], Level] = {}
    for rate in rates:
        if rate.per_s is not None:
            level = levels.setdefault((rate.key, rate.kind), Level(0.02))
            known = level.count >= _WARM_RATES
            change = level.distance(rate.per_s)
            rate.change = min(change, _GREATEST_CHANGE) if known else 0.0
