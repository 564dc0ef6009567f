"""An edge without queues: rows are routed and coded as they would be, and arrive at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock.channel.codec import RowCodec
from penstock.channel.router import KeyFailure, Router
from penstock.plan.plan import EdgePlan
from penstock.plan.topology import Topology
from penstock.slot.batches import Out


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch on its way to a slot."""

    stage: str
    slot: int
    batch: Any


class RehearsedEdge:
    """An edge as one sending slot sees it."""

    def __init__(self, topology: Topology, edge: EdgePlan, slot: int) -> None:
        self.plan = edge
        self.deals_turns = topology.counts_turns(edge)
        """True: rows may not overtake each other on the way here."""
        self._receivers = topology.receivers(edge, slot)
        self._router = Router(topology.route(edge), len(self._receivers), edge.key, topology.key_table(edge))
        self._codec = RowCodec(edge.row_type)
        self._turn = 0

    def prepare(self, out: Out) -> tuple[list[Delivery], list[KeyFailure]]:
        """Route what a leaf gave, and take it through the codec. Raises what a codec raises."""
        deliveries: list[Delivery] = []
        failures: list[KeyFailure] = []
        for batch in out.batches():
            parts, failed = self._router.split(batch, self._rooms, self._turn)
            failures.extend(failed)
            for index, part in parts:
                arrived = self._codec.decode(*self._codec.encode(part)).batch
                deliveries.append(Delivery(self.plan.receiver, self._receivers[index], arrived))
        self._turn += 1
        return deliveries, failures

    def _rooms(self) -> list[int]:
        """Batches go round."""
        count = len(self._receivers)
        return [int(index == self._turn % count) for index in range(count)]
