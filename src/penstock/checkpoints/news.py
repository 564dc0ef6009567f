"""What a checkpointer tells its supervisor: messages through one socket."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Started(msgspec.Struct, tag=True, frozen=True):
    """It has imported what it needs."""

    pid: int


class Made(msgspec.Struct, tag=True, frozen=True):
    """A checkpoint is durable."""

    id: str
    lineage: int
    taken_s: float
    """Wall clock at which it was taken."""


class Failed(msgspec.Struct, tag=True, frozen=True):
    """There is none this time; the next one is tried."""

    why: str


class Taken(msgspec.Struct, tag=True, frozen=True):
    """Another run has claimed the store: there will be none any more."""

    why: str


News: TypeAlias = Started | Made | Failed | Taken
_decoder: msgspec.msgpack.Decoder[News] = msgspec.msgpack.Decoder(Started | Made | Failed | Taken)
MOST_BYTES = 64 * 1024
_MOST_TEXT = 8000


def encode(news: News) -> bytes:
    """One packet."""
    if isinstance(news, Failed | Taken):
        news = type(news)(news.why[:_MOST_TEXT])
    return msgspec.msgpack.encode(news)


def decode(data: bytes) -> News:
    """What `encode` gave."""
    return _decoder.decode(data)
