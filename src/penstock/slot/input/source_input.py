"""The splits of a source in one slot, read one after the other or in turn.

`split_input` reads one of them, and its position is committed; `discovery` finds new ones; `wake` is what a source's
own threads call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.options import parse_duration
from penstock.slot.input.discovery import Discovery
from penstock.slot.input.intake import Intake
from penstock.slot.input.split_input import Reading, SplitInput
from penstock.slot.input.wake import Wake
from penstock.slot.process.forks import leave_if_child_by
from penstock.slot.process.stops import Trouble
from penstock.slot.records.record import SplitRecord, StageRecord
from penstock.slot.watermarks.origin import Origin

_PATIENCE_S: Final = 30.0
"""So long the end of a source waits for the checkpoint that covers its last rows, to acknowledge them."""


class SourceInput:
    """A source's splits in one slot: bounded ones one after the other, endless ones in turn."""

    def __init__(self, reading: Reading, splits: Mapping[str, Any], frozen: frozenset[str], wake: Wake) -> None:
        """`splits`: those of this slot; `frozen`: the names of all that were there at the start."""
        self._reading = reading
        self._now_s = reading.clock.now_s
        self._bounded = reading.source.bounded
        self._splits: dict[str, SplitInput] = {}
        for name, split in splits.items():
            self._add(name, split, SplitRecord())
        self._discovery = Discovery(reading.source, frozen, reading.context, reading.clock)
        self._last_split = ""
        self._idle_until = 0.0
        self._stopped = False
        self._wake = wake
        self._durable = 0
        """The newest commit that is known to be durable."""
        self._patient_until: float | None = None
        """At the end of the input the last commit is waited for until then; 0: no longer."""
        self.read_waits_s = 0.0
        """How long the next read is expected to wait for rows, in seconds: up at once, down slowly."""

    def _add(self, name: str, split: Any, record: SplitRecord) -> None:
        self._splits[name] = SplitInput(self._reading, name, split, record)

    def restore(self, record: StageRecord) -> None:
        for name, saved in record.splits.items():
            if name in self._splits:
                self._splits[name].restore(saved)
            elif saved.discovered is not None:
                self._add(name, saved.discovered, saved)

    def save(self, record: StageRecord) -> None:
        record.splits = {name: split.saved() for name, split in self._splits.items()}

    # Is there more?

    @property
    def ended(self) -> bool:
        return self._stopped or (self._bounded and all(split.record.done for split in self._splits.values()))

    @property
    def exhausted(self) -> bool:
        """True when nothing comes any more, though some may still be in progress."""
        return not self._gives_more()

    @property
    def through(self) -> bool:
        """True: all was read that there is. False: there is more, or reading was stopped before."""
        return self._bounded and all(split.record.done for split in self._splits.values())

    def origins(self) -> list[Origin]:
        """How far event time has come in each split."""
        return [split.origin for split in self._splits.values()]

    def origins_by_edge(self) -> list[list[Origin]]:
        """A source counts as one edge."""
        return [self.origins()]

    def origin_of(self, intake: Intake) -> Origin:
        """That of the split which an intake was read from."""
        return self._splits[intake.split].origin

    def note_waiting(self) -> None:
        """Reading notes which of them have nothing."""

    def _gives_more(self) -> bool:
        """True while there may be something left to read."""
        return not self._stopped and not (self._bounded and all(split.exhausted for split in self._splits.values()))

    def stop(self) -> None:
        """Read no more: the pipeline drains."""
        self._stopped = True

    def ready(self) -> bool:
        return self._gives_more() and (self._wake.called or self._now_s() >= self._idle_until)

    def wake_after(self) -> float | None:
        """Seconds until it is worth asking again."""
        return max(self._idle_until - self._now_s(), 0.0) if self._gives_more() else None

    def descriptors(self) -> set[int]:
        readers = (split.open_reader for split in self._splits.values())
        fds = (reader.fileno() for reader in readers if reader is not None)
        return {fd for fd in fds if fd is not None}

    def woken(self) -> None:
        """A descriptor is readable: ask again at once."""
        self._idle_until = 0.0

    # Reading.

    def take(self) -> Intake | None:
        """The next batch. `StageFailed` where what is read is damaged; other exceptions of readers come out."""
        if self._stopped:
            return None
        self._wake.called = False  # first this, then the look: what is called for in between is seen next time
        for name, found in self._discovery.found(self._splits).items():
            self._add(name, found, SplitRecord(discovered=found))
        for name in self._turns():
            split = self._splits[name]
            intake = split.read()
            if split.opened:
                split.opened = False
                self.durable(self._durable)
            self.read_waits_s = max(split.waited_s, self.read_waits_s / 2)
            if intake is not None:
                self._last_split = name
                return intake
            if self._bounded and not split.exhausted:
                break
        if not self.ended:
            self._idle_until = self._now_s() + self._pause_s()
        return None

    def _turns(self) -> list[str]:
        """The names of splits to read, in the order in which they are asked."""
        names = [name for name, split in self._splits.items() if not split.exhausted]
        if self._bounded or self._last_split not in names:
            return names
        at = names.index(self._last_split) + 1
        return names[at:] + names[:at]

    def _pause_s(self) -> float:
        readers = (split.open_reader for split in self._splits.values())
        pauses = [parse_duration(r.poll_after) for r in readers if r is not None and r.fileno() is None]
        if self._discovery.every_s is not None:
            pauses.append(self._discovery.every_s)
        return min(pauses, default=1.0)

    # What is done.

    def progress(self, intake: Intake) -> None:
        """Rows of the oldest intake in progress of its split are through up to `intake.done`."""
        self._splits[intake.split].progress(intake)

    def committed(self, number: int) -> None:
        """Right after a commit, and at the start with the one that this life resumes from."""
        self._reading.committed = number
        for split in self._reading.acknowledging.values():
            split.committed(number)

    def durable(self, number: int) -> None:
        """The commits up to this one are durable: tell readers of their rows. Raises `Trouble`."""
        self._durable = number
        acknowledging = self._reading.acknowledging
        try:
            for name in [name for name, split in acknowledging.items() if split.acknowledge(number)]:
                del acknowledging[name]
        except BaseException as exc:  # the source's code, be it an exit or a panic
            leave_if_child_by(exc)
            raise Trouble(self._reading.context.stage, "acknowledging", exc) from exc

    @property
    def awaits(self) -> int:
        """The commit that must be durable before all is acknowledged; 0: all is, or it was waited for long enough."""
        if not self._reading.acknowledging:
            return 0
        newest = max(split.awaits for split in self._reading.acknowledging.values())
        if newest <= self._durable:
            return 0
        now = self._now_s()
        if self._patient_until is None:
            self._patient_until = now + _PATIENCE_S
        if now < self._patient_until:
            return newest
        if self._patient_until:
            self._patient_until = 0.0
            self._reading.context.log.warning(
                "no checkpoint was made for %g s: the source is not told that its last rows are durable, and may give "
                "them again", _PATIENCE_S,
            )
        return 0

    def publish(self) -> None:
        """A source has nobody to tell."""

    def wake_senders(self) -> None:
        """A source has no senders."""

    def ring_senders(self) -> None:
        """A source has no senders."""

    def close(self) -> None:
        for split in self._splits.values():
            split.close()
