"""A PostgreSQL table holds every row once, though workers, supervisors, servers and connections die all the time."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest
from chaos_harness import CountedUntil, Habits, for_chaos, seconds, survive
from chaos_mill import EDGE, SMALL_BYTES, Noisy, add_noise, key_of

import penstock as ps
from cutting_proxy import CuttingProxy
from penstock.connectors import postgres
from penstock.plan.plan import Plan
from postgres_server import Server, made_server

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

WORKERS = {
    "workers": Habits(one=2, some=4, all=2), "supervisors": Habits(one=20, some=6, all=2, zygote=1, supervisor=1),
}
WAYS = (signal.SIGKILL, signal.SIGQUIT, signal.SIGINT)
"""A crash, an immediate and a fast shutdown."""
QUIET = Habits(pause_s=(3600.0, 3600.0))
"""Nobody kills a worker."""


def grouped(row: Noisy) -> dict[str, int]:
    return {"group": key_of(row), "number": row.number}


def plan(dsn: str, enough: Path) -> Plan:
    app = ps.Pipeline(f"chaos-postgres-{crc32(bytes(enough)):08x}")
    noisy = app.source(CountedUntil(enough), name="numbers").stage("noisy", workers=2, edge=EDGE).map(add_noise)
    noisy.sink(postgres.table(dsn, "plain", Noisy, if_exists="append"), name="plain", workers=2, edge=EDGE)
    noisy.sink(
        postgres.table(dsn, "keyed", Noisy, key="number", if_exists="append"), name="keyed", workers=2, edge=EDGE
    )
    by_group = noisy.stage("grouped", workers=2, edge=EDGE).map(grouped)
    by_group.sink(
        postgres.table(dsn, "latest", key="group", if_exists="append"), name="latest", workers=2, edge=EDGE
    )
    return for_chaos(app.plan(), SMALL_BYTES)


class Crashes:
    """Kills the server (by SIGKILL) or shuts it down, and starts it again, from a thread of its own."""

    def __init__(
        self, server: Server, rng: random.Random, pause_s: tuple[float, float], ways: Sequence[signal.Signals]
    ) -> None:
        self.count = 0
        self._server = server
        self._rng = rng
        self._pause_s = pause_s
        self._ways = ways
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crashes")
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._rng.uniform(*self._pause_s)):
            way = self._rng.choice(self._ways)
            if way == signal.SIGKILL:
                self._server.kill()
            else:
                self._server.stop(way)
            self.count += 1
            self._over.wait(self._rng.uniform(0, 0.3))
            self._server.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def crashing(
    server: Server, rng: random.Random, pause_s: tuple[float, float], *ways: signal.Signals
) -> Iterator[Crashes]:
    crashes = Crashes(server, rng, pause_s, ways)
    try:
        yield crashes
    finally:
        crashes.end()


def assert_exact(server: Server, report: ps.Report) -> None:
    assert report.outcome == "finished"
    assert report.dead_letters == 0
    total = report.stages["numbers"].rows_in
    for table in ("plain", "keyed"):
        found = server.execute(f"SELECT count(*), count(DISTINCT number), min(number), max(number) FROM {table}")
        assert found == [(total, total, 0 if total else None, total - 1 if total else None)], (table, found, total)
    groups = server.execute('SELECT count(*), bool_and(number % 7 = "group") FROM latest')
    assert groups == [(min(7, total), True)]


@pytest.mark.parametrize("habits", WORKERS.values(), ids=WORKERS.keys())
def test_every_row_is_stored_once_when_servers_workers_and_connections_die(habits: Habits, tmp_path: Path) -> None:
    rng = random.Random(f"{habits} {os.environ.get('PENSTOCK_CHAOS_SEED', 1)}")
    with made_server() as server:
        target = str(server.folder / ".s.PGSQL.5432")
        with CuttingProxy(target, random.Random(rng.random()), bytes_most=2e4, at_commit=0.1) as proxy:
            dsn = f"host=127.0.0.1 port={proxy.port} user=penstock dbname=postgres"
            enough = tmp_path / "enough"
            with crashing(server, random.Random(rng.random()), (0.5, 2.0), *WAYS) as crashes:
                calm = threading.Thread(target=_calm_down, args=(enough, crashes, proxy), daemon=True)
                calm.start()
                survived = survive(
                    plan(dsn, enough), habits=habits, rng=rng, for_s=seconds(8.0), state_dir=tmp_path / "state",
                    enough=enough, least=20,
                )
                calm.join()
        assert_exact(server, survived.report)
        assert crashes.count >= 2
        assert proxy.cuts + proxy.commits_cut > 0
        assert survived.kills >= 20


def _calm_down(enough: Path, crashes: Crashes, proxy: CuttingProxy) -> None:
    """The source has ended: what is left may get through."""
    while not enough.exists():
        time.sleep(0.05)
    crashes.end()
    proxy.calm = True


@pytest.mark.parametrize("way", WAYS, ids=["killed", "immediate", "fast"])
def test_a_server_that_dies_in_the_middle_of_copy_and_commit_loses_and_repeats_nothing(
    way: signal.Signals, tmp_path: Path
) -> None:
    """Nobody else dies: the stage waits, says so, and no restart is counted."""
    rng = random.Random(way.name)
    # A server that says "committed" long before it is: the connector turns that off for its transactions.
    with made_server(synchronous_commit="off", wal_writer_delay="10s", wal_writer_flush_after="1GB") as server:
        enough = tmp_path / "enough"
        with crashing(server, rng, (0.3, 1.0), way) as crashes:
            calm = threading.Thread(target=_end_after, args=(seconds(6.0), enough, crashes), daemon=True)
            calm.start()
            survived = survive(
                plan(server.dsn(), enough), habits=QUIET, rng=rng, for_s=3600.0, state_dir=tmp_path / "state",
            )
            calm.join()
        assert_exact(server, survived.report)
        assert crashes.count >= 2
        assert sum(stage.restarts for stage in survived.report.stages.values()) == 0


def _end_after(wait_s: float, enough: Path, crashes: Crashes) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline or crashes.count < 2:
        time.sleep(0.05)
    crashes.end()
    enough.touch()


def test_a_commit_whose_answer_is_lost_counts_once(tmp_path: Path) -> None:
    """The connection breaks after every third COMMIT was passed on, and never otherwise."""
    with made_server() as server, CuttingProxy(
        str(server.folder / ".s.PGSQL.5432"), random.Random(3), bytes_most=1e15, at_commit=0.3
    ) as proxy:
        enough = tmp_path / "enough"
        dsn = f"host=127.0.0.1 port={proxy.port} user=penstock dbname=postgres"
        ends = threading.Thread(target=_end_after_commits, args=(10, enough, proxy), daemon=True)
        ends.start()
        survived = survive(
            plan(dsn, enough), habits=QUIET, rng=random.Random(3), for_s=3600.0, state_dir=tmp_path / "state"
        )
        ends.join()
        assert_exact(server, survived.report)


def _end_after_commits(count: int, enough: Path, proxy: CuttingProxy) -> None:
    while proxy.commits_cut < count:
        time.sleep(0.05)
    proxy.calm = True
    enough.touch()
