"""Frames whose rows are suspicious: what is pending is committed before; what that raises is not the frame's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.channel.codec import RowCodec
from penstock.channel.frame import Frame, Header, Kind
from penstock.errors import FileUnusable, QueueDamaged
from penstock.slot.input.decoding import Decoding
from penstock.slot.input.queue_inputs import QueueInput
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.records.life import Life, Suspect

pytestmark = pytest.mark.interpreted

SEQUENCE = 5
FULL = FileUnusable(Path("letters.dl"), "the file of dead letters", OSError(28, "No space left on device"))


class Row:
    """It can be sent only as a pickle, which runs code when it is decoded."""


def frame_of(rows: list[Any]) -> Frame:
    codec, data = RowCodec(Any).encode(rows)
    return Frame(Header(Kind.BATCH, len(rows), SEQUENCE, codec), data, 0)


def damaged(frame: Frame, what: str) -> QueueDamaged:
    return QueueDamaged(Path("queue"), what)


def decode(frame: Frame, sequence: int, *, flush: Any, pause_s: float = 0.0, pause: Any = None) -> int:
    """Where the rows of one frame are suspicious; gives how many rows there were."""
    life = Life("stage", 0, 2, "run", "letters", Suspect(0, 0, sequence, 0, 2, 1, pause_s))
    work: Any = SimpleNamespace(enter=lambda *args: None, leave=lambda: None)
    queue: Any = SimpleNamespace(rows_done_ahead=lambda: 0, damaged=damaged, path=Path("queue"))
    decoding = Decoding(0, work, Suspicion(life), flush=flush, pause=pause)
    return len(QueueInput(queue, RowCodec(Any), "queue").decoded(frame, decoding, 0).batch)


def test_a_full_disk_while_earlier_rows_are_committed_is_not_blamed_on_the_frame() -> None:
    """Damage would end the run for good, where making room is enough."""

    def flush() -> None:
        raise FULL

    with pytest.raises(FileUnusable):
        decode(frame_of([Row(), Row()]), SEQUENCE, flush=flush)


def test_damage_of_another_file_that_is_seen_in_a_pause_is_not_blamed_on_the_frame() -> None:
    control = QueueDamaged(Path("control"), "the supervisor never says 0x1")

    def pause(seconds: float) -> None:
        raise control

    with pytest.raises(QueueDamaged) as raised:
        decode(frame_of([Row(), Row()]), SEQUENCE, flush=lambda: None, pause_s=1.0, pause=pause)
    assert raised.value is control


def test_what_is_pending_is_committed_before_rows_are_decoded_one_by_one_and_only_then() -> None:
    done: list[str] = []
    frame = frame_of([Row(), Row()])
    assert decode(frame, SEQUENCE, flush=lambda: done.append("flush")) == 2
    assert done == ["flush"]
    assert decode(frame, SEQUENCE + 1, flush=lambda: done.append("flush")) == 2
    assert done == ["flush"]
