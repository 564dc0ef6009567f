"""When a turn ends: nobody waits for long, and no commit is made for its own sake."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from penstock.slot.turn.turn_policy import COMMIT_S, RUSH_S, TRANSACTION_ROWS, TURN_BYTES, TurnPolicy, is_full

seconds = st.one_of(st.just(0.0), st.floats(0, 10), st.floats(0, 0.01))
lingers = st.floats(0.0001, 1.0)


@dataclass(frozen=True)
class Seen:
    """What is known of a turn after a piece."""

    waited_s: float
    rows: int
    source_waits_s: float
    piece_s: float
    receiver_waits: bool
    more_is_here: bool

    def ends(self, policy: TurnPolicy) -> bool:
        return policy.ends(
            self.waited_s, self.rows, source_waits_s=self.source_waits_s, piece_s=self.piece_s,
            receiver_waits=self.receiver_waits, more_is_here=self.more_is_here,
        )


seen = st.builds(Seen, seconds, st.integers(0, 2 * TRANSACTION_ROWS), seconds, seconds, st.booleans(), st.booleans())
policies = st.one_of(
    st.builds(TurnPolicy, linger_s=lingers, sends=st.booleans()),
    st.builds(TurnPolicy, linger_s=lingers, sends=st.booleans(), transaction_s=st.floats(0.001, 1.0)),
)


@given(policies, seen)
def test_a_receiver_that_waits_is_served_at_once_where_nothing_more_is_there(policy: TurnPolicy, at: Seen) -> None:
    assert replace(at, receiver_waits=True, more_is_here=False).ends(policy)


@given(policies, seen)
def test_a_receiver_never_waits_longer_than_the_rush_and_one_piece(policy: TurnPolicy, at: Seen) -> None:
    at = replace(at, receiver_waits=True)
    if at.waited_s >= RUSH_S or at.piece_s >= RUSH_S:
        assert at.ends(policy)


@given(lingers, st.booleans(), seen)
def test_rows_wait_no_longer_than_the_linger_whatever_else(linger_s: float, sends: bool, at: Seen) -> None:
    if at.waited_s >= linger_s:
        assert at.ends(TurnPolicy(linger_s=linger_s, sends=sends))


@given(policies, seen, seconds)
def test_a_turn_that_is_to_end_is_so_later_too(policy: TurnPolicy, at: Seen, later_s: float) -> None:
    if at.ends(policy):
        assert replace(at, waited_s=at.waited_s + later_s).ends(policy)


@given(policies, seen, seconds)
def test_a_source_that_waits_longer_never_keeps_a_turn_open(policy: TurnPolicy, at: Seen, more_s: float) -> None:
    if at.ends(policy):
        assert replace(at, source_waits_s=at.source_waits_s + more_s).ends(policy)


@given(policies, seen)
def test_a_turn_continues_while_no_receiver_waits_and_its_time_is_not_over(policy: TurnPolicy, at: Seen) -> None:
    at = replace(at, waited_s=0.0, rows=1, source_waits_s=0.0, receiver_waits=False)
    assert not at.ends(policy)


@given(lingers, seen)
def test_what_is_sent_on_does_not_wait_with_its_source(linger_s: float, at: Seen) -> None:
    at = replace(at, source_waits_s=COMMIT_S)
    assert at.ends(TurnPolicy(linger_s=linger_s, sends=True))


@given(st.booleans(), st.floats(0.001, 1.0), seen)
def test_a_transaction_collects_rows_for_its_time_unless_somebody_waits(
    sends: bool, transaction_s: float, at: Seen
) -> None:
    policy = TurnPolicy(linger_s=0.0001, sends=sends, transaction_s=transaction_s)
    at = replace(at, receiver_waits=False)
    over = at.rows >= TRANSACTION_ROWS or at.waited_s + at.source_waits_s >= transaction_s
    assert at.ends(policy) == over


@given(policies, seen, st.booleans())
def test_a_turn_that_may_stay_open_while_there_is_nothing_to_do_would_not_be_ended_by_more_work(
    policy: TurnPolicy, at: Seen, in_flight: bool
) -> None:
    """Else the loop would sleep over a turn that the next piece ends: both rules name the same moment."""
    at = replace(at, rows=1, source_waits_s=0.0, piece_s=0.0, more_is_here=True)
    left_s = policy.collects_for(at.waited_s, rows_in_flight=in_flight, receiver_waits=at.receiver_waits)
    if left_s > 1e-9 and not at.receiver_waits:
        assert not at.ends(policy)
    if left_s > 1e-9:
        assert replace(at, waited_s=at.waited_s + left_s + 1e-6).ends(policy)


@given(lingers, st.booleans(), seconds, st.booleans())
def test_nothing_is_collected_where_nothing_is_in_flight(
    linger_s: float, sends: bool, waited_s: float, waits: bool
) -> None:
    policy = TurnPolicy(linger_s=linger_s, sends=sends)
    assert policy.collects_for(waited_s, rows_in_flight=False, receiver_waits=waits) <= 0


@given(st.integers(4096, 1 << 30), st.integers(0, 1 << 30))
def test_a_turn_fills_at_most_a_quarter_of_its_queue(capacity: int, prepared: int) -> None:
    assert is_full(prepared, capacity) == (prepared >= TURN_BYTES or prepared >= capacity // 4)
