"""What every store does, whatever it keeps its files in."""

from __future__ import annotations

import os
import threading

import pytest

from penstock.checkpoints.store import CheckpointStore, FileLost


@pytest.fixture
def store(make_store) -> CheckpointStore:
    return make_store()


def _put(store: CheckpointStore, name: str, *parts: bytes) -> None:
    file = store.writing(name)
    for part in parts:
        file.write(part)
    file.close()


def test_a_file_is_there_once_it_is_closed_and_not_before(store):
    file = store.writing("files/1.1.1.passing")
    file.write(b"one ")
    file.write(memoryview(bytearray(b"two")))
    assert store.sizes("files") == {}
    with pytest.raises(FileLost):
        store.read("files/1.1.1.passing")
    file.close()
    assert store.sizes("files") == {"1.1.1.passing": 7}
    assert store.read("files/1.1.1.passing") == b"one two"


def test_an_abandoned_file_was_never_there(store):
    file = store.writing("files/a")
    file.write(b"one")
    file.abandon()
    assert store.sizes("files") == {}


def test_a_file_replaces_one_of_its_name_when_it_is_closed(store):
    _put(store, "files/a", b"one")
    file = store.writing("files/a")
    file.write(b"other")
    assert store.read("files/a") == b"one"
    file.close()
    assert store.read("files/a") == b"other"


def test_parts_of_a_file_are_read(store):
    _put(store, "files/a", b"0123456789")
    assert store.read("files/a", 3, 4) == b"3456"
    assert store.read("files/a", 8, 4) == b"89"
    assert store.read("files/a", 10, 4) == b""
    assert store.read("files/a", 90, 4) == b""
    assert store.read("files/a", 3, 0) == b""
    assert store.read("files/a", 8) == b"89"


def test_an_empty_file_is_a_file(store):
    _put(store, "files/a")
    assert store.sizes("files") == {"a": 0}
    assert store.read("files/a") == b""
    assert store.read("files/a", 0, 5) == b""


def test_a_large_file_is_what_was_written(store):
    part = os.urandom(1 << 20)
    _put(store, "files/large", *[part] * 11, b"end")
    assert store.sizes("files") == {"large": 11 * len(part) + 3}
    assert store.read("files/large", 5 * len(part) - 1, 3) == part[-1:] + part[:2]
    assert store.read("files/large", 11 * len(part), 9) == b"end"


def test_a_name_is_created_once(store, make_store):
    assert store.create("log/000000000001", b"first")
    assert not make_store().create("log/000000000001", b"second")
    assert store.read("log/000000000001") == b"first"
    assert store.sizes("log") == {"000000000001": 5}


def test_of_many_who_create_one_name_one_does(make_store):
    created: list[bytes] = []
    barrier = threading.Barrier(6)

    def run(content: bytes) -> None:
        store = make_store()
        for number in range(10):
            barrier.wait(60)
            if store.create(f"log/{number}", content):
                created.append(content + bytes([number]))

    threads = [threading.Thread(target=run, args=(bytes([who]),)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry[1] for entry in created) == list(range(10))
    for entry in created:
        assert make_store().read(f"log/{entry[1]}") == entry[:1]


def test_files_are_deleted_and_a_missing_one_is_not_an_error(store):
    for name in ("files/a", "files/b", "log/1"):
        _put(store, name, b"one")
    store.delete(["files/a", "log/1", "files/never", "other/never"])
    assert store.sizes("files") == {"b": 3}
    assert store.sizes("log") == {}
    store.delete([])
    with pytest.raises(FileLost):
        store.read("files/a")


def test_many_files_are_listed_and_deleted(store):
    names = [f"files/{number}" for number in range(1100)] if store.where.startswith("memory") else [
        f"files/{number}" for number in range(60)
    ]
    for name in names:
        assert store.create(name, b"x")
    assert len(store.sizes("files")) == len(names)
    store.delete(names)
    assert store.sizes("files") == {}


def test_a_store_that_is_not_there_yet_is_empty(store):
    assert store.sizes("log") == {}
    with pytest.raises(FileLost):
        store.read("log/1")
    store.delete(["log/1"])
    store.tidy()


def test_pipelines_do_not_see_each_other(store, make_store):
    _put(store, "files/a", b"one")
    assert make_store("other").sizes("files") == {}


def test_a_folder_does_not_contain_those_whose_names_begin_alike(store):
    _put(store, "files/a", b"one")
    assert store.sizes("file") == {}
