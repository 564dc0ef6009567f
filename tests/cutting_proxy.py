"""A small TCP proxy that breaks connections: after so many bytes, or between a COMMIT and its answer."""

from __future__ import annotations

import contextlib
import math
import random
import selectors
import socket
import struct
import threading
from types import TracebackType
from typing import Self

_BLOCK = 16 * 1024
_RESET = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Between clients and a Unix socket; a context manager. While `calm`, it breaks nothing."""

    def __init__(
        self, target: str, rng: random.Random, *, bytes_most: float = 1e6, at_commit: float = 0.0, calm: bool = False
    ) -> None:
        """`at_commit`: how many of the COMMITs are passed on and never answered."""
        self.calm = calm
        self.cuts = 0
        self.commits_cut = 0
        self._target = target
        self._rng = rng
        self._bytes_most = bytes_most
        self._at_commit = at_commit
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._other: dict[socket.socket, socket.socket] = {}
        self._left: dict[socket.socket, float] = {}
        self._clients: set[socket.socket] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        for end in list(self._other):
            self._close(end)
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(timeout=0.05):
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listener:
                    self._accept()
                elif end in self._other:
                    self._pass_on(end)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._target)
        except OSError:  # it is down
            server.close()
            client.close()
            return
        self._other.update({client: server, server: client})
        self._clients.add(client)
        self._left[client] = self._left[server] = 10 ** self._rng.uniform(2.0, math.log10(self._bytes_most))
        for end in (client, server):
            self._selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        try:
            data = end.recv(_BLOCK)
            self._left[end] -= len(data)
            if data and not self.calm and self._left[end] < 0:
                self.cuts += 1
                data = data[: self._rng.randrange(len(data))]  # a part of it still arrives
                self._other[end].sendall(data)
                data = b""
            if not data:
                return self._close(end)
            self._other[end].sendall(data)
        except OSError:
            return self._close(end)
        if end in self._clients and b"COMMIT\0" in data and not self.calm and self._rng.random() < self._at_commit:
            self.commits_cut += 1
            self._close(end)

    def _close(self, end: socket.socket) -> None:
        for side in (end, self._other[end]):  # an answer that was on its way is lost
            self._selector.unregister(side)
            del self._other[side], self._left[side]
            self._clients.discard(side)
            with contextlib.suppress(OSError):  # a Unix socket has no such option
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            side.close()

