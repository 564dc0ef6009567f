"""Chooses the constants of `anomaly.py` by cross-validation: `python select_anomaly.py DATA/sensors/nab`.

Needs numpy. Series are put into folds: by what they measure (one group left out at a time), and, six at a time, drawn
by seed. For each fold, constants *and threshold* are those that score best on all other folds; the fold's own series
are then scored with them. What is printed first are these scores of series left out, pooled over the folds. Then come
the constants that all series together choose, which are those to put into `anomaly.py`.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

if __package__ in (None, ""):  # run as a file: its package is found beside it
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from analytics.anomaly import Constants, Detector
from analytics.nab_score import PROFILES, STANDARD, Labelled, Profile, Worth, windows_of, worths

SEEDS = range(10)
FOLDS = 6
_THRESHOLDS = 96
_MOST_DETECTIONS = 2500
"""In the whole corpus; a lower threshold than gives these never pays."""
CANDIDATES = [
    Constants(weights, sharpens, shortens, fades)
    for weights, sharpens, shortens, fades in product(
        [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.0, 1.0, 1.0), (1.0, 0.0, 1.0),
         (1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 2.0)],
        [1.0, 2.0, 3.0], [0.0, 0.5, 1.0], [0.995, 0.998, 0.999, 0.9995],
    )
]


@dataclass
class Series:
    """One labelled series; its rows after probation."""

    group: str
    bits: Any
    labelled: Labelled
    windows: int
    _worths: dict[Profile, list[Worth]] = field(default_factory=dict)

    def worth(self, profile: Profile) -> list[Worth]:
        """What a detection at each row is worth."""
        if profile not in self._worths:
            self._worths[profile] = list(worths(0, self.labelled, profile))
        return self._worths[profile]

    def score(self, constants: Constants) -> Any:
        """The anomaly scores of all rows, as `Detector.score` gives them, but for the last scaling."""
        most = np.log2(np.arange(len(self.bits)) + 2.0)
        rare = ((self.bits @ np.array(constants.weights)) / most**constants.shortens) ** constants.sharpens
        fading = np.arange(len(rare)) * np.log(constants.fades)
        with np.errstate(divide="ignore"):
            last = np.maximum.accumulate(np.append(-np.inf, np.log(rare) - fading))[:-1] + fading
        return np.maximum(0.0, rare - np.exp(last))


def series_of(folder: Path) -> Iterator[Series]:
    """All series with their bits, by the detector that runs."""
    labels = json.loads((folder / "labels/combined_windows.json").read_text())
    for file in (folder / "files.txt").read_text().split():
        with (folder / "data" / file).open(newline="") as opened:
            rows = list(csv.reader(opened))[1:]
        detector = Detector(Constants(weights=(1.0, 1.0, 1.0)))  # all views
        bits = np.array([detector.bits(float(value), int(stamp[11:13])) for stamp, value in rows])
        windows = windows_of([stamp for stamp, _ in rows], labels[file])
        group = file.partition("/")[0]
        yield Series("artificial" if group.startswith("artificial") else group, bits,
                     Labelled([0.0] * len(rows), windows), len(windows))


def curves(series: Sequence[Series], constants: Constants, profile: Profile) -> tuple[Any, Any]:
    """Thresholds, and what each series is worth at each of them."""
    found = [one.score(constants)[one.labelled.probation :] for one in series]
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


def left_out(worth: Any, folds: Sequence[Sequence[int]]) -> tuple[float, list[int]]:
    """What the series of each fold are worth with constants and threshold of the others; which constants."""
    total, chosen = 0.0, []
    for fold in folds:
        others = worth[:, [n for n in range(worth.shape[1]) if n not in fold], :].sum(axis=1)
        candidate, threshold = np.unravel_index(int(others.argmax()), others.shape)
        total += float(worth[candidate, list(fold), threshold].sum())
        chosen.append(int(candidate))
    return total, chosen


def main(folder: Path) -> None:
    """Prints the scores of series left out, then the constants."""
    started = time.monotonic()
    series = list(series_of(folder))
    rows = sum(len(one.bits) for one in series)
    print(f"{len(series)} series, {rows:,} rows, {rows / (time.monotonic() - started):,.0f} rows/s; "
          f"{len(CANDIDATES)} candidates")
    for name, profile in zip(("standard", "low false positives", "low false negatives"), PROFILES, strict=True):
        worth = np.array([curves(series, constants, profile)[1] for constants in CANDIDATES])
        silence = sum(null(one, profile) for one in series)
        perfect = profile.hit * sum(one.windows for one in series)

        def shown(total: float, silence: float = silence, perfect: float = perfect) -> float:
            return 100 * (total - silence) / (perfect - silence)

        by_group, chosen = left_out(worth, folds_by_group(series))
        by_seed = [shown(left_out(worth, folds_by_seed(series, seed))[0]) for seed in SEEDS]
        print(f"{name}: a group left out {shown(by_group):.1f}; {FOLDS} folds by seed {np.mean(by_seed):.1f} "
              f"({min(by_seed):.1f} to {max(by_seed):.1f}); on the series chosen by {shown(worth.sum(1).max()):.1f}")
        if profile is STANDARD:
            for n in chosen:
                print(f"   {CANDIDATES[n]}")
            candidate, _ = np.unravel_index(int(worth.sum(1).argmax()), worth.sum(1).shape)
            print(f"all series together choose {CANDIDATES[candidate]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
