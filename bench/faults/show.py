"""Tables of the kill matrix: penstock's with all columns, the peers' with one column each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from measure import table

from faults.systems import System
from faults.trial import Trial
from faults.trouble import FAULTS, FROM_OUTSIDE, PLACES


def penstock_table(trials: Sequence[Trial]) -> str:
    """The worst of each cell's trials, column by column."""
    rows = []
    for fault, place, some in _by_cell(trials):
        rows.append([
            fault, place, max(t.lost for t in some), max(t.twice for t in some), max(t.set_aside for t in some),
            f"{max(t.still_s for t in some):.2f}", _named(some), _ends(some),
        ])
    return table(["fault", "place", "lost", "twice", "set aside", "still s", "named", "end"], rows)


def _named(trials: Sequence[Trial]) -> str:
    if trials[0].fault in FROM_OUTSIDE:
        return ""
    return "yes" if all(trial.named for trial in trials) else "no"


def _ends(trials: Sequence[Trial]) -> str:
    return "; ".join(sorted({f"{t.end}, again: {t.second}" if t.second else t.end for t in trials}))


def peers_table(systems: Sequence[System], trials: Sequence[Trial]) -> str:
    """How each ended, and what the sink lacks or has twice."""
    notes: list[str] = []
    there = [system for system in systems if any(trial.system == system.name for trial in trials)]
    rows = []
    for fault, place, some in _by_cell(trials):
        by_system = {trial.system: trial for trial in some}
        rows.append([fault, place, *(_cell(by_system.get(s.name), s.not_for(fault, place), notes) for s in there)])
    told = "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1))
    return table(["fault", "place", *(system.name for system in there)], rows) + f"\n\n{told}"


def _cell(trial: Trial | None, reason: str | None, notes: list[str]) -> str:
    if trial is None:
        if reason is None:
            return "not run"
        if reason not in notes:
            notes.append(reason)
        return f"n/a ({notes.index(reason) + 1})"
    said = [trial.end]
    if trial.lost:
        said.append(f"{trial.lost} lost")
    if trial.twice:
        said.append(f"{trial.twice} twice")
    if trial.set_aside and not trial.named and trial.end == "finished":
        said.append("bad record gone without a word")
    if trial.faults > 1:
        said.append(f"tried {trial.faults} times")
    if trial.named:
        said.append("named")
    if trial.end == "finished" and trial.still_s >= 1:
        said.append(f"still {trial.still_s:.1f} s")
    if trial.left and trial.end != "hung":
        said.append(f"{trial.left} processes left behind")
    if trial.second:
        said.append(f"run again: {trial.second}")
    return ", ".join(said)


def _by_cell(trials: Sequence[Trial]) -> Iterable[tuple[str, str, list[Trial]]]:
    for fault in FAULTS:
        for place in PLACES:
            some = [trial for trial in trials if (trial.fault, trial.place) == (fault, place)]
            if some:
                yield fault, place, some
