"""The events that w2 reads: JSON lines of about 200 bytes, the same ones each time, in one file and in eight parts.

    python bench/workloads/events.py

Event time advances 0.4 ms an event, stamps are up to 1 s early or late, users are skewed, and 1 in 50 is not in the
user table. Every script makes the files where they are missing. They lie in `PENSTOCK_BENCH_DATA`, or else in the
system's temporary directory. `PENSTOCK_BENCH_ROWS`: how many events, 500,000 by default.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random

_USUAL_ROWS = 500_000
ROWS = int(os.environ.get("PENSTOCK_BENCH_ROWS") or _USUAL_ROWS)
SEED = 7
PARTS = 8
USERS = 10_000

_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/127.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5) Mobile/15E148",
    "curl/8.5.0",
)
_COUNTRIES = ("DE", "us", "FR", "gb", "IN", "br", "JP", "pl")
_REFERRERS = ("Google", "news", "Mail", "x", "partner-7")
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def data_folder() -> Path:
    """Where inputs and outputs lie."""
    default = Path(tempfile.gettempdir(), f"penstock-bench-{os.getuid()}")
    folder = Path(os.environ.get("PENSTOCK_BENCH_DATA") or default)
    if ROWS != _USUAL_ROWS:
        folder /= f"{ROWS}-events"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def whole_file() -> Path:
    """All events, in one file."""
    _make_once()
    return data_folder() / "events.jsonl"


def part_files() -> list[Path]:
    """The same events in eight files."""
    _make_once()
    return sorted((data_folder() / "parts").glob("*.jsonl"))


def first_lines(rows: int) -> Path:
    """A file with the first so many events, for peers that cannot be told to stop."""
    whole = whole_file()
    if rows >= ROWS:
        return whole
    path = whole.with_name(f"events-{rows}.jsonl")
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")
        with new.open("wb") as file:
            file.writelines(lines(rows))
        new.rename(path)
    return path


def first_parts(rows: int) -> list[Path]:
    """The first so many events in eight files."""
    if rows >= ROWS:
        return part_files()
    folder = data_folder() / f"parts-{rows}"
    folder.mkdir(exist_ok=True)
    each = -(-rows // PARTS)
    source = lines(rows)
    for number in range(PARTS):
        (folder / f"{number:02}.jsonl").write_bytes(b"".join(islice(source, each)))
    return sorted(folder.glob("*.jsonl"))


def lines(rows: int = ROWS) -> Iterator[bytes]:
    """The first so many events, with their line ends."""
    with whole_file().open("rb") as file:
        yield from islice(file, rows)


def output(name: str, suffix: str = ".jsonl") -> Path:
    """Where the run of that name writes; `suffix=""`: a directory, emptied."""
    folder = data_folder() / "out"
    folder.mkdir(exist_ok=True)
    path = folder / (name.replace(" ", "-").replace("/", "-") + suffix)
    if not suffix:
        path.mkdir(exist_ok=True)
        for file in path.rglob("*"):
            if file.is_file():
                file.unlink()
    return path


def made_up(rows: int = ROWS, seed: int = SEED) -> Iterator[str]:
    """The events themselves."""
    random = Random(seed)
    draw = random.random
    on_time_ms = 0.0
    for number in range(rows):
        on_time_ms += 0.4
        moment = _BEGIN + timedelta(milliseconds=int(on_time_ms + 2000 + (draw() - 0.5) * 2000))
        stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
        user = USERS + int(draw() * 500) if draw() < 0.02 else int(USERS * draw() ** 2.5)
        session = random.getrandbits(64)
        url = f"/P/{int(draw() * 400)}/Item-{int(draw() * 9000)}?ref={_REFERRERS[int(draw() * 5)]}"
        country, ms, agent = _COUNTRIES[int(draw() * 8)], int(draw() ** 3 * 5000), _AGENTS[int(draw() * 5)]
        yield (
            f'{{"id":{number},"sid":"{session:016x}","ts":"{stamp}","user_id":"u{user}","url":"{url}",'
            f'"country":"{country}","ms":{ms},"ua":"{agent}"}}\n'
        )


def _make_once() -> None:
    folder = data_folder()
    parts, whole = folder / "parts", folder / "events.jsonl"
    if whole.exists():  # the last to appear
        return
    parts.mkdir(exist_ok=True)
    each = -(-ROWS // PARTS)
    source = made_up()
    texts = ["".join(islice(source, each)) for _ in range(PARTS)]
    for number, text in enumerate(texts):
        (parts / f"{number:02}.jsonl").write_text(text)
    new = whole.with_suffix(f".{os.getpid()}")
    new.write_text("".join(texts))
    new.rename(whole)


if __name__ == "__main__":
    print(f"{whole_file()}: {ROWS:,} events, {whole_file().stat().st_size:,} bytes")
