"""The file `layout.json` of a run directory: where pages and queues lie. `engine` writes it, `snapshot.py` reads it."""

from __future__ import annotations

import msgspec

LAYOUT_FILE = "layout.json"
LAST_ERROR_DIR = "last_error"


class StageLayout(msgspec.Struct, frozen=True):
    """One stage and the pages of its slots."""

    name: str
    slot_group: str
    workers: int
    pages: list[str] = []
    """Relative to the run directory, one per slot."""
    bounded_total: int | None = None
    """Rows that the stage's source will give, where it knows."""
    caller: bool = False
    """True: the calling process reads what arrives; there is no worker and no page."""


class EdgeLayout(msgspec.Struct, frozen=True):
    """One edge and its queues."""

    name: str
    sender: str
    receiver: str
    capacity_bytes: int
    queues: list[str] = []
    """Relative to the run directory, one per channel."""


class Layout(msgspec.Struct, frozen=True):
    """Everything that a run directory holds to be looked at."""

    pipeline: str
    started_s: float
    """Seconds since 1970."""
    stages: list[StageLayout]
    edges: list[EdgeLayout]
    phase_file: str = "phase"
    """A text file of one word: the phase."""
    resumed: str = ""
    """From where the run was resumed, in words; empty: it began from the beginning."""


def encode(layout: Layout) -> bytes:
    """The file's content."""
    return msgspec.json.encode(layout)


def decode(data: bytes) -> Layout:
    """The layout of a file's content. Raises `msgspec.DecodeError` when it is none."""
    return msgspec.json.decode(data, type=Layout)
