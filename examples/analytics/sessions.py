"""Scores clicks: sessions, the pace within them, and how likely a visitor is a machine.

A visitor's requests are put in order of time first (a log may be shuffled within its hour), then read once, each
from what came before it. A pause of more than 30 minutes starts a new session; tracker events bring their own.

The crawler score counts what people do not do: say in the user agent that they are a machine (alone enough), ask for
robots.txt, ask for many pages and none of their images, ask by HEAD, meet one missing page after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.events import Click

PAUSE_S = 1800.0


@dataclass
class _Visitor:
    session: str
    last_ts: float
    pages: int = 0
    """Of the session."""
    all_pages: int = 0
    assets: int = 0
    missing: int = 0
    heads: int = 0
    robots: bool = False


def score_clicks(clicks: Sequence[Click]) -> None:
    """Fills the scores in place."""
    visitors: dict[tuple[str, str], _Visitor] = {}
    for click in sorted(clicks, key=lambda click: (click.ts, click.line)):
        who = click.site, click.key
        visitor = visitors.get(who)
        if visitor is None or _starts_session(click, visitor):
            seen = visitor
            visitor = visitors[who] = _Visitor(click.session or f"{click.key}@{click.ts:.0f}", click.ts)
            if seen is not None:
                _remember(visitor, seen)
        else:
            click.since_last_s = click.ts - visitor.last_ts
        _observe(visitor, click)
        click.session = visitor.session
        click.page_in_session = visitor.pages
        click.crawler_score = crawler_score(click, visitor)


def _starts_session(click: Click, visitor: _Visitor) -> bool:
    if click.session:
        return click.session != visitor.session
    return click.ts - visitor.last_ts > PAUSE_S


def _remember(visitor: _Visitor, before: _Visitor) -> None:
    visitor.all_pages, visitor.assets, visitor.missing = before.all_pages, before.assets, before.missing
    visitor.heads, visitor.robots = before.heads, before.robots


def _observe(visitor: _Visitor, click: Click) -> None:
    visitor.last_ts = click.ts
    visitor.pages += click.is_page
    visitor.all_pages += click.is_page
    visitor.assets += not click.is_page
    visitor.missing += click.status == 404
    visitor.heads += click.method == "HEAD"
    visitor.robots |= click.path == "/robots.txt"


def crawler_score(click: Click, visitor: _Visitor) -> float:
    """0 a person, 1 a machine: independent hints, so their doubts multiply."""
    if click.crawler:
        return 1.0
    doubt = 1.0
    if visitor.robots:
        doubt *= 0.1
    if click.kind == "request":
        lonely_pages = max(0, visitor.all_pages - 2 - 10 * visitor.assets)
        doubt *= 0.85 ** min(lonely_pages, 12)
    doubt *= 0.7 ** min(visitor.heads, 6)
    doubt *= 0.8 ** max(0, min(visitor.missing - 1, 8))
    return round(1.0 - doubt, 4)
