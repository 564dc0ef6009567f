"""What supervisor, zygote and caller say to each other: msgpack messages, each in as many packets as it needs."""

from __future__ import annotations

import socket
from typing import Generic, TypeAlias, TypeVar

import msgspec

from penstock.slot.records.life import Crash, FailureNote, Life

PACKET_BYTES = 180_000
"""A packet must fit into a socket's buffer whole."""
IMPORT_S = 10.0
"""After this long a notice says that the program is still being imported, and where it is."""
OUTPUT_BYTES = 64 * 1024


class SlotSpec(msgspec.Struct, frozen=True):
    """One slot, as the supervisor needs to know it."""

    group: str
    slot: int
    stages: tuple[str, ...]
    timeout_s: float | None
    """Shortest time-out of its plain row functions."""
    max_restarts: tuple[float, float]
    bisects: bool
    """True: it has batch functions, so suspicious frames are narrowed down by halves."""
    senders: tuple[str, ...]
    """Bells of slots that send to it, relative to the run directory."""
    receivers: tuple[str, ...]
    """Bells of slots that it sends to."""
    crashes: tuple[Crash, ...] = ()
    unavailable_for_s: float = 3600.0
    """So long what it reads and writes may be down."""

    @property
    def label(self) -> str:
        return f"{self.group}/{self.slot}"


class StageSpec(msgspec.Struct, frozen=True):
    """One stage, as the supervisor needs to know it."""

    name: str
    pages: tuple[str, ...]
    gives_up: bool
    """True: when no row ever succeeded by the end, the stage has failed."""


class CheckpointSpec(msgspec.Struct, frozen=True):
    """Checkpoints, as the supervisor needs to know them."""

    store: str
    """Its address."""
    every_s: float
    keep: int
    max_age_s: float | None


class RunSpec(msgspec.Struct, frozen=True):
    """All that the supervisor is told."""

    pipeline: str
    run_id: str
    dead_letters: str
    slots: tuple[SlotSpec, ...]
    stages: tuple[StageSpec, ...]
    queues: tuple[str, ...]
    program: bytes
    """The pickled `Program`, for the zygote; a name in it may be no UTF-8."""
    preload: tuple[str, ...]
    drains_to_finish: bool
    """True: the pipeline has no end of its own, so being drained is how it finishes."""
    log_level: int = 20
    """From this level on, workers send their log records."""
    left_to: str | None = None
    """Where on disk what this run may leave goes to; None: it stays where it is."""
    caller_queues: tuple[str, ...] = ()
    """Those of the queues that end in the calling process."""
    layout: dict[str, str] = {}
    """The plan's fingerprint."""
    outputs: tuple[str, ...] = ()
    """Files and folders that sinks write to."""
    checkpoint: CheckpointSpec | None = None
    """Where checkpoints go; None: there are none."""
    positions: str = ""
    """Where the next run finds how far this one came, if it is told to end; empty: nothing is kept."""


# Between supervisor and zygote.


class Begin(msgspec.Struct, tag=True, frozen=True):
    """There is a run: the program is to be imported."""

    program: bytes
    """The pickled `Program`."""
    preload: tuple[str, ...]
    """Modules that the plan needs besides."""


class Spawn(msgspec.Struct, tag=True, frozen=True):
    life: Life


class Ready(msgspec.Struct, tag=True, frozen=True):
    """The program is imported."""

    by_exec: str = ""
    """Why workers are started by exec; empty: they are forked."""


class ImportFailed(msgspec.Struct, tag=True, frozen=True):
    reason: str
    traceback: str


class Born(msgspec.Struct, tag=True, frozen=True):
    """Comes with the pidfd."""

    group: str
    slot: int
    attempt: int
    pid: int


class NotBorn(msgspec.Struct, tag=True, frozen=True):
    """The system has given no process, or no descriptor for it."""

    group: str
    slot: int
    errno: int
    reason: str


class Died(msgspec.Struct, tag=True, frozen=True):
    pid: int
    status: int
    """As `waitpid` gives it."""
    peak_kib: int = 0
    """The most memory that it had; 0: unknown."""


ToZygote: TypeAlias = Begin | Spawn
FromZygote: TypeAlias = Ready | ImportFailed | Born | NotBorn | Died

# Between caller and supervisor.


class Drain(msgspec.Struct, tag=True, frozen=True):
    timeout_s: float | None


class Stop(msgspec.Struct, tag=True, frozen=True):
    pass


class CallerFailed(msgspec.Struct, tag=True, frozen=True):
    """The caller cannot deliver what the run gives it."""

    note: FailureNote


class Running(msgspec.Struct, tag=True, frozen=True):
    """All workers have been born."""


class Output(msgspec.Struct, tag=True, frozen=True):
    label: str
    """`enrich/2`; empty: to the caller's standard output as it is."""
    data: bytes


class Notice(msgspec.Struct, tag=True, frozen=True):
    """Something that the user should know."""

    level: str
    text: str


class StageEnd(msgspec.Struct, frozen=True):
    name: str
    rows_in: int
    rows_out: int
    retries: int
    dead_letters: int
    skipped: int
    restarts: int
    busy_s: float
    late: int = 0


class Ended(msgspec.Struct, tag=True, frozen=True):
    outcome: str
    duration_s: float
    stages: list[StageEnd]
    undelivered_rows: int
    failure: FailureNote | None = None
    cut_short: bool = False
    """True: a source with an end was drained before it."""
    leaves_queues: bool = False
    """True: the run directory is for the next run; else whoever was told removes it."""
    left_in: str = ""
    """Where it is then."""
    kept: bool = False
    """True: it was told to end, and the next run resumes from where it stood."""
    last_checkpoint: tuple[int, int] | None = None
    """Its number and lineage, if all was done by then: the store is to be told once the end was heard."""


ToSupervisor: TypeAlias = Drain | Stop | CallerFailed
FromSupervisor: TypeAlias = Running | Output | Notice | Ended

T = TypeVar("T")
_MORE = b"+"
_LAST = b"."


def packets(message: object) -> list[bytes]:
    """A message as packets, which are sent in this order; most messages are one."""
    data = msgspec.msgpack.encode(message)
    most = PACKET_BYTES - 1
    starts = range(0, len(data), most)
    return [(_LAST if start + most >= len(data) else _MORE) + data[start : start + most] for start in starts]


def send(sock: socket.socket, message: object) -> None:
    """Send a message, waiting where the other side is slow to read."""
    for packet in packets(message):
        sock.send(packet, socket.MSG_NOSIGNAL)


class Inbox(Generic[T]):
    """Puts messages of one socket together again."""

    def __init__(self, sock: socket.socket, kinds: object) -> None:
        """`kinds`: the union of messages that may come."""
        self._socket = sock
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kinds)
        self._begun: list[bytes] = []

    def receive(self, *, wait: bool = False) -> T | None:
        """The next message; None: nothing now. Raises `EOFError` when the other side is gone."""
        while True:
            try:
                packet = self._socket.recv(2 * PACKET_BYTES, 0 if wait else socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                return None
            except ConnectionResetError:
                # The other side left something unread. The kernel says so once, before the packets that wait here:
                # among them may be its last word.
                continue
            message = self.add(packet)
            if message is not None:
                return message

    def add(self, packet: bytes) -> T | None:
        """Take a packet; the message, if that was its last one. Raises `EOFError` for the empty one: the end."""
        if not packet:
            raise EOFError
        self._begun.append(packet[1:])
        if packet[:1] == _MORE:
            return None
        data, self._begun = b"".join(self._begun), []
        return self._decoder.decode(data)
