"""What is logged of a band of key groups, dealt out to its groups: a pass for each column, and none for each group."""

from __future__ import annotations

from typing import Any

from penstock.slot.state.bands import GROUPS_OF_A_BAND, deal
from penstock.slot.state.change import Change, Op


class Dealt:
    """The changes of one band, of all shelves, in order."""

    def __init__(self) -> None:
        self._groups: list[list[tuple[int, Change]]] = [[] for _ in range(GROUPS_OF_A_BAND)]
        """(number of the shelf, change) by the group's place in the band."""
        self._runs: dict[int, tuple[list[list[Any]], list[list[Any]]]] = {}
        """Keys and values that are set one after the other, by shelf, and by the group's place."""

    def add(self, shelf: int, change: Change, counts: list[bool]) -> None:
        """The next change. `counts`: for each of the groups, whether it still does; a snapshot may stand behind it."""
        if change.op == Op.SET:
            run = self._runs.get(shelf)
            if run is None:
                run = self._runs[shelf] = _hands(), _hands()
            deal(change.groups, change.keys, _of_those(counts, run[0]))
            deal(change.groups, change.values, _of_those(counts, run[1]))
            return
        self._end_run(shelf)
        if change.op == Op.CLOSE:
            for each, still in zip(self._groups, counts):
                if still:
                    each.append((shelf, change))
            return
        keys, values, fields = _hands(), _hands(), _hands()
        for column, hands in ((change.keys, keys), (change.values, values), (change.fields, fields)):
            deal(change.groups, column, _of_those(counts, hands))
        for place, mine in enumerate(keys):
            if mine:
                part = Change(change.op, b"", mine, values[place], change.at, fields[place])
                self._groups[place].append((shelf, part))

    def all(self) -> list[list[tuple[int, Change]]]:
        """What each group of the band has."""
        for shelf in list(self._runs):
            self._end_run(shelf)
        return self._groups

    def _end_run(self, shelf: int) -> None:
        if shelf in self._runs:
            keys, values = self._runs.pop(shelf)
            for place, mine in enumerate(values):
                if mine:
                    self._groups[place].append((shelf, Change(Op.SET, b"", keys[place], mine)))


def _hands() -> list[list[Any]]:
    return [[] for _ in range(GROUPS_OF_A_BAND)]


def _of_those(counts: list[bool], hands: list[list[Any]]) -> list[list[Any]]:
    """Those of groups that do not count go nowhere."""
    return hands if all(counts) else [hand if still else [] for hand, still in zip(hands, counts)]
