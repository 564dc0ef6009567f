"""Addresses of checkpoint stores as users write them: a path, `file:///path`, `s3://bucket/prefix`. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from penstock.working_directory import resolved

Address: TypeAlias = str | os.PathLike[str]
_STORES = 'write a path, "file:///var/lib/checkpoints" or "s3://bucket/prefix"'


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where checkpoints are kept."""

    kind: Literal["file", "s3"]
    place: str
    """An absolute path without links; or the bucket, and the prefix in it."""

    def __str__(self) -> str:
        from urllib.parse import quote  # most processes show no address

        return f"file://{quote(self.place)}" if self.kind == "file" else f"s3://{self.place}"


def parse_store(text: Address) -> StoreAddress:
    """What a user means. Raises `ValueError` that says what to write.

    A relative path is one from here, whatever the working directory is later.
    """
    if not isinstance(text, (str, os.PathLike)):
        raise ValueError(f"{text!r} is not a checkpoint store; {_STORES}")
    given = os.fspath(text)
    if not isinstance(given, str) or "\0" in given or not given.strip():
        raise ValueError(f"{given!r} is not a checkpoint store; {_STORES}")
    scheme, colon, rest = given.partition(":")
    if isinstance(text, str) and colon and scheme.isalnum() and "/" not in scheme:
        if scheme.lower() == "file":
            return _file(given, rest)
        if scheme.lower() == "s3":
            return _s3(given, rest)
        if rest.startswith("//"):
            raise ValueError(f"{given!r}: {scheme} is not a kind of checkpoint store; {_STORES}")
    return StoreAddress("file", str(resolved(given)))


def _file(given: str, rest: str) -> StoreAddress:
    host, slash, path = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not slash or host not in ("", "localhost"):
        meant = "/" + rest.strip("/")
        raise ValueError(f'{given!r} names no path; write three slashes: "file://{meant}"')
    from urllib.parse import unquote  # only where somebody writes `file:`

    return StoreAddress("file", str(resolved(Path("/" + unquote(path)))))


def _s3(given: str, rest: str) -> StoreAddress:
    bucket, _, prefix = rest.removeprefix("//").partition("/")
    parts = [part for part in prefix.split("/") if part]
    if not rest.startswith("//") or not bucket:
        raise ValueError(f'{given!r} names no bucket; write "s3://bucket/prefix"')
    if any(sign in rest for sign in "?#@\\") or any(part in (".", "..") for part in parts) or not rest.isprintable():
        what = "a region, an endpoint and credentials come from the environment (AWS_REGION, AWS_ENDPOINT_URL, ...)"
        raise ValueError(f'{given!r} is not an address; write only "s3://bucket/prefix": {what}')
    return StoreAddress("s3", "/".join([bucket, *parts]))
