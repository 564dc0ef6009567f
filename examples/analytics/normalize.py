"""Second stage: a stretch of lines becomes events, malformed lines and accounts, by the rules of its format."""

from __future__ import annotations

from collections.abc import Iterator

from analytics.events import Account, Malformed, Normal, Stretch
from analytics.feeds import FORMATS
from analytics.harvest import harvest


def normalize(stretch: Stretch) -> Iterator[Normal | Malformed | Account]:
    """Everything that a stretch holds; each of its lines is in exactly one fate of exactly one account."""
    return harvest(stretch, FORMATS[stretch.format])


def refuse(line: Malformed) -> None:
    """Raises: this is how a malformed line gets into the dead letters, by itself, with its place and reason."""
    raise ValueError(f"{line.file}:{line.line}: {line.reason}")
