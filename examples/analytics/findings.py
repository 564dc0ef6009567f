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
        SELECT service, key AS host, level, max(alarm) AS alarm, count(*) AS records, template[:60] AS template
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


def findings(database: Path, rows: int = 3) -> str:
    """The first rows of each answer; a feed that is not there is left out."""
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        shown = []
        for title, question in QUESTIONS.items():
            if not any(f"FROM {name} " in question for name in tables):
                continue
            answer = connection.execute(f"{question} LIMIT {rows}")
            columns = [column[0] for column in answer.description or ()]
            cells = [["" if value is None else str(value) for value in row] for row in answer.fetchall()]
            shown.append(f"{title}\n{table([columns, *cells])}")
    return "\n\n".join(shown)
