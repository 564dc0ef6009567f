"""Chooses the constants of `anomaly.py` by cross-validation: `python select_anomaly.py DATA/sensors/nab`.

Needs numpy. Series are put into folds: by what they measure (one group left out at a time), and, six at a time, drawn
by seed. For each fold, constants *and threshold* are those that score best on all other folds, where a threshold is
judged together with its neighbours, so that no single lucky detection decides; the fold's own series are then scored
with them. What is printed first are these scores of series left out, pooled over the folds. Then come
the constants that all series together choose, which are those to put into `anomaly.py`.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

if __package__ in (None, ""):  # run as a file: its package is found beside it
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from analytics.anomaly import Constants, Detector, rarity
from analytics.nab_score import PROFILES, STANDARD, Labelled, Profile, Worth, windows_of, worths

SEEDS = range(10)
FOLDS = 6
_THRESHOLDS = 200
_NEIGHBOURS = 10
"""Thresholds on either side that one is judged with; nearer ones weigh more."""
_MOST_DETECTIONS = 2500
"""In the whole corpus; a lower threshold than gives these never pays."""
SCALES = (1, 3, 6, 10, 12, 30, 36, 100)
CANDIDATES = [
    Constants(means, hour, ranges, exceeds, fades)
    for means, hour, ranges, exceeds, fades in product(
        [(1,), (1, 12), (1, 30), (1, 100), (1, 6, 36), (1, 10, 100), (1, 3, 10, 30, 100)],
        [1.0, 2.0], [0.0, 0.5, 1.0], [1.0, 1.1, 1.2], [0.995, 0.9965, 0.998],
    )
]


@dataclass
class Series:
    """One labelled series."""

    group: str
    bits: dict[int, Any]
    """By time scale: of each row, hour and range."""
    labelled: Labelled
    windows: int
    _worths: dict[Profile, list[Worth]] = field(default_factory=dict)

    def worth(self, profile: Profile) -> list[Worth]:
        """What a detection at each row after probation is worth."""
        if profile not in self._worths:
            self._worths[profile] = list(worths(0, self.labelled, profile))
        return self._worths[profile]

    def told(self, constants: Constants) -> Any:
        """The bits of all rows, as `Detector` tells them."""
        views: Any = [self.bits[readings].T for readings in constants.means]  # columns where `Detector` has numbers
        rare: Any = rarity(views, constants)
        fading = np.arange(len(rare)) * np.log(constants.fades)
        with np.errstate(divide="ignore"):
            last = np.maximum.accumulate(np.append(-np.inf, np.log(rare) - fading))[:-1] + fading
        return np.where(rare > constants.exceeds * np.exp(last), rare, 0.0)


def series_of(folder: Path, scales: tuple[int, ...] = SCALES) -> Iterator[Series]:
    """All series with their bits, by the detector that runs."""
    labels = json.loads((folder / "labels/combined_windows.json").read_text())
    for file in (folder / "files.txt").read_text().split():
        with (folder / "data" / file).open(newline="") as opened:
            rows = list(csv.reader(opened))[1:]
        detector = Detector(Constants(means=scales))
        bits = np.array([detector.bits(float(value), int(stamp[11:13])) for stamp, value in rows])
        windows = windows_of([stamp for stamp, _ in rows], labels[file])
        group = file.partition("/")[0]
        yield Series("artificial" if group.startswith("artificial") else group,
                     {readings: bits[:, n] for n, readings in enumerate(scales)},
                     Labelled([0.0] * len(rows), windows), len(windows))


def curves(series: Sequence[Series], constants: Constants, profile: Profile) -> tuple[Any, Any]:
    """Thresholds, and what each series is worth at each of them."""
    found = [one.told(constants)[one.labelled.probation :] for one in series]
    together = np.concatenate(found)
    together = np.sort(np.partition(together, -_MOST_DETECTIONS)[-_MOST_DETECTIONS:])[::-1]
    thresholds = together[np.round(np.geomspace(1, len(together), _THRESHOLDS)).astype(int) - 1]
    thresholds = np.maximum(thresholds, np.finfo(float).tiny)
    return thresholds, np.array([_curve(one, scores, thresholds, profile)
                                 for one, scores in zip(series, found, strict=True)])


def _curve(one: Series, scores: Any, thresholds: Any, profile: Profile) -> Any:
    worth = one.worth(profile)
    detected = np.nonzero(scores >= thresholds[-1])[0]
    detected = detected[np.argsort(-scores[detected], kind="stable")]
    gains, hits = [null(one, profile)], dict[tuple[int, int], float]()
    for row in detected:
        _, value, window = worth[row]
        if window is None:
            gains.append(value)
        else:
            before = hits.get(window, -profile.miss)
            gains.append(max(0.0, value - before))
            hits[window] = max(value, before)
    return np.cumsum(gains)[np.searchsorted(-scores[detected], -thresholds, side="right")]


def null(one: Series, profile: Profile) -> float:
    """What silence is worth."""
    return -profile.miss * sum(last >= one.labelled.probation for _, last in one.labelled.windows)


def folds_by_group(series: Sequence[Series]) -> list[list[int]]:
    """One group of series each."""
    groups = sorted({one.group for one in series})
    return [[n for n, one in enumerate(series) if one.group == group] for group in groups]


def folds_by_seed(series: Sequence[Series], seed: int) -> list[list[int]]:
    """Series drawn at random."""
    drawn = list(range(len(series)))
    Random(seed).shuffle(drawn)
    return [drawn[n::FOLDS] for n in range(FOLDS)]


def best(worth: Any) -> tuple[int, int]:
    """The candidate and its threshold, of what all candidates are worth at all thresholds."""
    near = np.bartlett(2 * _NEIGHBOURS + 3)[1:-1]
    padded = np.pad(worth, ((0, 0), (_NEIGHBOURS, _NEIGHBOURS)), "edge")
    judged = np.array([np.convolve(one, near / near.sum(), "valid") for one in padded])
    candidate, threshold = np.unravel_index(int(judged.argmax()), judged.shape)
    return int(candidate), int(threshold)


def left_out(worth: Any, folds: Sequence[Sequence[int]]) -> tuple[float, list[int]]:
    """What the series of each fold are worth with constants and threshold of the others; which constants."""
    total, chosen = 0.0, []
    for fold in folds:
        others = [n for n in range(worth.shape[1]) if n not in fold]
        candidate, threshold = best(worth[:, others, :].sum(axis=1))
        total += float(worth[candidate, list(fold), threshold].sum())
        chosen.append(candidate)
    return total, chosen


def main(folder: Path) -> None:
    """Prints the scores of series left out, then the constants."""
    started = time.monotonic()
    series = list(series_of(folder))
    rows = sum(len(one.labelled.scores) for one in series)
    print(f"{len(series)} series, {rows:,} rows, {rows / (time.monotonic() - started):,.0f} rows/s on "
          f"{len(SCALES)} scales; {len(CANDIDATES)} candidates")
    for name, profile in zip(("standard", "low false positives", "low false negatives"), PROFILES, strict=True):
        found = [curves(series, constants, profile) for constants in CANDIDATES]
        worth = np.array([worth for _, worth in found])
        shown = partial(percent, series, profile)
        by_group, chosen = left_out(worth, folds_by_group(series))
        by_seed = [shown(left_out(worth, folds_by_seed(series, seed))[0]) for seed in SEEDS]
        print(f"{name}: a group left out {shown(by_group):.1f}; {FOLDS} folds by seed {np.mean(by_seed):.1f} "
              f"({min(by_seed):.1f} to {max(by_seed):.1f}); on the series chosen by {shown(worth.sum(1).max()):.1f}")
        if profile is STANDARD:
            for n in chosen:
                print(f"   {CANDIDATES[n]}")
            candidate, threshold = best(worth.sum(axis=1))
            print(f"all series together choose {CANDIDATES[candidate]}, "
                  f"and alarms from {found[candidate][0][threshold]:.2f} bits")


def percent(series: Sequence[Series], profile: Profile, total: float) -> float:
    """What all series are worth, on the benchmark's scale from silence to a perfect detector."""
    silence = sum(null(one, profile) for one in series)
    return 100 * (total - silence) / (profile.hit * sum(one.windows for one in series) - silence)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
