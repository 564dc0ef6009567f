"""A store that this process has claimed: it alone adds checkpoints, until somebody else claims it.

The log's entries are created one after the other, and none can be created twice. So a claim takes the number that the
claimed-before would take next: its next checkpoint is refused, however long it slept. Numbers never go back, because
the newest entry is never deleted; a number that was deleted since is found out by a look at the newest one.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache

from penstock.checkpoints.draft import Draft
from penstock.checkpoints.history import FILES, LOG, entry_name, numbers_in, read_entry, read_log
from penstock.checkpoints.manifest import Claim, Cut, Entry, Finished, Holder, Manifest, encode_entry
from penstock.checkpoints.retention import Doomed, beyond
from penstock.checkpoints.store import CheckpointStore, FileLost
from penstock.errors import CheckpointDamaged, CheckpointForeign, StoreTaken, StoreUnavailable

log = logging.getLogger("penstock.checkpoints")


class Claimed:
    """Adds checkpoints to a store, and deletes them. One thread of one process."""

    def __init__(self, store: CheckpointStore, claim: Claim, manifests: list[Manifest], *, whole: bool) -> None:
        """`manifests`: those that count; `whole`: all that count could be read."""
        self.store = store
        self.lineage = claim.number
        self.manifests = manifests
        """All that count, oldest first."""
        self._whole = whole
        self._next = claim.number + 1
        self._attempts = 0
        self._unsure: list[frozenset[str]] = []
        """Files of each attempt of which it is not known whether it made a checkpoint."""
        self._orphans: list[str] = []
        """Files of attempts that did not."""
        self._taken: StoreTaken | None = None

    def begin(self) -> Draft:
        """A checkpoint to write. At most one at a time. Touches nothing. Raises `StoreTaken` again."""
        if self._taken is not None:
            raise self._taken
        self._attempts += 1
        return Draft(self.store, self.lineage, self._next, self._attempts)

    def commit(self, draft: Draft, cut: Cut, *, pipeline: str, taken_s: float, savepoint: bool = False) -> Manifest:
        """Make it a checkpoint: durable, and the newest one when this returns.

        Raises `StoreTaken` for good where another process has claimed the store, and `StoreUnavailable`. After the
        latter it is not known whether the checkpoint is there; the next commit finds out.
        """
        try:
            draft.close()
        except StoreUnavailable:
            self._orphans += draft.files
            self._clear()
            raise
        attempt, program = uuid.uuid4().hex, _version()

        def manifest(number: int) -> Manifest:
            return Manifest(
                number=number, lineage=self.lineage, attempt=attempt, pipeline=pipeline, program=program,
                taken_s=taken_s, savepoint=savepoint, cut=cut,
            )

        self._unsure.append(draft.files)
        try:
            made = self._append(manifest)
        except StoreUnavailable:
            self._settle()
            raise
        self._orphans += [file for files in self._unsure for file in files]
        self._unsure.clear()
        return made

    def retain(self, keep: int) -> Doomed:
        """Delete all but the newest `keep` and the savepoints; what was deleted. Raises as `commit` does.

        Files of earlier lineages stay as long as there are checkpoints that could not be read: they may need them.
        """
        doomed = beyond(self.manifests, keep)
        if doomed.numbers:
            self._require_newest(self._next - 1)
            delete(self.store, doomed, None if self._whole else self.lineage)
            self.manifests = [manifest for manifest in self.manifests if manifest.number not in doomed.numbers]
        self._clear()
        return doomed

    def _settle(self) -> None:
        """After a failure: a store whose answers are final says what became of the attempts. Else later ones find out.

        Their files would take up the very room that the next attempt lacks.
        """
        if self.store.answers_are_final:
            with suppress(StoreUnavailable):
                if entry_name(self._next).partition("/")[2] not in self.store.sizes(LOG):
                    self._orphans += [file for files in self._unsure for file in files]
                    self._unsure.clear()
                    self._clear()

    def _clear(self) -> None:
        """Delete what attempts have left; later, if that cannot be done now."""
        with suppress(StoreUnavailable):
            self.store.delete([f"{FILES}/{file}" for file in self._orphans])
            self._orphans.clear()

    def _append(self, manifest: Callable[[int], Manifest]) -> Manifest:
        while True:
            entry = manifest(self._next)
            self._require_claim()  # before anything is in the log that lacks a part
            created = self.store.create(entry_name(entry.number), encode_entry(entry))
            there = entry if created else self._whose(entry.number)
            self.manifests.append(there)
            self._next += 1
            self._unsure = [files for files in self._unsure if not files & there.files]
            if there == entry:
                self._require_newest(entry.number)
                return entry
            # What an earlier commit was not sure of is a checkpoint, and this one comes behind it.

    def _whose(self, number: int) -> Manifest:
        """What has taken the number: this very entry, if an answer was lost, or an earlier attempt of ours."""
        there = _entry_at(self.store, number)
        if not isinstance(there, Manifest) or there.lineage != self.lineage:
            raise self._refused(there)
        return there

    def _refused(self, by: Entry | None) -> StoreTaken:
        """For good."""
        self._taken = StoreTaken(self.store.where, _who(by))
        return self._taken

    def _require_newest(self, number: int) -> None:
        numbers = self._require_claim()
        if numbers[-1] > number:
            raise self._refused(_entry_at(self.store, numbers[-1]))

    def _require_claim(self) -> list[int]:
        """All entries, our claim among them, which is there until somebody else's has taken its place."""
        numbers = numbers_in(self.store)
        if numbers and numbers[-1] >= self._next and self.lineage not in numbers:
            raise self._refused(_entry_at(self.store, numbers[-1]))
        if self.lineage not in numbers:
            # What the next checkpoint would share with those before is no longer there, either.
            what = "it does not hold any more what this run wrote: it was emptied, or is no longer mounted"
            raise StoreUnavailable(self.store.where, what, "bring it back, or stop this run and run again")
        return numbers


def claim(store: CheckpointStore, holder: Holder, *, starts_over: bool = False) -> Claimed:
    """Claim a store: whoever did so before is refused from now on. Raises `StoreUnavailable`, `StoreTaken`.

    `starts_over`: the checkpoints that are there are of runs that are over, whatever became of them.
    Deletes what no checkpoint that counts needs: what a killed process was about to write, claims before.
    """
    attempt = uuid.uuid4().hex
    while True:
        reading = read_log(store)
        newest = reading.numbers[-1] if reading.numbers else 0
        mine = Claim(
            number=newest + 1, attempt=attempt, holder=holder, claimed_s=time.time(),
            kept={found.number: found.manifest.attempt if found.manifest else "" for found in reading.found},
            over=newest if starts_over else reading.over,
        )
        if store.create(entry_name(mine.number), encode_entry(mine)) or _entry_at(store, mine.number) == mine:
            break
    for problem in reading.problems:
        log.warning("%s", problem)
    claimed = Claimed(store, mine, reading.manifests, whole=not reading.problems)
    try:
        _sweep(store, mine, [number for number in reading.numbers if number not in mine.kept], claimed)
    except StoreUnavailable as exc:  # what is not needed only takes up room
        log.warning("%s", exc)
    return claimed


def _sweep(store: CheckpointStore, mine: Claim, passed: list[int], claimed: Claimed) -> None:
    """Entries that do not count any more, and files that nothing that counts needs."""
    store.tidy()
    store.delete([entry_name(number) for number in passed])
    if len(claimed.manifests) == len(mine.kept):
        needed = _files(claimed.manifests)
        store.delete([
            f"{FILES}/{file}" for file in sorted(store.sizes(FILES))
            if file not in needed and _lineage_of(file) < mine.number
        ])


def delete(store: CheckpointStore, doomed: Doomed, lineage: int | None = None) -> None:
    """Checkpoints, then their files. `lineage`: leave the files of all lineages before this one."""
    store.delete([entry_name(number) for number in doomed.numbers])
    store.delete([f"{FILES}/{file}" for file in doomed.files if lineage is None or _lineage_of(file) >= lineage])


def _lineage_of(file: str) -> int:
    """Under which claim a file was written; of names that are not ours: of one that never ends."""
    first = file.partition(".")[0]
    return int(first) if first.isdigit() else 1 << 62


def _entry_at(store: CheckpointStore, number: int) -> Entry | None:
    """None: it cannot be read, or was deleted."""
    try:
        return read_entry(store, number)
    except (FileLost, CheckpointDamaged, CheckpointForeign):
        return None


def _files(manifests: Iterable[Manifest]) -> frozenset[str]:
    """All that they need."""
    return frozenset(file for manifest in manifests for file in manifest.files)


@cache
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # only whoever writes needs it

    try:
        return version("penstock")
    except PackageNotFoundError:  # a copy beside its installation
        return "unknown"


def _who(entry: Entry | None) -> str:
    if isinstance(entry, Claim):
        return str(entry.holder)
    if isinstance(entry, Finished):
        return "a run that has finished"
    return "it cannot be told who" if entry is None else f"lineage {entry.lineage}"
