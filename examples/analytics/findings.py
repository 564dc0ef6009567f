"""A first look at the tables that a run has filled: one question to each of the feeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analytics.summary import table

QUESTIONS: Mapping[str, str] = {
    "the oddest readings": """
        SELECT key AS sensor, stamp, value, unit, round(anomaly, 2) AS anomaly FROM readings ORDER BY anomaly DESC, id
    """,
    "alarms in the logs": """
        SELECT service, key AS host, level, max(alarm) AS alarm, count(*) AS records, template[:36] AS template
        FROM logs GROUP BY ALL ORDER BY alarm DESC, template
    """,
    "visitors that are machines, and do not say so": """
        SELECT key AS visitor, count(*) AS requests, count(DISTINCT session) AS sessions, max(crawler_score) AS score
        FROM clicks WHERE crawler = '' GROUP BY key ORDER BY score DESC, requests DESC, visitor
    """,
    "the most traded": """
        SELECT venue, key AS symbol, count(*) AS trades, round(sum(notional), 2) AS turnover, quote,
               max(abs(jump))::DECIMAL(9,2) AS jump
        FROM ticks WHERE kind = 'trade' GROUP BY ALL ORDER BY trades DESC, symbol
    """,
}


WINDOW_QUESTIONS: Mapping[str, str] = {
    "the longest visits": """
        SELECT key AS visitor, strftime(start AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M') AS start, requests, pages
        FROM sessions ORDER BY "end" - start DESC, visitor
    """,
    "the hours in which sensors moved most": """
        SELECT key AS sensor, strftime(start AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M') AS hour, low, high
        FROM sensor_hours WHERE low > 0 ORDER BY high / low DESC, sensor
    """,
    "the widest bars": """
        SELECT market, strftime(start AT TIME ZONE 'UTC', '%H:%M:%S') AS second, open, high, low, close, trades
        FROM bars ORDER BY high / low DESC, market
    """,
    "the worst hours of services": """
        SELECT service, strftime(start AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M') AS hour, records, errors,
               round(rate, 3) AS rate
        FROM error_rates ORDER BY rate DESC, service
    """,
}


def findings(database: Path, questions: Mapping[str, str] = QUESTIONS, rows: int = 3) -> str:
    """The first rows of each answer; a feed that is not there is left out."""
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        shown = []
        for title, question in questions.items():
            if not any(f"FROM {name} " in question for name in tables):
                continue
            answer = connection.execute(f"{question} LIMIT {rows}")
            columns = [column[0] for column in answer.description or ()]
            cells = [["" if value is None else str(value) for value in row] for row in answer.fetchall()]
            shown.append(f"{title}\n{table([columns, *cells])}")
    return "\n\n".join(shown)
