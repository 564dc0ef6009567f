"""One store after the other, for what holds for all of them."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from penstock.checkpoints.directory_store import DirectoryStore
from penstock.checkpoints.memory_store import MemoryStore
from penstock.checkpoints.store import CheckpointStore

MakeStore = Callable[..., CheckpointStore]


def _memory() -> MakeStore:
    files: dict[str, dict[str, bytes]] = {}
    return lambda pipeline="clicks": MemoryStore(files.setdefault(pipeline, {}))


def _obstore(kind: str, folder: Path) -> MakeStore:
    """obstore's own stores."""
    pytest.importorskip("obstore")
    from obstore.store import LocalStore
    from obstore.store import MemoryStore as Objects

    from penstock.checkpoints.object_store import ObjectStore

    stores: dict[str, object] = {}

    def make(pipeline: str = "clicks") -> CheckpointStore:
        if kind == "local":
            return ObjectStore(LocalStore(folder / pipeline, mkdir=True), f"local/{pipeline}")
        return ObjectStore(stores.setdefault(pipeline, Objects()), f"objects/{pipeline}")

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A bucket on a server of this test's own; what it takes to reach it is in the environment."""
    pytest.importorskip("obstore")
    with _server() as address, pytest.MonkeyPatch.context() as patch:
        variables = {
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        urlopen(Request(f"{address}/bucket", method="PUT")).close()
        yield "bucket"


@contextmanager
def _server() -> Iterator[str]:
    """The address of moto's server, which runs in an environment of its own: it needs other packages than we pin."""
    program = os.environ.get("PENSTOCK_S3_SERVER", "")
    if not program:
        pytest.skip("PENSTOCK_S3_SERVER names no moto_server (.ci/run installs one)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, f"{program} has ended with {process.returncode}"
                assert time.monotonic() < deadline, f"{program} does not listen"
                select.select([], [], [], 0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _s3(request: pytest.FixtureRequest) -> MakeStore:
    from penstock.checkpoints.object_store import s3_store

    place = f"{request.getfixturevalue('s3_server')}/{uuid.uuid4().hex}"
    return lambda pipeline="clicks": s3_store(place, pipeline)


@pytest.fixture(params=["memory", "directory", "obstore memory", "obstore local", "s3"])
def make_store(request: pytest.FixtureRequest, tmp_path) -> MakeStore:
    """Opens one and the same store again and again, for the pipeline `clicks` unless another one is named."""
    match request.param:
        case "memory":
            return _memory()
        case "s3":
            return _s3(request)
        case "obstore memory" | "obstore local":
            return _obstore(request.param.partition(" ")[2], tmp_path / "store")
        case _:
            return lambda pipeline="clicks": DirectoryStore(tmp_path / "store", pipeline)
