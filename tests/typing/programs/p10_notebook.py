"""A researcher in a notebook: functions of the cell, closures, rows back into the kernel."""
from itertools import islice
from typing import Any, reveal_type

import penstock as ps
from penstock.connectors import files


def tickers(path: str) -> ps.Stream[str]:
    app = ps.Pipeline("scratch")
    wanted = {"BTC", "ETH"}
    rows: ps.Stream[dict[str, Any]] = app.source(files.lines(path)).stage("parse", workers=4).parse_json()
    return rows.filter(lambda d: d["sym"] in wanted).map(lambda d: str(d["sym"]))

for symbol in islice(tickers("ticks.jsonl").results(), 10):
    print(symbol)

with tickers("ticks.jsonl").results() as results:        # leaving the block stops the pipeline
    for symbol in results:
        reveal_type(symbol)  # str
        if symbol == "ETH":
            break
print(results.report)
