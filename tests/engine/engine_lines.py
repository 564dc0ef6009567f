"""A line between a test and user code in workers, so that neither has to sleep: a named pipe."""

from __future__ import annotations

import os
import select
from pathlib import Path


class Line:
    """Any process says, any process hears; can be shipped to workers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # Held open here, so that what was said waits until it is heard.
        self._held = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path = path

    def say(self, text: object = "") -> None:
        fd = os.open(self.path, os.O_RDWR)
        try:
            os.write(fd, f"{text}\n".encode())
        finally:
            os.close(fd)

    def hear(self, timeout_s: float = 90.0) -> str:
        """The next line. Raises `TimeoutError`."""
        fd = os.open(self.path, os.O_RDWR)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        try:
            text = b""
            while not text.endswith(b"\n"):
                if not poll.poll(timeout_s * 1000):
                    raise TimeoutError(f"nothing was said in {timeout_s} s")
                text += os.read(fd, 1)
            return text.decode()[:-1]
        finally:
            os.close(fd)

    def close(self) -> None:
        """By the test that made it: what was said and not heard is gone."""
        os.close(self._held)

    def silent(self) -> bool:
        """True when nothing waits to be heard."""
        poll = select.poll()
        poll.register(self._held, select.POLLIN)
        return not poll.poll(0)
