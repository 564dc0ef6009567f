"""What the queries of Nexmark give, by DuckDB: the truth for the pipelines beside this file.

The texts follow RisingWave's variants, of which expected results are in `tests/nexmark`, so both can be compared. q12
counts by the clock of the machine: here are the counts of all windows together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import duckdb

_SUM_BY_PRICE: Final = """
    count(*), count(*) FILTER (price < 10000), count(*) FILTER (price >= 10000 AND price < 1000000),
    count(*) FILTER (price >= 1000000)"""
_DISTINCT: Final = ", ".join(
    f"count(DISTINCT {column}){bound}" for column in ("bidder", "auction") for bound in (
        "", " FILTER (price < 10000)", " FILTER (price >= 10000 AND price < 1000000)", " FILTER (price >= 1000000)"
    )
)
_IN_TIME: Final = "b.date_time BETWEEN a.date_time AND a.expires"
_TEN_SECONDS: Final = "time_bucket(INTERVAL 10 SECOND, date_time)"

QUERIES: Final = {
    "q0": "SELECT auction, bidder, price, date_time FROM bid",
    "q1": "SELECT auction, bidder, 0.908 * price, date_time FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE auction IN (1007, 1020, 2001, 2019, 2087)",
    "q3": """SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
        WHERE a.category = 10 AND p.state IN ('or', 'id', 'ca')""",
    "q4": f"""SELECT category, avg(final) FROM (
        SELECT max(b.price) AS final, a.category FROM auction a JOIN bid b ON a.id = b.auction AND {_IN_TIME}
        GROUP BY a.id, a.category) GROUP BY category""",
    # Windows of 10 s, every 2 s; those that begin before the first even second of bids count, too.
    "q5": """WITH counted AS (
            SELECT auction, starts, count(*) AS n FROM (
                SELECT auction, time_bucket(INTERVAL 2 SECOND, date_time) - to_seconds(2 * back) AS starts
                FROM bid, range(5) AS r(back)) GROUP BY auction, starts)
        SELECT auction, n FROM counted QUALIFY n = max(n) OVER (PARTITION BY starts)""",
    "q6": f"""WITH winning AS (
            SELECT a.id, a.seller, b.price, b.date_time,
                row_number() OVER (PARTITION BY a.id ORDER BY b.price, b.position) AS place
            FROM auction a JOIN bid b ON a.id = b.auction AND {_IN_TIME})
        SELECT seller, avg(price) OVER (PARTITION BY seller ORDER BY date_time, id ROWS 10 PRECEDING) FROM winning
        WHERE place = 1""",
    "q7": f"""SELECT auction, price, bidder, date_time FROM bid
        QUALIFY price = max(price) OVER (PARTITION BY {_TEN_SECONDS})""",
    "q8": f"""SELECT DISTINCT p.id, p.name, p.starts
        FROM (SELECT id, name, {_TEN_SECONDS} AS starts FROM person) p
        JOIN (SELECT seller, {_TEN_SECONDS} AS starts FROM auction) a ON p.id = a.seller AND p.starts = a.starts""",
    "q9": f"""SELECT a.id, a.item_name, a.description, a.initial_bid, a.reserve, a.date_time, a.expires, a.seller,
            a.category, b.auction, b.bidder, b.price, b.date_time
        FROM auction a JOIN bid b ON a.id = b.auction AND {_IN_TIME}
        QUALIFY row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.position) = 1""",
    "q10": """SELECT auction, bidder, price, date_time, strftime(date_time, '%Y-%m-%d'), strftime(date_time, '%I:%M')
        FROM bid""",
    # Sessions of a bidder end where nothing came for 10 s.
    "q11": """WITH marked AS (
            SELECT bidder, date_time, date_time - lag(date_time) OVER w >= INTERVAL 10 SECOND AS opens
            FROM bid WINDOW w AS (PARTITION BY bidder ORDER BY date_time)),
        numbered AS (
            SELECT bidder, date_time, count(*) FILTER (opens) OVER (
                PARTITION BY bidder ORDER BY date_time ROWS UNBOUNDED PRECEDING) AS session FROM marked)
        SELECT bidder, count(*), min(date_time), max(date_time) + INTERVAL 10 SECOND FROM numbered
        GROUP BY bidder, session""",
    "q12": "SELECT bidder, count(*) FROM bid GROUP BY bidder",
    # The side input has the keys 0 to 9,999, and as its values their texts.
    "q13": """SELECT b.auction, b.bidder, b.price, b.date_time, s.value
        FROM bid b JOIN (SELECT key, CAST(key AS VARCHAR) AS value FROM range(10000) AS r(key)) s
        ON b.auction % 10000 = s.key""",
    "q14": """SELECT auction, bidder, 0.908 * price,
            CASE WHEN hour(date_time) BETWEEN 8 AND 18 THEN 'dayTime'
                 WHEN hour(date_time) <= 6 OR hour(date_time) >= 20 THEN 'nightTime' ELSE 'otherTime' END,
            date_time, length(extra) - length(replace(extra, 'c', ''))
        FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000""",
    "q15": f"""SELECT strftime(date_time, '%Y-%m-%d') AS day, {_SUM_BY_PRICE}, {_DISTINCT} FROM bid GROUP BY day""",
    "q16": f"""SELECT channel, strftime(date_time, '%Y-%m-%d') AS day, strftime(max(date_time), '%I:%m'),
            {_SUM_BY_PRICE}, {_DISTINCT} FROM bid GROUP BY channel, day""",
    "q17": f"""SELECT auction, strftime(date_time, '%Y-%m-%d') AS day, {_SUM_BY_PRICE}, min(price), max(price),
            avg(price), sum(price) FROM bid GROUP BY auction, day""",
    "q18": """SELECT auction, bidder, price, channel, url, date_time, extra FROM bid
        QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC, extra) = 1""",
    "q19": """SELECT auction, bidder, price, channel, url, date_time, extra,
            row_number() OVER (PARTITION BY auction ORDER BY price DESC, position) AS place
        FROM bid QUALIFY place <= 10""",
    "q20": """SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.date_time, b.extra, a.item_name, a.description,
            a.initial_bid, a.reserve, a.date_time, a.expires, a.seller, a.category, a.extra
        FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10""",
    "q21": """SELECT * FROM (
            SELECT auction, bidder, price, channel, CASE lower(channel)
                WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
                ELSE nullif(regexp_extract(url, '(&|^)channel_id=([^&]*)', 2), '') END AS id FROM bid)
        WHERE id IS NOT NULL""",
    "q22": """SELECT auction, bidder, price, channel, split_part(url, '/', 4), split_part(url, '/', 5),
            split_part(url, '/', 6) FROM bid""",
}


class Reference:
    """DuckDB with the tables `person`, `auction` and `bid`."""

    def __init__(self, events: Path) -> None:
        """`events`: JSON lines as `generator.write` gives them."""
        self._db = duckdb.connect()
        self._db.execute(
            f"""CREATE TABLE event AS SELECT row_number() OVER () AS position, * REPLACE (
                make_timestamp(date_time * 1000) AS date_time, make_timestamp(expires * 1000) AS expires)
            FROM read_json({str(events)!r}, format = 'newline_delimited', columns = {_COLUMNS})"""
        )
        for table in ("person", "auction", "bid"):
            self._db.execute(f"CREATE VIEW {table} AS SELECT * FROM event WHERE type = {table!r}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query such as "q3", in no order."""
        return self._db.execute(QUERIES[query]).fetchall()

    def write(self, query: str, output: Path) -> None:
        """All rows of a query as CSV."""
        self._db.execute(f"COPY ({QUERIES[query]}) TO {str(output)!r} (FORMAT csv, HEADER false)")


_TEXTS: Final = (
    "type", "name", "email_address", "credit_card", "city", "state", "extra", "item_name", "description", "channel",
    "url",
)
_NUMBERS: Final = (
    "id", "date_time", "initial_bid", "reserve", "expires", "seller", "category", "auction", "bidder", "price"
)
_COLUMNS: Final = {**dict.fromkeys(_TEXTS, "VARCHAR"), **dict.fromkeys(_NUMBERS, "BIGINT")}
