"""What a type checker refuses, or `check`, or both; each line with who."""
from p03_clicks import Click, Enrich, Visit, normalize

import penstock as ps
from penstock.connectors import duckdb, files, stdio


def takes_visit(v: Visit) -> str:
    return v.page

async def check(c: Click) -> bool:
    return True

class NeedsArgument:
    def __init__(self, model: str) -> None: ...

    def __call__(self, c: Click) -> Visit:
        raise NotImplementedError

app = ps.Pipeline("wrong")
lines = app.source(files.lines(__file__))
clicks = lines.stage("parse").parse_json(Click)
clicks.map(takes_visit)  # mypy, check: wrong row type
lines.map(Enrich)  # mypy, check: wrong row type, of a class
clicks.map(lambda c: c.usr)  # mypy: no such field
clicks.parse_json(Click)  # mypy, check: no text
clicks.filter(check)  # mypy, check: an async filter, a coroutine is always true
clicks.stage("x", worker=2)  # mypy, call: no such option
clicks.stage("x", timeout=[2])  # mypy, check: a list is not a duration
app.source(x for x in range(3))  # mypy, check: a generator object
app.source(duckdb.table("a", "b"))  # mypy, check: a sink as source
clicks.sink(stdio.stdin())  # mypy, check: a source as sink
clicks.flat_map(lambda c: c.ts)  # mypy: not iterable
clicks.sink(takes_visit)  # mypy, check: wrong row type
clicks.sink(print).map(str)  # mypy, call: a sink ends the stream
clicks.map(normalize())  # mypy, call: called instead of passed
clicks.map(NeedsArgument)  # check: each worker makes its own, without arguments
clicks.stage("x", on_error="skip")  # mypy, check: a string instead of a policy
