"""What w2 does, on columns: polars expressions, Arrow kernels and an SQL statement. Loops and penstock use the same."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from workloads import functions

if TYPE_CHECKING:
    import polars
    import pyarrow

_USER_COLUMNS = ("segment", "home", "weight")


def users() -> dict[str, list[object]]:
    """The user table, column by column."""
    table = functions.USER
    return {"user": list(table), **{name: [known[name] for known in table.values()] for name in _USER_COLUMNS}}


@lru_cache(maxsize=1)
def _polars_users() -> polars.DataFrame:
    import polars as pl

    return pl.DataFrame(users())


def polars_schema() -> dict[str, type[polars.DataType]]:
    """The columns of the input."""
    import polars as pl

    texts = dict.fromkeys(("sid", "ts", "user_id", "url", "country", "ua"), pl.String)
    return {name: texts.get(name, pl.Int64) for name in ("id", "sid", "ts", "user_id", "url", "country", "ms", "ua")}


def polars_query(events: polars.LazyFrame) -> polars.LazyFrame:
    """Normalise, enrich, score."""
    import polars as pl

    url = pl.col("url").str.split_exact("?ref=", 1).struct
    visits = events.select(
        "id",
        pl.col("sid").alias("session"),
        pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms").dt.epoch("ms").alias("ts"),
        pl.col("user_id").alias("user"),
        url.field("field_0").str.to_lowercase().alias("path"),
        url.field("field_1").str.to_lowercase().alias("ref"),
        pl.col("country").str.to_lowercase(),
        pl.col("ms").alias("dur_ms"),
        pl.col("ua").str.to_lowercase().alias("agent"),
    )
    enriched = visits.join(_polars_users().lazy(), on="user", how="left").with_columns(
        *(pl.col(name).fill_null(functions.UNKNOWN[name]) for name in _USER_COLUMNS)
    )
    at_home = pl.when(pl.col("country") == pl.col("home")).then(0.5).otherwise(0.0)
    value = pl.col("dur_ms").log1p() * pl.col("weight") + 0.1 * pl.col("path").str.len_chars() + at_home
    return enriched.with_columns(value.round(6).alias("score"))


@lru_cache(maxsize=1)
def _arrow_users() -> pyarrow.Table:
    import pyarrow as pa

    table = users()
    unknown: dict[str, list[object]] = {"user": [""], **{name: [functions.UNKNOWN[name]] for name in _USER_COLUMNS}}
    return pa.table({name: [*table[name], *unknown[name]] for name in table})


def arrow_query(events: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Normalise, enrich, score, with Arrow's kernels; `ts` is text here, or a moment if Arrow's reader made it one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    url = pc.split_pattern(events["url"], "?ref=", max_splits=1)
    path, country = pc.utf8_lower(pc.list_element(url, 0)), pc.utf8_lower(events["country"])
    table = _arrow_users()
    found = pc.fill_null(pc.index_in(events["user_id"], table["user"].combine_chunks()), table.num_rows - 1)
    known = {name: table[name].combine_chunks().take(found) for name in _USER_COLUMNS}
    worth = pc.multiply(pc.log1p(events["ms"]), known["weight"])
    worth = pc.add(worth, pc.multiply(pc.utf8_length(path), 0.1))
    worth = pc.add(worth, pc.if_else(pc.equal(country, known["home"]), 0.5, 0.0))
    columns = {
        "id": events["id"],
        "session": events["sid"],
        "ts": _milliseconds(events["ts"]),
        "user": events["user_id"],
        "path": path,
        "ref": pc.utf8_lower(pc.list_element(url, 1)),
        "country": country,
        "dur_ms": events["ms"],
        "agent": pc.utf8_lower(events["ua"]),
        **known,
        "score": pc.round(worth, 6),
    }
    return pa.RecordBatch.from_pydict(columns)


def _milliseconds(stamps: pyarrow.Array) -> pyarrow.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(stamps.type):
        return pc.cast(stamps, pa.timestamp("ms")).cast(pa.int64())
    whole = pc.cast(pc.strptime(pc.utf8_slice_codeunits(stamps, 0, 19), "%Y-%m-%dT%H:%M:%S", "ms"), pa.int64())
    return pc.add(whole, pc.cast(pc.utf8_slice_codeunits(stamps, 20, 23), pa.int64()))


def duckdb_statement(source: str, target: str, form: str) -> str:
    """Everything, from the file of events to a file of that form (JSON, PARQUET); joins a table `users`."""
    fields = "id:'BIGINT', sid:'VARCHAR', ts:'VARCHAR', user_id:'VARCHAR', url:'VARCHAR', country:'VARCHAR', "
    fields += "ms:'BIGINT', ua:'VARCHAR'"
    return f"""
        COPY (
            WITH visits AS (
                SELECT id, sid AS session, epoch_ms(ts::TIMESTAMP) AS ts, user_id AS "user",
                    lower(split_part(url, '?ref=', 1)) AS path, lower(split_part(url, '?ref=', 2)) AS ref,
                    lower(country) AS country, ms AS dur_ms, lower(ua) AS agent
                FROM read_json('{source}', format='newline_delimited', columns={{{fields}}})
            ), enriched AS (
                SELECT visits.*, coalesce(users.segment, 'unknown') AS segment, coalesce(users.home, '') AS home,
                    coalesce(users.weight, 1.0)::DOUBLE AS weight
                FROM visits LEFT JOIN users ON visits."user" = users."user"
            )
            SELECT *, round(
                ln(1 + dur_ms) * weight + 0.1 * length(path) + CASE WHEN country = home THEN 0.5 ELSE 0.0 END, 6
            )::DOUBLE AS score FROM enriched
        ) TO '{target}' (FORMAT {form})
    """
