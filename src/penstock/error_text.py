"""How much of an error is kept and shown: what user code says may be of any length. All that keeps texts cuts here."""

from __future__ import annotations

ERROR_CHARACTERS = 2_000
"""Of an error in one line, in letters, logs, events, status and reports."""
TRACEBACK_CHARACTERS = 20_000
"""Of a traceback."""


def cut(text: str, most: int = ERROR_CHARACTERS) -> str:
    """The text, or its beginning and its end with a mark between them that says how much was cut: `most` in all."""
    if len(text) <= most:
        return text
    tail = most // 4
    mark = f"… [cut: this text has {len(text):,} characters] …"
    return f"{text[: max(most - tail - len(mark), 0)]}{mark}{text[-tail:]}"
