"""pypeln with processes. Its source runs in the main process, and `timeout` is there."""

from __future__ import annotations

import warnings

warnings.simplefilter("ignore")

import pypeln as pl  # noqa: E402

from faults import trouble  # noqa: E402

lines: list[trouble.Lines] = []


def write(value: int) -> None:
    if not lines:
        lines.append(trouble.Lines())
    lines[0].put(value)


def main() -> None:
    limits = {"maxsize": 1000, "timeout": trouble.TIMEOUT_S}
    worked = pl.process.map(trouble.work, trouble.numbers(), workers=2, **limits)
    fanned = pl.process.flat_map(trouble.fan, worked, workers=1, **limits)
    pl.process.each(write, fanned, workers=1, run=True, **limits)


if __name__ == "__main__":
    main()
