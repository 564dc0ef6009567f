"""A PostgreSQL server that is away, full or locked is waited for and told; what will not heal fails at once."""

from __future__ import annotations

import logging
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from mounted import FileSystem, mounted
from penstock.connectors import postgres
from penstock.operator import Context
from penstock.plan.render import render_json, render_text
from penstock.sink import TransactionalWriter
from postgres_server import Server, made_server, owned

pytestmark = pytest.mark.timeout(150)

ROWS = 4_000
PASSWORD = "correct-horse-battery"


def pipeline(dsn: str, if_exists: Any = "append", **options: Any) -> ps.Pipeline:
    app = ps.Pipeline("outage")
    rows = app.source([{"n": n, "text": f"{n:0100}"} for n in range(ROWS)], name="rows")
    rows.sink(postgres.table(dsn, "t", if_exists=if_exists), name="store", max_restarts="1/h", **options)
    return app


def opened(dsn: str, slot: int = 0, **options: Any) -> Any:
    context = Context(pipeline="p", stage="store", slot=slot, workers=2, attempt=1, run_id="run-1")
    writer = postgres.table(dsn, "t", if_exists="append", **options).writer(None, context)
    assert isinstance(writer, TransactionalWriter)
    return writer


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
        with caplog.at_level(logging.WARNING, "penstock.engine"):
            yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def where(tmp_path: Path) -> dict[str, Path]:
    return {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}


def assert_stored(server: Server, report: ps.Report, database: str = "postgres") -> None:
    assert server.execute("SELECT count(*), count(DISTINCT n) FROM t", database) == [(ROWS, ROWS)]
    assert report.stages["store"].restarts == 0
    assert report.dead_letters == 0


@pytest.mark.parametrize("if_exists", ["error", "append", "overwrite"])
def test_a_server_that_is_down_is_waited_for_before_a_run(
    if_exists: Any, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with made_server() as server:
        server.stop()
        with once("trying again in ", caplog, server.start):
            report = pipeline(server.dsn(), if_exists).run(**where, progress=False)
        assert "stage store waits before the run begins: PostgreSQL (postgres on " in caplog.text
        assert "cannot be reached" in caplog.text
        assert_stored(server, report)


def test_waiting_for_a_server_has_an_end(where: Any) -> None:
    with made_server() as server:
        server.stop()
        with pytest.raises(ps.PenstockError, match=r"unavailable for \d+ s.*cannot be reached"):
            pipeline(server.dsn(), unavailable_for="2s").run(**where, progress=False)
        server.start()
        assert_stored(server, pipeline(server.dsn()).run(**where, progress=False))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("ALTER DATABASE {} SET default_transaction_read_only = on",
         "ALTER DATABASE {} SET default_transaction_read_only = off", "read-only transaction"),
        ("ALTER ROLE clerk CONNECTION LIMIT 0", "ALTER ROLE clerk CONNECTION LIMIT -1",
         "too many connections for role"),
        ("ALTER DATABASE {} SET statement_timeout = '1ms'", "ALTER DATABASE {} SET statement_timeout = 0",
         "canceling statement due to statement timeout"),
    ],
)
def test_what_the_server_allows_later_is_waited_for(
    before: str, after: str, said: str, server: Server, pg: Any, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clerk(server, pg)
    dsn = server.dsn(pg.name, "clerk")
    postgres.table(dsn, "t").prepare()
    server.execute(before.format(pg.name))
    with once("trying again in ", caplog, lambda: server.execute(after.format(pg.name))):
        report = pipeline(dsn).run(**where, progress=False)
    assert said in caplog.text
    assert_stored(server, report, pg.name)


def clerk(server: Server, pg: Any) -> None:
    """A user who is no superuser."""
    if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'clerk'"):
        server.execute("CREATE ROLE clerk LOGIN")
    pg.query("GRANT CREATE ON SCHEMA public TO clerk")


def test_a_table_that_somebody_locks_is_waited_for(
    pg: Any, server: Server, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    import psycopg

    pg.query("CREATE TABLE t (n bigint, text text)")
    with psycopg.connect(pg.dsn) as holder:
        holder.execute("LOCK TABLE t")
        with once("trying again in ", caplog, holder.commit):
            report = pipeline(pg.dsn).run(**where, progress=False)
    assert "canceling statement due to lock timeout" in caplog.text
    assert_stored(server, report, pg.name)


@pytest.fixture
def small() -> Iterator[FileSystem]:
    with owned() as folder, mounted(folder / "disk", "size=4m") as made:
        yield made


def test_a_full_disk_of_the_server_is_waited_for(
    small: FileSystem, server: Server, pg: Any, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.chown(small.path, server.owner)
    pg.query(f"CREATE TABLESPACE small LOCATION '{small.path}'")
    try:
        pg.query("CREATE TABLE t (n bigint, text text) TABLESPACE small")
        small.fill(but=65_536)
        with once("trying again in ", caplog, small.make_room):
            report = pipeline(pg.dsn).run(**where, progress=False)
        assert "No space left on device" in caplog.text
        assert_stored(server, report, pg.name)
    finally:
        pg.query("DROP TABLE t")
        pg.query("DROP TABLESPACE small")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
        ({"user": "nobody-knows"}, 'role "nobody-knows" does not exist'),
        ({"user": "guarded", "password": PASSWORD}, "password authentication failed"),
        ({"user": "guarded"}, "no password supplied"),
    ],
)
def test_what_will_not_heal_fails_at_once_and_shows_no_password(
    change: dict[str, str], said: str, server: Server, where: Any, caplog: pytest.LogCaptureFixture
) -> None:
    if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'guarded'"):
        server.execute("CREATE ROLE guarded LOGIN PASSWORD 'another'")
    dsn = " ".join(f"{name}={value}" for name, value in {"host": server.folder, "user": "penstock", **change}.items())
    with pytest.raises(ps.PenstockError) as caught:
        pipeline(dsn).run(**where, progress=False)
    assert said in str(caught.value)
    assert "correct the connection string, or have" in str(caught.value)
    assert PASSWORD not in _told(caught.value) + caplog.text


def _told(error: BaseException | None) -> str:
    """An error with all that it came from."""
    return "" if error is None else f"{error!r} {_told(error.__cause__)} {_told(error.__context__)}"


def test_missing_privileges_are_told_before_a_run(server: Server, pg: Any, where: Any) -> None:
    clerk(server, pg)
    pg.query("CREATE TABLE t (n bigint, text text)")
    with pytest.raises(ps.PenstockError, match=r'GRANT INSERT ON "public"\."t" TO this user'):
        pipeline(server.dsn(pg.name, "clerk")).run(**where, progress=False)
    pg.query("GRANT INSERT ON t TO clerk")
    pg.query("REVOKE CREATE ON SCHEMA public FROM clerk")
    with pytest.raises(ps.PenstockError, match=r"making table public\._penstock_commits.*permission denied for schema"):
        pipeline(server.dsn(pg.name, "clerk")).run(**where, progress=False)


def test_a_password_is_in_no_file_that_others_can_read(server: Server, tmp_path: Path) -> None:
    """While it runs: of what is there, only the plan for the workers may hold it."""
    server.execute("DROP ROLE IF EXISTS keeper")
    server.execute(f"CREATE ROLE keeper SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    app = pipeline(f"postgresql://keeper:{PASSWORD}@/postgres?host={server.folder}")
    assert PASSWORD not in repr(app.plan()) + render_text(app.plan()) + render_json(app.plan())
    handle = app.start(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    try:
        found = []
        for folder, _, names in os.walk(tmp_path):
            for name in names:
                path = Path(folder, name)
                if path.is_file() and PASSWORD.encode() in path.read_bytes():
                    found.append(path)
                    assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0
        assert PASSWORD not in handle.status().to_json()
    finally:
        handle.wait()
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file() and
                PASSWORD.encode() in path.read_bytes()]
    server.execute("DROP TABLE t, _penstock_commits")


def test_the_victim_of_a_deadlock_tries_again(pg: Any) -> None:
    import psycopg

    pg.query("CREATE TABLE t (k bigint PRIMARY KEY, n bigint)")
    pg.query("INSERT INTO t VALUES (1, 0), (2, 0)")
    pg.query(f"ALTER DATABASE {pg.name} SET deadlock_timeout = '1s'")
    writer = opened(pg.dsn, key="k")
    writer.write([{"k": 2, "n": 5}, {"k": 1, "n": 5}])
    with psycopg.connect(pg.dsn) as other:
        other.execute("SET deadlock_timeout = '10min'")
        other.execute("SET lock_timeout = 0")
        other.execute("UPDATE t SET n = 7 WHERE k = 2")
        committing = threading.Thread(target=writer.commit, args=(b"1",))
        committing.start()  # has locked 1, in the order of keys, and waits for 2
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not pg.query(waits)[0][0]:
            assert committing.is_alive()
        other.execute("UPDATE t SET n = 7 WHERE k = 1")  # goes on when the writer was chosen to give way
        other.commit()
    committing.join()
    assert sorted(pg.query("SELECT * FROM t")) == [(1, 5), (2, 5)]
    writer.close()


def test_slots_that_upsert_the_same_keys_do_not_meet_in_deadlocks(pg: Any, where: Any) -> None:
    app = ps.Pipeline("same-keys")
    rng = random.Random(5)
    rows = app.source([{"k": rng.randrange(50), "n": n} for n in range(20_000)], name="rows")
    rows.sink(
        postgres.table(pg.dsn, "t", key="k"), name="store", workers=4, max_restarts="1/h",
        edge=ps.Edge(batch_rows=64, linger="1ms"),
    )
    assert app.run(**where, progress=False).stages["store"].restarts == 0
    assert pg.query("SELECT count(*) FROM t") == [(50,)]
    assert pg.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


def test_what_an_administrator_sets_on_sessions_is_lived_with(pg: Any, where: Any, server: Server) -> None:
    for setting in (
        "idle_in_transaction_session_timeout = '1ms'", "lock_timeout = '1ms'", "synchronous_commit = off",
        "default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on", "row_security = off",
        "session_replication_role = origin", "client_min_messages = debug1", "lc_messages = 'C'",
    ):
        pg.query(f"ALTER DATABASE {pg.name} SET {setting}")
    assert_stored(server, pipeline(pg.dsn).run(**where, progress=False), pg.name)


class Pooler:
    """As a pooler with transactions: what a session was told before is gone when the next transaction begins."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: bytes, values: Sequence[Any] | None = None) -> Any:
        if sql.startswith(b"BEGIN"):
            self._connection.execute("DISCARD ALL")
        return self._connection.execute(sql, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("key", [None, "n"])
def test_no_transaction_relies_on_what_an_earlier_one_left_in_its_session(key: str | None, pg: Any) -> None:
    writer = opened(pg.dsn, key=key)
    writer._connection.raw = Pooler(writer._connection.raw)
    for number in range(3):
        writer.write([{"n": number}, {"n": 10 + number}])
        writer.commit(b"%d" % number)
    assert pg.query("SELECT count(*) FROM t") == [(6,)]
    writer.close()


def test_what_was_committed_outlives_a_crash_of_a_server_that_does_not_wait_for_its_disk() -> None:
    lazy = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}
    with made_server(**lazy) as server:
        writer = opened(server.dsn())
        for number in range(1, 21):
            writer.write([{"n": number}])
            writer.commit(b"%d" % number)
        server.kill()
        server.start()
        with pytest.raises(ps.Unavailable, match=r"writing to table public\.t was not possible"):
            writer.commit(b"21")
        writer.close()
        successor = opened(server.dsn())
        assert successor.last_record() == b"20"
        assert server.execute("SELECT count(*) FROM t") == [(20,)]
        successor.close()
