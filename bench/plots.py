"""Line plots as SVG, by hand: panels below each other with one time axis. No package is needed for so little."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 760, 130, 62, 16, 26, 42
COLOURS = ("#1f6fb4", "#d1603d", "#3a8f5c", "#7a5195")
POINTS = 300
"""A line has so many points at most; each stands for its neighbours."""

Series = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One plot: lines by name, seconds on the x axis."""

    title: str
    lines: dict[str, Series]
    ceiling: float | None = None
    """The y axis ends here; what is above is cut off."""
    rule: tuple[str, float] | None = None
    """A dashed line across, and what it says."""


def write(path: Path, panels: Sequence[Panel]) -> None:
    """Draw them below each other."""
    end = max((x for panel in panels for line in panel.lines.values() for x, _ in line), default=1.0)
    height = TOP + len(panels) * (PANEL + GAP)
    body = "\n".join(_panel(panel, TOP + number * (PANEL + GAP), end) for number, panel in enumerate(panels))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#333">\n<rect width="{WIDTH}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def _panel(panel: Panel, top: float, end: float) -> str:
    highest = max((y for line in panel.lines.values() for _, y in thinned(line)), default=0.0)
    highest = max(highest, panel.rule[1] if panel.rule else 0.0) or 1.0
    step = _step(min(highest, panel.ceiling or highest) / 4)
    most = step * math.ceil(min(highest, panel.ceiling or highest) / step)

    def x(value: float) -> float:
        return LEFT + value / end * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return top + PANEL - value / most * PANEL

    def text(at_x: float, at_y: float, what: str, anchor: str, more: str = "") -> str:
        return f'<text x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="{anchor}"{more}>{escape(what)}</text>'

    def across(at_y: float, more: str) -> str:
        return f'<path d="M{LEFT} {at_y:.1f}H{WIDTH - RIGHT}" {more}/>'

    inside = f"inside-{top}"
    parts = [f'<clipPath id="{inside}"><path d="M{LEFT} {top - 1}H{WIDTH}V{top + PANEL + 1}H{LEFT}"/></clipPath>']
    parts.append(text(LEFT, top - 8, panel.title, "start", ' font-weight="bold"'))
    for number in range(round(most / step) + 1):
        parts.append(across(y(number * step), 'stroke="#ddd"'))
        parts.append(text(LEFT - 6, y(number * step) + 4, f"{number * step:,.6g}", "end"))
    unit, name = (60.0, "min") if end > 300 else (1.0, "s")
    apart = _step(end / unit / 6)
    for number in range(int(end / unit / apart) + 1):
        label = f"{number * apart:g}" + (f" {name}" if number == 0 else "")
        parts.append(text(x(number * apart * unit), top + PANEL + 15, label, "middle"))
    if panel.rule:
        parts.append(across(y(panel.rule[1]), 'stroke="#333" stroke-dasharray="5 4"'))
        parts.append(text(WIDTH - RIGHT, y(panel.rule[1]) - 4, panel.rule[0], "end"))
    for number, (title, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in thinned(line))
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5" clip-path="url(#{inside})"/>')
        place = WIDTH - RIGHT - 140 * (len(panel.lines) - 1 - number)
        parts.append(text(place, top - 8, title, "end", f' fill="{colour}"'))
    return "\n".join(parts)


def thinned(line: Series) -> list[tuple[float, float]]:
    """Medians of neighbours, so that a long run makes a small file."""
    size = max(math.ceil(len(line) / POINTS), 1)
    parts = [line[start : start + size] for start in range(0, len(line), size)]
    return [(part[len(part) // 2][0], statistics.median(y for _, y in part)) for part in parts]


def _step(rough: float) -> float:
    """A round number near it: 1, 2 or 5 with zeros."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * n for n in (1, 2, 5, 10) if rough <= power * n * 1.0001)
