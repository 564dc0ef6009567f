"""Cuts the sample that ships with the application from a full copy of the data: `python make_sample.py DATA`.

Each cut is one stretch of whole lines, except that three files end inside a line: so does a file whose writer was
killed, and so the sample has something for the dead letters.
"""

from __future__ import annotations

import gzip
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from analytics.ingest import lines_of

SAMPLE = Path(__file__).resolve().parent / "sample"


@dataclass(frozen=True)
class Cut:
    """Lines `first` to `last` of a file, counted from 1."""

    file: str
    last: int
    first: int = 1
    torn: int = 0
    """Characters missing at the end."""


CUTS = (
    Cut("clickstream/nasa/nasa_1995-08-01_0600-1500Z.tsv.gz", 1500, torn=30),
    Cut("clickstream/apache_access/access_2015-05-17_19.log.gz", 7421, first=5800, torn=60),
    Cut("clickstream/snowplow/events.csv", 101),
    Cut("sensors/nab/data/realAWSCloudwatch/ec2_network_in_5abac7.csv", 4731),
    Cut("sensors/nab/data/realAdExchange/exchange-2_cpc_results.csv", 1625),
    Cut("sensors/nab/data/realTraffic/speed_6005.csv", 2501),
    Cut("sensors/nab/data/artificialWithAnomaly/art_daily_jumpsup.csv", 4033),
    Cut("sensors/waterflow/water-flow.csv", 1269),
    Cut("ticks/binance/spot_btcusdt_20240809.gz", 3000, torn=25),
    Cut("ticks/binance/cm_btcusd_perp_20240809.gz", 2000),
    Cut("ticks/exchanges/BINANCE_DELIVERY.ws.1.0.txt.gz", 300),
    Cut("ticks/exchanges/BINANCE_US.ws.1.0.txt.gz", 300),
    Cut("ticks/exchanges/BITMEX.ws.1.0.txt.gz", 300),
    Cut("ticks/exchanges/BITSTAMP.ws.1.0.txt.gz", 300),
    Cut("ticks/exchanges/COINBASE.ws.28.0.txt.gz", 600),
    Cut("ticks/exchanges/GEMINI.ws.1.0.txt.gz", 200),
    Cut("ticks/exchanges/HITBTC.ws.1.0.txt.gz", 150),
    Cut("ticks/exchanges/HITBTC.ws.2.0.txt.gz", 150),
    Cut("ticks/exchanges/KRAKEN.ws.48.0.txt.gz", 53),
    Cut("ticks/exchanges/KRAKEN.ws.49.0.txt.gz", 64),
    Cut("ticks/exchanges/KRAKEN.ws.50.0.txt.gz", 600),
    Cut("ticks/exchanges/UPBIT.ws.62.0.txt.gz", 200),
    Cut("logs/kafka/broker0/server.log.2016-12-19-16", 537),
    Cut("logs/kafka/broker0/server.log.2016-12-19-17", 6),
    Cut("logs/kafka/broker0/server.log.2016-12-19-18", 247),
    Cut("logs/kafka/broker0/server.log", 60),
    Cut("logs/kafka/broker0/controller.log.2016-12-19-18", 640, first=500),
    Cut("logs/nginx_status/status_first300.jsonl.gz", 60),
)
COPIES = (
    "clickstream/apache_access/LICENSE", "clickstream/snowplow/LICENSE", "clickstream/snowplow/expected_sessions.csv",
    "sensors/nab/LICENSE.txt", "sensors/nab/labels/combined_windows.json", "ticks/binance/LICENSE",
    "ticks/exchanges/LICENSE", "logs/kafka/LICENSE",
)


def main(data: Path) -> None:
    """Writes the sample again, except for its README."""
    for cut in CUTS:
        text = "\n".join(lines_of(data / cut.file)[cut.first - 1 : cut.last])
        text = text[: -cut.torn] if cut.torn else text + "\n"
        target = SAMPLE / (cut.file if cut.file.endswith(".gz") else f"{cut.file}.gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(text.encode(), mtime=0))
    for file in COPIES:
        (SAMPLE / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / file, SAMPLE / file)
    # Of the same repository as the Kafka logs.
    shutil.copyfile(data / "logs/kafka/LICENSE", SAMPLE / "logs/nginx_status/LICENSE")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
