"""Numbers for people: counts with thousands separators, rates, shares, sizes and durations with their units."""

from __future__ import annotations

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def count(number: int) -> str:
    """`1,234,567`; from a billion on shortened: `1,234.6 M`."""
    return f"{number:,}" if abs(number) < 1_000_000_000 else f"{number / 1e6:,.1f} M"


def rate(per_s: float) -> str:
    """Rows per second without the unit: `45,300`, below 10 with one decimal."""
    return f"{per_s:.1f}" if 0 < per_s < 9.95 else f"{per_s:,.0f}"


def share(part: float) -> str:
    """`83 %`."""
    return f"{part * 100:.0f} %"


def size(number: float) -> str:
    """`1.2 MiB`."""
    unit = 0
    while abs(number) >= 1023.95 and unit < len(_SIZES) - 1:
        number /= 1024
        unit += 1
    return f"{number:.0f} B" if unit == 0 else f"{number:.1f} {_SIZES[unit]}"


def brief(seconds: float) -> str:
    """A latency or an age: `850 µs`, `12.3 ms`, `4.2 s`, then as `span`; `-` for none."""
    if seconds <= 0:
        return "-"
    if seconds < 999.5e-6:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.99995:
        return f"{seconds * 1e3:.1f} ms" if seconds < 0.09995 else f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.95 else span(seconds)


def span(seconds: float) -> str:
    """How long something took so far: `12 s`, `3 m 12 s`, `2 h 5 m`, `3 d 4 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def shorten(text: str, width: int) -> str:
    """The text in at most `width` columns, its end cut off and marked."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
