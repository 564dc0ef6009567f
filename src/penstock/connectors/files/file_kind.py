"""What a file is that is no text in the encoding it is read in, told by its first bytes: its rows would be rubbish."""

from __future__ import annotations

import codecs

LOOKED_AT_BYTES = 512

_PACKED = (
    (b"\x1f\x8b\x08", "gzip", ".gz"),
    (b"BZh", "bzip2", ".bz2"),
    (b"\xfd7zXZ\0", "xz", ".xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", ".zst"),
)
_OTHERS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x04\x22\x4d\x18", "LZ4-compressed data"),
    (b"\x1f\x9d", "data packed by compress"),
)
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FEWEST_UNITS = 4


def not_text(head: bytes) -> tuple[str, str]:
    """(what a file with that beginning is instead of text with one-byte line ends, what to do); ("", ""): it may be."""
    for magic, name, ending in _PACKED:
        if head.startswith(magic) and (magic != b"BZh" or head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")):
            return f"it is {name}-compressed, but its name does not say so", f"rename it to end in {ending}"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return f"it is {name}, which cannot be read", "unpack it first"
    if head.startswith(b"PAR1"):
        return "it is a Parquet file", "read it with files.parquet"
    if head[257:262] == b"ustar":
        return "it is a tar archive, which cannot be read", "unpack it first"
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return f"it begins with the byte order mark of {encoding.upper()}", f'pass encoding="{encoding}"'
    if encoding := _wide_without_mark(head):
        return f"it looks like {encoding.upper()} without a byte order mark", f'pass encoding="{encoding}"'
    return "", ""


def _wide_without_mark(head: bytes) -> str:
    """Text in UTF-16 whose first characters are ASCII: every other byte is zero."""
    head = head[: len(head) // 2 * 2][:64]
    if len(head) < 2 * _FEWEST_UNITS:
        return ""
    even, odd = set(head[0::2]), set(head[1::2])
    if odd == {0} and 0 not in even:
        return "utf-16-le"
    return "utf-16-be" if even == {0} and 0 not in odd else ""
