"""What a pipeline reserves: every edge has a modest budget that its queues share."""

from __future__ import annotations

import penstock as ps

MIB = 1 << 20


def _chain(stages: int) -> ps.Pipeline:
    app = ps.Pipeline("chain")
    stream = app.source(range(3), name="source")
    for number in range(stages):
        stream = stream.stage(f"s{number}", workers=2).map(int)
    stream.sink(ps.discard(), name="out")
    return app


def test_nine_edges_reserve_eight_mib_each_and_no_more() -> None:
    plan = _chain(8).plan()
    assert len(plan.edges) == 9
    reserved = 0
    for edge in plan.edges:
        channels = edge.channels(
            plan.stages[edge.sender].settings.workers, plan.stages[edge.receiver].settings.workers
        )
        assert edge.memory_bytes == 8 * MIB
        reserved += edge.channel_bytes * len(list(channels))
    assert 9 * 7 * MIB < reserved <= 9 * 8 * MIB
