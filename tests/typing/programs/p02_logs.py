"""An operations engineer: follow rotated logs; what does not parse goes to the dead letters, errors go to a file."""
import re
from datetime import datetime
from typing import reveal_type

import msgspec

import penstock as ps
from penstock.connectors import files

LINE = re.compile(r"(\S+ \S+) (INFO|WARN|ERROR) (.*)")

class Entry(msgspec.Struct):
    at: datetime
    level: str
    text: str

def parse(line: str) -> Entry:
    found = LINE.fullmatch(line)
    if found is None:
        raise ValueError("not a log line")
    return Entry(datetime.fromisoformat(found[1]), found[2], found[3])

app = ps.Pipeline("app-logs")
entries = (
    app.source(files.lines("/var/log/app/*.log", follow=True, start="end"), name="tail")
    .stage("parse", workers=2, ordered=True, on_error=ps.dead_letter(give_up_after=None)).map(parse)
)
entries.filter(lambda e: e.level == "ERROR").sink(files.json_lines("errors.jsonl", if_exists="append"), name="errors")
entries.sink(ps.discard(), name="rest")
reveal_type(entries)  # Stream[Entry]

if __name__ == "__main__":
    app.run()                       # Ctrl-C or SIGTERM drains
