"""What mypy refuses."""
import penstock as ps
from p03_clicks import Click, Enrich, Visit, normalize
from penstock.connectors import duckdb, files, stdio

app = ps.Pipeline("wrong")
lines = app.source(files.lines("x"))
clicks = lines.stage("parse").parse_json(Click)
def takes_visit(v: Visit) -> str: return v.page
async def check(c: Click) -> bool: return True
class NeedsArgument:
    def __init__(self, model: str) -> None: ...
    def __call__(self, c: Click) -> Visit: raise NotImplementedError
clicks.map(takes_visit)                          # 1 wrong row type
lines.map(Enrich)                                # 2 wrong row type, class
clicks.map(lambda c: c.usr)                      # 3 no such field
clicks.parse_json(Click)                         # 4 not text
clicks.filter(check)                             # 5 async filter: a coroutine is always true
clicks.stage("x", worker=2)                      # 6 typo
clicks.stage("x", timeout=2)                     # 7 a duration without unit
app.source(x for x in range(3))                  # 8 a generator object
app.source(duckdb.table("a", "b"))               # 9 a sink as source
clicks.sink(stdio.stdin())                       # 10 a source as sink
clicks.flat_map(lambda c: c.ts)                  # 11 not iterable
clicks.sink(takes_visit)                         # 12 wrong row type
clicks.sink(print).map(str)                      # 13 a sink ends the stream
clicks.map(normalize())                          # 15 called instead of passed
clicks.map(NeedsArgument)                        # 16 (only `check` can refuse)
clicks.stage("x", on_error="skip")               # 17 a string instead of a policy
