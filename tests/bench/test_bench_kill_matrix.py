"""What the kill matrix and the recovery benchmark count as lost, twice and set aside, and which cells they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kill_matrix
import pytest
import recovery
from faults.show import peers_table, penstock_table
from faults.systems import SYSTEMS
from faults.trial import Trial, _Run
from faults.trouble import Orders

GOOD: dict[str, Any] = {
    "system": "penstock", "fault": "hang", "place": "stage", "lost": 0, "twice": 0, "set_aside": 2, "still_s": 0.1,
    "named": True, "end": "finished", "faults": 1, "second": "",
}


def _judged(folder: Path, fault: str, place: str, values: list[int], tail: str = "") -> Trial:
    """A run of eight rows, hence 16 values; the bad record has number 2."""
    (folder / "printed").touch()
    (folder / "sink-1.txt").write_text("".join(f"{value}\n" for value in values) + tail)
    return _Run(SYSTEMS[0], Path("python"), Orders(folder, fault, place, 8, ""))._judged("finished")


def test_rows_of_the_bad_record_are_set_aside_and_all_others_are_lost(tmp_path: Path) -> None:
    trial = _judged(tmp_path, "poison", "stage", [n for n in range(16) if n not in (4, 5, 9)])
    assert (trial.lost, trial.set_aside, trial.twice) == (1, 2, 0)


@pytest.mark.parametrize(("fault", "place"), [("killed", "stage"), ("main killed", "stage"), ("poison", "source")])
def test_no_row_is_excused_where_no_record_is_bad_or_the_source_is_repaired(
    tmp_path: Path, fault: str, place: str
) -> None:
    trial = _judged(tmp_path, fault, place, [n for n in range(16) if n not in (4, 5)])
    assert (trial.lost, trial.set_aside) == (2, 0)


def test_the_sink_stage_loses_one_row_of_the_fan_out(tmp_path: Path) -> None:
    trial = _judged(tmp_path, "slow", "sink", [n for n in range(16) if n not in (4, 5)])
    assert (trial.lost, trial.set_aside) == (1, 1)


def test_each_further_copy_of_a_row_is_counted_as_twice(tmp_path: Path) -> None:
    assert _judged(tmp_path, "killed", "sink", [*range(16), 3, 3, 7]).twice == 3


def test_half_a_line_is_no_row(tmp_path: Path) -> None:
    assert _judged(tmp_path, "killed", "sink", list(range(15)), tail="15").lost == 1


def test_the_worst_of_each_cells_runs_is_shown() -> None:
    trials = [Trial(**GOOD), Trial(**{**GOOD, "lost": 3}), Trial(**{**GOOD, "named": False, "still_s": 2.0})]
    row = penstock_table(trials).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")][1:-1] == ["hang", "stage", "3", "0", "2", "2.00", "no", "finished"]


def test_a_peer_that_silently_drops_the_bad_record_is_reported() -> None:
    shown = peers_table(SYSTEMS, [Trial(**{**GOOD, "system": "pypeln", "named": False})])
    assert "finished, bad record gone without a word" in shown


def test_a_cell_that_was_run_is_not_run_again() -> None:
    asked = kill_matrix.cells(["hang"])
    assert len(asked) == 4
    assert kill_matrix.missing(SYSTEMS[0], asked, [Trial(**GOOD)], 1) == [c for c in asked if c != ("hang", "stage")]


def test_a_main_process_is_killed_once_and_not_once_for_each_place() -> None:
    for fault in ("main killed", "supervisor killed"):
        assert kill_matrix.cells([fault]) == [(fault, "stage")]


def test_what_the_user_started_is_the_main_process_of_every_system() -> None:
    assert [system.name for system in SYSTEMS if system.not_for("main killed", "stage")] == []
    assert [system.name for system in SYSTEMS if not system.not_for("supervisor killed", "stage")] == ["penstock"]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert [recovery.at(hundred, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50.0, 90.0, 99.0, 100.0]
