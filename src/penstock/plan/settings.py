"""Options into numbers: defaults, what the code says, and what `--set` says, checked; a mistake for each bad one.

Pure. Precedence: default < code < settings. The planner asks for one stage after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import msgspec

from penstock.errors import Mistake
from penstock.graph.findings import mistake, mistake_from
from penstock.graph.graph import DEFAULT_EDGE, ResultsCall, SourceCall
from penstock.graph.stages import Stage, Stages
from penstock.names import did_you_mean
from penstock.options import (
    MIB,
    Edge,
    ErrorPolicy,
    FullPolicy,
    Route,
    StateBackend,
    block,
    dead_letter,
    fail,
    parse_duration,
    parse_rate,
    parse_size,
    rocksdict,
    skip,
)
from penstock.plan.plan import StageSettings

_POLICIES = {"fail": fail, "skip": skip, "dead_letter": dead_letter}
_ROUTES = ("auto", "forward", "balance")


class EdgeSettings(msgspec.Struct, frozen=True):
    """An edge's options as numbers."""

    memory_bytes: int = parse_size(DEFAULT_EDGE.memory)
    when_full: FullPolicy = DEFAULT_EDGE.when_full
    route: Route = DEFAULT_EDGE.route
    batch_rows: int = DEFAULT_EDGE.batch_rows
    linger_s: float = parse_duration(DEFAULT_EDGE.linger)


class Resolved(msgspec.Struct, frozen=True):
    """One stage's options, and which of them somebody gave."""

    stage: StageSettings
    edge: EdgeSettings
    given: frozenset[str]
    """Names of the options that code or settings mention; an edge's as `edge.memory`."""
    in_code: frozenset[str]


class Option(msgspec.Struct, frozen=True):
    """How one option is checked, and how it is read from text. Both raise `ValueError`: "what is wrong; remedy"."""

    check: Callable[[Any], dict[str, object]]
    """The fields of `StageSettings` or `EdgeSettings` that a value stands for."""
    from_text: Callable[[str], object] = str


def _count(name: str, least: int) -> Callable[[object], dict[str, object]]:
    def check(value: object) -> dict[str, object]:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{value!r} is not a number of at least {least}; write one like {max(least, 4)}")
        return {name: value}

    return check


def _workers(value: object) -> dict[str, object]:
    pair = value if isinstance(value, tuple) else (value, value)
    whole = len(pair) == 2 and all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
    if not whole or not 1 <= pair[0] <= pair[1]:
        raise ValueError(f"{value!r} is not a number of workers; write 4, or (1, 8) for a range (as a setting 1..8)")
    return {"workers": pair[0], "workers_most": pair[1]}


def _ordered(value: object) -> dict[str, object]:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false; write True or False (as a setting true or false)")
    return {"ordered": value}


def _on_error(value: object) -> dict[str, object]:
    if not isinstance(value, ErrorPolicy):
        raise ValueError(f"{value!r} is not a policy; write ps.dead_letter(), ps.skip() or ps.fail()")
    limit = value.give_up_after
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError(f"give_up_after={limit!r} is not a number of at least 1; write one like 100, or None: never")
    return {"on_error": value}


def _retry_on(value: object) -> dict[str, object]:
    classes = value if isinstance(value, tuple) else (value,)
    if not classes or not all(isinstance(c, type) and issubclass(c, Exception) for c in classes):
        raise ValueError(f"{value!r} is not a class of exceptions; write one like OSError, or a tuple of them")
    return {"retry_on": classes}


def _timeout(value: object) -> dict[str, object]:
    return {"timeout_s": None} if value is None else _duration("timeout_s", above=True)(value)


def _duration(name: str, *, above: bool = False) -> Callable[[object], dict[str, object]]:
    def check(value: object) -> dict[str, object]:
        seconds = parse_duration(value)  # type: ignore[arg-type]
        if above and seconds == 0:
            raise ValueError(f"{value!r} leaves no time; write one like \"2s\", or None: no limit")
        return {name: seconds}

    return check


def _max_restarts(value: object) -> dict[str, object]:
    return {"max_restarts": parse_rate(value)}  # type: ignore[arg-type]


def _memory(value: object) -> dict[str, object]:
    size = parse_size(value)  # type: ignore[arg-type]
    if size < 1:
        raise ValueError(f"{value!r} holds no row; write one like \"8 MiB\"")
    return {"memory_bytes": size}


def _row_output_max(value: object) -> dict[str, object]:
    size = parse_size(value)  # type: ignore[arg-type]
    if size < 1:
        raise ValueError(f"{value!r} leaves a row no room to give anything; write one like \"4 GiB\"")
    return {"row_output_max": size}


def _state(value: object) -> dict[str, object]:
    if not isinstance(value, StateBackend):
        raise ValueError(f"{value!r} is no place for state; write ps.rocksdict() (as a setting memory or rocksdict)")
    if value.kind == "memory":
        return {"state_cache_bytes": 0}
    if find_spec("rocksdict") is None:
        raise ValueError("rocksdict is not installed; `pip install 'penstock[rocksdict]'` installs it")
    size = parse_size(value.cache)
    if size < MIB:
        raise ValueError(f"cache={value.cache!r} is too little to work with; write one like \"64 MiB\"")
    return {"state_cache_bytes": size}


def _when_full(value: object) -> dict[str, object]:
    if not isinstance(value, FullPolicy):
        raise ValueError(f"{value!r} is not a policy; write ps.block()")
    return {"when_full": value}


def _route(value: object) -> dict[str, object]:
    if value not in _ROUTES:
        raise ValueError(f"{value!r} is not a route; write one of {', '.join(_ROUTES)}")
    return {"route": value}


def _read_int(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        return text


def _read_workers(text: str) -> object:
    least, dots, most = text.partition("..")
    return (_read_int(least), _read_int(most)) if dots else _read_int(text)


def _read_word(words: Mapping[str, object]) -> Callable[[str], object]:
    return lambda text: words.get(text.strip().lower(), text)


def _read_policy(text: str) -> object:
    make = _POLICIES.get(text.strip())
    if make is None:
        raise ValueError(f"{text!r} is not a policy; write {', '.join(_POLICIES)}")
    return make()


def _no_text(text: str) -> object:
    raise ValueError(f"{text!r} does not name a class; set retry_on in the code, or as a class in settings=")


STAGE_OPTIONS: Mapping[str, Option] = {
    "workers": Option(_workers, _read_workers),
    "ordered": Option(_ordered, _read_word({"true": True, "false": False})),
    "concurrency": Option(_count("concurrency", 1), _read_int),
    "on_error": Option(_on_error, _read_policy),
    "retries": Option(_count("retries", 0), _read_int),
    "retry_delay": Option(_duration("retry_delay_s")),
    "retry_delay_max": Option(_duration("retry_delay_max_s")),
    "retry_on": Option(_retry_on, _no_text),
    "timeout": Option(_timeout, _read_word({"none": None})),
    "max_restarts": Option(_max_restarts),
    "unavailable_for": Option(_duration("unavailable_for_s")),
    "row_output_max": Option(_row_output_max),
    "state": Option(_state, _read_word({"memory": StateBackend("memory"), "rocksdict": rocksdict()})),
}
EDGE_OPTIONS: Mapping[str, Option] = {
    "memory": Option(_memory),
    "when_full": Option(_when_full, _read_word({"block": block()})),
    "route": Option(_route),
    "batch_rows": Option(_count("batch_rows", 1), _read_int),
    "linger": Option(_duration("linger_s")),
}
_NAMES = (*STAGE_OPTIONS, *(f"edge.{name}" for name in EDGE_OPTIONS))


def resolve(stages: Stages, settings: Mapping[str, object]) -> tuple[dict[int, Resolved], list[Mistake]]:
    """Every stage's options, by the stage's number; a bad one keeps its default and is a mistake."""
    mistakes = list(_unknown(stages, settings))
    resolved = {}
    for number, stage in stages.by_number.items():
        resolved[number], wrong = _resolve_stage(stage, settings)
        mistakes += wrong
    return resolved, mistakes


def _resolve_stage(stage: Stage, settings: Mapping[str, object]) -> tuple[Resolved, list[Mistake]]:
    mistakes: list[Mistake] = []
    numbers: dict[str, dict[str, object]] = {"": {}, "edge.": {}}
    in_code = _in_code(stage)
    given = set(in_code)
    for name, value in in_code.items():
        try:
            numbers["edge." if name.startswith("edge.") else ""] |= _option(name).check(value)
        except ValueError as error:
            mistakes.append(mistake_from(stage.where, name, error))
    for name, value in _in_settings(stage, settings):
        given.add(name)
        try:
            numbers["edge." if name.startswith("edge.") else ""] |= _checked(_option(name), value)
        except ValueError as error:
            mistakes.append(mistake_from(stage.where, f"setting {stage.name}.{name}", error))
    stage_settings = StageSettings(**numbers[""])  # type: ignore[arg-type]
    edge_settings = EdgeSettings(**numbers["edge."])  # type: ignore[arg-type]
    return Resolved(stage_settings, edge_settings, frozenset(given), frozenset(in_code)), mistakes


def _checked(option: Option, value: object) -> dict[str, object]:
    return option.check(option.from_text(value.strip()) if isinstance(value, str) else value)


def _option(name: str) -> Option:
    return EDGE_OPTIONS[name.removeprefix("edge.")] if name.startswith("edge.") else STAGE_OPTIONS[name]


def _in_code(stage: Stage) -> dict[str, object]:
    """The options that the user wrote at a stage; of an edge those that differ from the defaults."""
    opener = stage.opener
    if isinstance(opener, ResultsCall):
        return {}
    options = dict(opener.options)
    if not isinstance(opener, SourceCall):
        options |= {
            f"edge.{name}": getattr(opener.edge, name)
            for name in Edge.__struct_fields__
            if getattr(opener.edge, name) != getattr(DEFAULT_EDGE, name)
        }
    return options


def _in_settings(stage: Stage, settings: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        name = key.removeprefix(stage.name + ".")
        if name != key and name in _NAMES:
            yield name, value


def _unknown(stages: Stages, settings: Mapping[str, object]) -> Iterator[Mistake]:
    """Settings that name no stage or no option of it."""
    where = stages.graph.where
    named = {stage.name: stage for stage in stages.by_number.values()}
    for key in settings:
        stage_name, _, option = str(key).partition(".")
        stage = named.get(stage_name)
        if not option:
            yield mistake(where, f"setting {key!r} names no option", "write it as stage.option, like enrich.workers")
        elif stage is None:
            yield mistake(where, f"setting {key!r}: there is no stage {stage_name!r}", did_you_mean(stage_name, named))
        else:
            yield from _unknown_option(stage, str(key), option)


def _unknown_option(stage: Stage, key: str, option: str) -> Iterator[Mistake]:
    if option not in _NAMES:
        yield mistake(stage.where, f"setting {key!r}: there is no option {option!r}", did_you_mean(option, _NAMES))
