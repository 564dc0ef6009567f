"""The event loop of a worker where it runs until something is through: `open` and `close` that await, and its end."""

from __future__ import annotations

import asyncio

import pytest

from penstock.slot.user_code.event_loop import EventLoop


@pytest.fixture
def rung() -> EventLoop:
    """A loop that is woken again and again, as by a bell that nobody has heard, or by the timer of the last rows."""
    loop = EventLoop()

    def ring() -> None:
        loop.wake()
        loop.asyncio_loop.call_later(0.001, ring)

    loop.asyncio_loop.call_soon(ring)
    return loop


def test_what_is_awaited_is_completed_whoever_rings_meanwhile(rung: EventLoop) -> None:
    done: list[int] = []

    async def takes_its_time() -> None:
        for step in range(5):
            await asyncio.sleep(0.002)
            done.append(step)

    rung.complete(takes_its_time())
    assert done == [0, 1, 2, 3, 4]
    rung.wait(60.0)  # is woken once more
    rung.close()


def test_what_is_left_at_the_end_is_cancelled_and_waited_for_whoever_rings_meanwhile(rung: EventLoop) -> None:
    ended: list[str] = []

    async def tidies_up() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.02)
            ended.append("tidy")

    async def starts() -> None:
        kept.append(asyncio.create_task(tidies_up()))
        await asyncio.sleep(0)

    kept: list[asyncio.Task[None]] = []
    rung.complete(starts())
    rung.close()
    assert ended == ["tidy"]
    assert kept[0].cancelled()
