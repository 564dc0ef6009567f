"""A beginner, from the README: numbers -> doubled by four workers -> printed."""
from typing import reveal_type

import penstock as ps

app = ps.Pipeline("doubler")
doubled = app.source(range(1_000)).stage("double", workers=4).map(lambda n: 2 * n)
doubled.sink(print)
reveal_type(doubled)  # Stream[int]

if __name__ == "__main__":
    app.run()
