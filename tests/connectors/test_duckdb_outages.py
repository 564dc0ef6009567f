"""A DuckDB database that another process holds, or on a full disk, is waited for; what will not heal fails at once."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from mounted import FileSystem, mounted
from penstock.connectors import duckdb as connector
from penstock.operator import Context

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.timeout(240)

CONTEXT = Context(pipeline="p", stage="store", slot=0, workers=1, attempt=1)
ROWS = 4000
HOLDS = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('holds', flush=True); sys.stdin.read(); c.close()"


class Holder:
    """Another process that has the database open."""

    def __init__(self, database: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"holds\n"

    def let_go(self) -> None:
        self._process.communicate()


def pipeline(database: Path, **options: Any) -> ps.Pipeline:
    app = ps.Pipeline("outage")
    rows = app.source([{"n": n, "text": f"{n:0100}"} for n in range(ROWS)], name="rows")
    rows.sink(connector.table(database, "t", if_exists="append"), name="store", max_restarts="1/h", **options)
    return app


def stored(database: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database)) as opened:
        found: list[tuple[Any, ...]] = opened.execute("SELECT count(*), count(DISTINCT n) FROM t").fetchall()
        return found


@contextmanager
def once(said: str, caplog: pytest.LogCaptureFixture, then: Callable[[], object]) -> Iterator[None]:
    """Do something once a warning has said so, in a thread; at the latest when this ends."""
    over = threading.Event()

    def watch() -> None:
        while said not in caplog.text and not over.wait(0.05):
            pass
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def where(tmp_path: Path) -> dict[str, Path]:
    return {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}


@pytest.mark.parametrize("if_exists", ["error", "append", "overwrite"])
def test_a_database_that_another_process_holds_is_waited_for(
    if_exists: Any, tmp_path: Path, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """For "append" by the worker; for the others, who look into it or clear it first, before the run begins."""
    holder = Holder(tmp_path / "x.duckdb")
    app = ps.Pipeline("outage")
    table = connector.table(tmp_path / "x.duckdb", "t", if_exists=if_exists)
    app.source([{"n": n} for n in range(ROWS)], name="rows").sink(table, name="store", max_restarts="1/h")
    with caplog.at_level(logging.WARNING, "penstock.engine"), once("trying again in ", caplog, holder.let_go):
        report = app.run(**where, progress=False)
    assert stored(tmp_path / "x.duckdb") == [(ROWS, ROWS)]
    assert report.stages["store"].restarts == 0
    assert "another process has" in caplog.text


@pytest.mark.parametrize(("if_exists", "error"), [("error", ps.PenstockError), ("append", ps.PipelineFailed)])
def test_waiting_for_a_database_has_an_end(if_exists: Any, error: type[Exception], tmp_path: Path, where: Any) -> None:
    holder = Holder(tmp_path / "x.duckdb")
    app = ps.Pipeline("outage")
    table = connector.table(tmp_path / "x.duckdb", "t", if_exists=if_exists)
    app.source([{"n": n} for n in range(ROWS)], name="rows").sink(table, name="store", unavailable_for="2s")
    try:
        with pytest.raises(error, match=r"unavailable for \d+ s.*another process has"):
            app.run(**where, progress=False)
    finally:
        holder.let_go()
    app.run(**where, progress=False)
    assert stored(tmp_path / "x.duckdb") == [(ROWS, ROWS)]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[FileSystem]:
    with mounted(tmp_path / "disk", "size=4m") as made:
        yield made


@pytest.mark.parametrize("there", [True, False], ids=["commit", "open"])
def test_a_database_on_a_full_disk_gets_every_row_once_when_there_is_room(
    there: bool, small: FileSystem, tmp_path: Path, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    database = small.path / "x.duckdb"
    if there:
        connector.table(database, "t").writer(None, CONTEXT).close()
    small.fill(but=8192)  # room for the run's claim, and no more
    with caplog.at_level(logging.WARNING, "penstock.engine"), once("trying again in ", caplog, small.make_room):
        report = pipeline(database).run(**where, progress=False)
    assert "No space left on device" in caplog.text
    assert stored(database) == [(ROWS, ROWS)]
    assert "waits" in caplog.text
    assert report.dead_letters == 0
    assert report.stages["store"].restarts == 0


def test_a_full_disk_is_unavailable_and_blames_no_row(small: FileSystem) -> None:
    writer: Any = connector.table(small.path / "x.duckdb", "t").writer(None, CONTEXT)
    writer.write([{"n": 0}])
    writer.commit(b"1")
    small.fill()
    with pytest.raises(ps.Unavailable, match=r"no room for .*x\.duckdb"):
        commit_on(writer)
    writer.close()


def commit_on(writer: Any) -> None:
    for number in range(2, 1000):
        writer.write([{"n": n} for n in range(1000)])
        writer.commit(b"%d" % number)


@pytest.mark.parametrize("if_exists", ["error", "append"])
def test_a_file_that_is_not_a_database_fails_at_once(if_exists: Any, tmp_path: Path, where: Any) -> None:
    (tmp_path / "x.duckdb").write_text("not a database" * 1000)
    app = ps.Pipeline("outage")
    table = connector.table(tmp_path / "x.duckdb", "t", if_exists=if_exists)
    app.source([{"n": 1}], name="rows").sink(table, name="store")
    with pytest.raises(ps.PenstockError, match="it is not a database that DuckDB"):
        app.run(**where, progress=False)


def test_a_table_without_the_key_fails_without_waiting(tmp_path: Path, where: Any) -> None:
    with duckdb.connect(str(tmp_path / "x.duckdb")) as made:
        made.execute("CREATE TABLE t (other INTEGER)")
    app = ps.Pipeline("outage")
    table = connector.table(tmp_path / "x.duckdb", "t", key="n", if_exists="append")
    app.source([{"n": 1}], name="rows").sink(table, name="store")
    with pytest.raises(ps.PipelineFailed, match=r"2 lives .*no column 'n' for the key"):
        app.run(**where, progress=False)
