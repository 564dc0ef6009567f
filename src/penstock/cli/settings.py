"""Settings from the environment and from `--set`: texts `stage.option=value`, the later ones win."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from penstock.errors import PenstockError

VARIABLE = "PENSTOCK_SET"

F = TypeVar("F", bound=Callable[..., Any])


class SettingUnreadable(PenstockError):
    """A setting is not of the form `stage.option=value`."""

    def __init__(self, text: str, origin: str) -> None:
        super().__init__(
            f"{text!r} ({origin}) is not a setting; write stage.option=value, such as enrich.workers=4 "
            "or enrich.edge.memory=64MiB"
        )


def gather(environment: Mapping[str, str], given: Sequence[str]) -> dict[str, object]:
    """`PENSTOCK_SET`'s settings, then those of `--set`. Raises `SettingUnreadable`."""
    settings = {}
    for text in _split(environment.get(VARIABLE, "")):
        name, value = _parse(text, VARIABLE)
        settings[name] = value
    for text in given:
        name, value = _parse(text, "--set")
        settings[name] = value
    return settings


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as exc:
        raise SettingUnreadable(text, f"{VARIABLE}: {exc}") from exc


def _parse(text: str, origin: str) -> tuple[str, object]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not value or "." not in name.strip("."):
        raise SettingUnreadable(text, origin)
    return name, value


def set_option(command: F) -> F:
    """The `--set` of every command that takes a TARGET."""
    return click.option(
        "--set", "given", multiple=True, metavar="S.O=V",
        help=f"Set option O of stage S to V, such as enrich.workers=4. Repeatable; overrides {VARIABLE}.",
    )(command)  # fmt: skip


def takes_arguments(command: F) -> F:
    """What follows the TARGET, for the program's `sys.argv`."""
    return click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]...")(command)
