"""What a life finds in the changelog: taken in as it stands there, and decoded when a group of keys is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.errors import QueueDamaged
from penstock.slot.process.stops import StageFailed
from penstock.slot.process.user_errors import one_line
from penstock.slot.state.bands import band_of, groups_of
from penstock.slot.state.change import Change
from penstock.slot.state.changelog import WHAT, Changelog
from penstock.slot.state.frames import FORMAT, Band, Catalogue, changes_of, decode_body
from penstock.slot.state.shelf import Shelf, ShelfName

_Found = dict[int, list[Change]]
"""What was found for the shelves, by their present numbers."""


class Replay:
    """The content of one changelog, for the shelves of this life."""

    def __init__(self, log: Changelog, shelves: Sequence[Shelf]) -> None:
        """Raises `QueueDamaged`, and `StageFailed` where the log has the state of other shelves than these."""
        self._shelves = shelves
        self.catalogue: list[ShelfName] | None = None
        """The last one."""
        self._bands: dict[int, list[tuple[Band, list[int]]]] = {}
        """The changes of each band, and which shelves their numbers mean."""
        self._opened: dict[int, dict[int, _Found]] = {}
        """Of bands that were decoded, what is found for the groups that were not asked for yet."""
        meant: list[int] = []
        for path, offset, data in log.bodies():
            try:
                body = decode_body(data)
            except msgspec.MsgspecError as exc:
                raise QueueDamaged(path, f"{WHAT}: the frame at {offset} cannot be read: {exc}") from exc
            if isinstance(body, Catalogue):
                meant = self._meaning(body)
            else:
                self._bands.setdefault(body.band, []).append((body, meant))

    def _meaning(self, catalogue: Catalogue) -> list[int]:
        """Which shelves the numbers of a catalogue mean."""
        stage = self._shelves[0].name.stage
        if catalogue.format != FORMAT:
            raise StageFailed(
                stage, f"the state has format {catalogue.format}, and this version of penstock reads format {FORMAT}: "
                "finish the run with the version that began it"
            )
        self.catalogue = catalogue.shelves
        known = {(name.stage, name.operator, name.name): at for at, name in enumerate(self._names())}
        meant = []
        for was in catalogue.shelves:
            at = known.get((was.stage, was.operator, was.name))
            if at is None:
                raise StageFailed(was.stage, f"the run has state of {was}, which is gone; {_REMEDY}")
            now = self._shelves[at].name
            if now != was:
                before, after = (was.kind, now.kind) if was.kind != now.kind else (was.type, now.type)
                raise StageFailed(was.stage, f"the state of {was} changed from {before} to {after}; {_REMEDY}")
            meant.append(at)
        return meant

    def _names(self) -> list[ShelfName]:
        return [shelf.name for shelf in self._shelves]

    @property
    def groups(self) -> set[int]:
        """Those of which something may be found."""
        return {group for band in self._bands for group in groups_of(band)}

    def found(self, group: int) -> _Found:
        """What is found of a group. Raises `StageFailed` for values that cannot be decoded."""
        band = band_of(group)
        opened = self._opened.get(band)
        if opened is None:
            opened = self._opened[band] = self._open(band)
        return opened.get(group, {})

    def forget(self, group: int) -> None:
        """It is not asked for again."""
        band = band_of(group)
        self._opened[band].pop(group, None)
        if not self._opened[band]:
            self._bands.pop(band, None)

    def _open(self, band: int) -> dict[int, _Found]:
        opened: dict[int, _Found] = {}
        for body, meant in self._bands.get(band, ()):
            for columns in changes_of(body):
                shelf = self._shelves[meant[columns.shelf]]
                try:
                    change = shelf.codec.decode(columns)
                except Exception as exc:  # decoding runs code of the values' classes
                    raise StageFailed(
                        shelf.name.stage, f"the state of {shelf.name} cannot be read: {one_line(exc)}; {_REMEDY}"
                    ) from exc
                for group, part in change.by_group():
                    opened.setdefault(group, {}).setdefault(meant[columns.shelf], []).append(part)
        return opened


_REMEDY = "run the code that wrote it, or begin again with --fresh"
