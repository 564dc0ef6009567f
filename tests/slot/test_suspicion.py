"""How carefully a life goes that was told of earlier ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.slot.input.suspicion import Suspicion
from penstock.slot.records.life import Blamed, Life, Suspect
from penstock.slot.records.work_page import Mark


def life(suspect: Suspect | None = None, careful: int = 0, blamed: tuple[Blamed, ...] = ()) -> Suspicion:
    return Suspicion(
        Life("stage", 0, 2, "run", "letters", suspect=suspect, careful=careful, blamed=blamed)
    )


def mark(row: int, sequence: int = 7) -> Mark:
    return Mark(0, 1, sequence, row, 1)


def test_a_life_that_was_told_nothing_takes_all_it_can() -> None:
    suspicion = life()
    assert not suspicion.careful(mark(0))
    assert suspicion.piece(mark(0)) > 10**8
    assert suspicion.blamed(mark(0)) is None
    assert not suspicion.any_blamed


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 20), st.integers(0, 120))
def test_pieces_never_reach_beyond_the_suspects(first: int, count: int, piece: int, row: int) -> None:
    suspicion = life(Suspect(0, 1, 7, first, count, piece))
    covered = first <= row < first + count
    assert suspicion.careful(mark(row)) == covered
    if covered:
        assert 1 <= suspicion.piece(mark(row)) <= min(piece, first + count - row)
    else:
        assert suspicion.piece(mark(row)) > 10**8
    assert not suspicion.careful(mark(row, sequence=8))


@given(st.integers(1, 30), st.lists(st.integers(1, 5), max_size=20))
def test_rows_are_processed_one_by_one_until_the_given_number_is_done(careful: int, taken: list[int]) -> None:
    suspicion = life(careful=careful)
    for rows in taken:
        left = careful > 0
        assert suspicion.careful(mark(0)) == left
        assert (suspicion.piece(mark(0)) == 1) == left
        suspicion.rows_done(rows)
        careful -= rows


def test_only_the_blamed_row_is_kept_from_user_code() -> None:
    blamed = Blamed(0, 1, 7, 3, 2, "it did it")
    suspicion = life(blamed=(blamed,))
    assert suspicion.any_blamed
    assert suspicion.blamed(mark(3)) == blamed
    assert suspicion.blamed(mark(4)) is None
    assert suspicion.blamed(mark(3, sequence=8)) is None


def test_it_pauses_before_the_suspect_only() -> None:
    suspicion = life(Suspect(0, 1, 7, 3, 1, 1, pause_s=0.25))
    assert [suspicion.pause_s(mark(row)) for row in (2, 3, 4)] == [0.0, 0.25, 0.0]
