"""A bucket whose server answers errors, hangs, loses answers, or does not keep the promise that all rests on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkpoints.cuts import held, holder, take
from checkpoints.s3_stub import Stub, s3_stub
from penstock.checkpoints.claimed import claim
from penstock.checkpoints.history import read_log
from penstock.checkpoints.store import CheckpointStore
from penstock.checkpoints.stores import open_store
from penstock.errors import CheckpointDamaged, StoreTaken, StoreUnavailable

pytest.importorskip("obstore")
PLACE = "s3://bucket/some where"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    from penstock.checkpoints import object_store

    monkeypatch.setattr(object_store, "REQUEST_S", 0.5)
    monkeypatch.setattr(object_store, "GIVE_UP_S", 1.0)
    with s3_stub() as found:
        for name, value in _environment(found).items():
            monkeypatch.setenv(name, value)
        yield found


def _environment(stub: Stub) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": stub.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }


def _store() -> CheckpointStore:
    return open_store(PLACE, "clicks")


def test_an_error_that_passes_is_not_noticed(stub):
    claimed = claim(_store(), holder())
    for turn in range(4):
        stub.fault = "answers 503 once"
        take(claimed, b"log " * turn, b"queue")
    assert len(read_log(_store()).found) == 4


@pytest.mark.parametrize(("fault", "said"), [
    ("answers 500", "500"), ("hangs", "cannot be written"), ("denies", "check the credentials"),
])
def test_an_error_that_stays_costs_the_checkpoint_and_nothing_else(stub, fault, said):
    claimed = claim(_store(), holder())
    take(claimed, b"one", b"queue")
    stub.fault = fault
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match=said):
        take(claimed, b"one two", b"other")
    assert time.monotonic() - begun < 30, "it is given up after a while"
    stub.fault = ""
    take(claimed, b"one two", b"third")
    claimed.retain(3)
    assert [held(_store(), manifest)[1] for manifest in read_log(_store()).manifests] == [b"queue", b"third"]


def test_a_server_that_is_not_there_is_told(stub, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match="cannot be listed"):
        claim(_store(), holder())


def test_lost_answers_make_no_checkpoint_twice_and_none_that_does_not_count(stub):
    claimed = claim(_store(), holder())
    stub.fault = "loses answers"
    for turn in (1, 2, 3):
        with pytest.raises(StoreUnavailable):
            take(claimed, b"log " * turn, b"queue %d" % turn)
    stub.fault = ""
    take(claimed, b"log " * 4, b"queue 4")
    contents = [held(_store(), manifest)[1] for manifest in read_log(_store()).manifests]
    assert contents[-1] == b"queue 4"
    assert contents == sorted(set(contents))


def test_a_server_that_ignores_conditions_is_refused_before_anything_is_claimed(stub):
    stub.fault = "ignores conditions"
    with pytest.raises(StoreUnavailable, match=r"ignores the condition of a put .*; use another server"):
        claim(_store(), holder())
    assert read_log(_store()).numbers == ()


def test_a_zombie_is_kept_out_of_a_bucket(stub):
    zombie = claim(_store(), holder(1))
    take(zombie, b"one", b"queue")
    claim(_store(), holder(2))
    with pytest.raises(StoreTaken, match="process 2"):
        take(zombie, b"two", b"queue")


def test_content_that_was_changed_in_the_bucket_is_named(stub):
    manifest = take(claim(_store(), holder()), b"", b"queue")
    (key,) = (key for key in stub.objects if key.endswith("passing"))
    stub.objects[key] = b"quEue"
    with pytest.raises(CheckpointDamaged, match="does not hold what was written"):
        held(_store(), manifest)


def test_a_large_checkpoint_goes_up_in_parts_and_one_that_is_given_up_leaves_nothing(stub):
    claimed = claim(_store(), holder())
    log = os.urandom(20 << 20)
    manifest = take(claimed, log, b"queue")
    assert held(_store(), manifest)[0] == log
    draft = claimed.begin()
    draft.passing([log])
    draft.abandon()
    assert {key.rpartition("/")[2] for key in stub.objects if "/files/" in key} == manifest.files
    assert stub.parts == {}


_WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from checkpoints.cuts import holder, take
from penstock.checkpoints.claimed import claim
from penstock.checkpoints.stores import open_store
claimed = claim(open_store(sys.argv[2], "clicks"), holder())
number = 0
while True:
    number += 1
    take(claimed, b"log " * number, b"queue %d" % number)
    claimed.retain(2)
    print(number, flush=True)
"""


@pytest.mark.chaos
def test_whenever_a_writer_to_a_bucket_is_killed_what_it_told_is_there_and_whole(stub):
    for kill_after in (0, 1, 3, 4, 7):
        environment = {**os.environ, **_environment(stub)}
        words = [sys.executable, "-c", _WRITER, str(Path(__file__).parents[1]), PLACE]
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(kill_after)]
            asked = stub.requests
            deadline = time.monotonic() + 60
            while stub.requests < asked + 1 + kill_after and time.monotonic() < deadline:
                time.sleep(0.001)
            writer.send_signal(signal.SIGKILL)
            told += [int(line) for line in writer.stdout]
        reading = read_log(_store())
        assert not reading.problems
        contents = [held(_store(), manifest) for manifest in reading.manifests]
        assert all(log == b"log " * int(queue.split()[1]) for log, queue in contents)
        if told:
            assert int(contents[-1][1].split()[1]) >= told[-1]
