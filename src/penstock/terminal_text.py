"""Text on its way to a terminal, with whatever a terminal would obey made visible: rows and errors are not ours.

An escape sequence in a row can hide lines, rename the window or type for the user; a change of direction can show a
text as another one. Applied where text from outside meets a message or an output; colours of our own come after it.
"""

from __future__ import annotations

from functools import cache

_KEPT = "\n\t"
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_LINES = (0x85, 0x2028, 0x2029)
_CONTROLS = (*range(0x20), 0x7F, *range(0x80, 0xA0))
_SURROGATES = range(0xD800, 0xE000)


@cache  # made when something is shown: every process imports this, and few show anything
def _shown() -> dict[int, str]:
    codes = (*_CONTROLS, *_DIRECTIONS, *_LINES, *_SURROGATES)
    return {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in codes}


@cache
def _shown_lines() -> dict[int, str]:
    return {code: shown for code, shown in _shown().items() if chr(code) not in _KEPT}


@cache
def _shown_json() -> dict[int, str]:
    return {code: f"\\u{code:04x}" for code in _shown_lines()}


def visible(text: str) -> str:
    """Text of one line: every control character as an escape, as Python writes it, line ends and tabs included."""
    return text.translate(_shown())


def visible_lines(text: str) -> str:
    """Text of several lines: their ends and tabs stay."""
    return text.replace("\r\n", "\n").translate(_shown_lines())


def visible_json(text: str) -> str:
    """A JSON text that means the same."""
    return text.translate(_shown_json())
