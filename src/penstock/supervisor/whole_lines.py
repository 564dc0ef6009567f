"""What comes through a pipe in pieces, cut at the ends of lines: no line is shown in halves, no character broken."""

from __future__ import annotations

_LONGEST = 16_384


class WholeLines:
    """The text of one pipe."""

    def __init__(self) -> None:
        self.rest = b""
        """The beginning of a line that is not whole yet."""

    def add(self, data: bytes) -> bytes:
        """The whole lines so far; the rest waits, but not for ever."""
        text = self.rest + data
        cut = text.rfind(b"\n") + 1
        if cut == 0 and len(text) > _LONGEST:
            cut = _end_of_characters(text)
        self.rest = text[cut:]
        return text[:cut]

    def last(self) -> bytes:
        """The rest as a line of its own, at the end of its writer."""
        rest, self.rest = self.rest, b""
        return rest + b"\n" if rest else b""


def _end_of_characters(text: bytes) -> int:
    """Where the last whole character of UTF-8 ends."""
    for back in range(1, 5):
        byte = text[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            expected = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(text) - back if back < expected else len(text)
    return len(text)
