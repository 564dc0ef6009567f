"""The state of a `process` operator, as its author declares it: a class with a field for each thing that is kept.

    class Cart(ps.KeyState):
        total = ps.ValueState(0)
        items = ps.ListState(str)
        prices = ps.MapState(str, float)

An operator is given an instance of it, which shows the key of the row in progress.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Protocol, Self, TypeVar, overload

from penstock.event_time import NO_WATERMARK, moments
from penstock.operators.frozen import is_frozen
from penstock.operators.keyed_state import ListEntry, Lists, MapEntry, Maps, StageState, Values
from penstock.options import Duration, parse_duration

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_MOMENT: Final = moments("s")
_LIST_REMEDY: Final = (
    "it has append, extend, remove_first(count) and clear; keep a list that changes otherwise in ps.ValueState([])"
)


class Timers(Protocol):
    """What sets the timers of the key in progress."""

    def set(self, key: Any, at_us: int) -> None: ...

    def cancel(self, key: Any, at_us: int) -> None: ...

    def set_wall(self, key: Any, at_us: int | None) -> None: ...

    def of(self, key: Any) -> list[int]: ...

    def forget(self, key: Any) -> None: ...


class Field:
    """Base of what may be declared."""

    name: str

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def shelf(self, state: StageState) -> Any:
        """Where it is kept."""
        raise NotImplementedError


class ValueState(Field, Generic[T]):
    """One value, `initial` at first. What was changed in place counts as written, too."""

    def __init__(self, initial: T, *, type: Any = None) -> None:
        """`type`: the annotation of a value, where that of `initial` does not say it; a change of it is refused."""
        self.initial = initial
        self.type: Any = (Any if initial is None else initial.__class__) if type is None else type
        self._is_frozen = is_frozen(initial)

    def shelf(self, state: StageState) -> Values:
        return state.values(self.name, self.type)

    @overload
    def __get__(self, instance: None, owner: type) -> ValueState[T]: ...
    @overload
    def __get__(self, instance: KeyState, owner: type) -> T: ...
    def __get__(self, instance: KeyState | None, owner: type) -> ValueState[T] | T:
        if instance is None:
            return self
        shelf: Values = instance._shelves[self.name]
        entry = shelf.find(instance._key)
        if entry is None:
            if self._is_frozen:
                return self.initial
            entry = shelf.add(instance._key, copy.deepcopy(self.initial))
        value: T = entry.value
        if not is_frozen(value):  # whoever gets it may change it in place
            shelf.keep(entry)
            shelf.touch(entry)
        return value

    def __set__(self, instance: KeyState, value: T) -> None:
        shelf: Values = instance._shelves[self.name]
        entry = shelf.find(instance._key)
        if entry is None:
            shelf.add(instance._key, value)
        elif entry.value is not value:
            shelf.keep(entry)
            entry.value = value
            shelf.touch(entry)

    def __delete__(self, instance: KeyState) -> None:
        _remove(instance, self.name)


class ListState(Field, Generic[T]):
    """A list of which only what is appended is stored, and how much of its front was removed."""

    def __init__(self, type: type[T]) -> None:
        self.type = type

    def shelf(self, state: StageState) -> Lists:
        return state.lists(self.name, self.type)

    def __set__(self, instance: KeyState, value: KeptList[T]) -> None:
        if not isinstance(value, KeptList) or not value.is_of(instance._shelves[self.name], instance._key):
            raise TypeError(f"{self.name} is a list of state, which is not assigned to; {_LIST_REMEDY}")

    @overload
    def __get__(self, instance: None, owner: type) -> ListState[T]: ...
    @overload
    def __get__(self, instance: KeyState, owner: type) -> KeptList[T]: ...
    def __get__(self, instance: KeyState | None, owner: type) -> ListState[T] | KeptList[T]:
        return self if instance is None else KeptList(instance._shelves[self.name], instance._key)

    def __delete__(self, instance: KeyState) -> None:
        _remove(instance, self.name)


class MapState(Field, Generic[K, V]):
    """A dict of which only the items that change are stored."""

    def __init__(self, key: type[K], value: type[V]) -> None:
        self.type = value

    def shelf(self, state: StageState) -> Maps:
        return state.maps(self.name, self.type)

    def __set__(self, instance: KeyState, value: KeptMap[K, V]) -> None:
        if not isinstance(value, KeptMap) or not value.is_of(instance._shelves[self.name], instance._key):
            raise TypeError(
                f"{self.name} is a map of state, which is not assigned to; "
                f"write state.{self.name}.clear() and state.{self.name}.update(...)"
            )

    @overload
    def __get__(self, instance: None, owner: type) -> MapState[K, V]: ...
    @overload
    def __get__(self, instance: KeyState, owner: type) -> KeptMap[K, V]: ...
    def __get__(self, instance: KeyState | None, owner: type) -> MapState[K, V] | KeptMap[K, V]:
        return self if instance is None else KeptMap(instance._shelves[self.name], instance._key)

    def __delete__(self, instance: KeyState) -> None:
        _remove(instance, self.name)


def _remove(instance: KeyState, name: str) -> None:
    shelf = instance._shelves[name]
    entry = shelf.find(instance._key)
    if entry is not None:
        shelf.remove(entry)


class KeptList(Sequence[T]):
    """The list of one key."""

    __slots__ = ("_key", "_shelf")

    def __init__(self, shelf: Lists, key: Any) -> None:
        self._shelf = shelf
        self._key = key

    def _entry(self) -> ListEntry | None:
        return self._shelf.find(self._key)

    def is_of(self, shelf: Lists, key: Any) -> bool:
        return self._shelf is shelf and self._key is key

    def _values(self) -> list[T]:
        """To be read; elements that may be changed in place count as changed."""
        entry = self._entry()
        if entry is None:
            return []
        values: list[T] = entry.value
        if values and not is_frozen(values[0]):
            self._shelf.keep(entry)
            self._shelf.touch(entry)
        return values

    def __len__(self) -> int:
        entry = self._entry()
        return 0 if entry is None else len(entry.value)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._values()[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self._values()[:])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, KeptList):
            return list(self) == list(other)
        return list(self) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))

    def __iadd__(self, values: Iterable[T]) -> Self:
        self.extend(list(values))
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a list of state stays with its key and changes with it; give list(...) of it away")

    if not TYPE_CHECKING:  # for mypy, these are not there

        def __getattr__(self, name: str) -> NoReturn:
            remedy = f"; {_LIST_REMEDY}" if hasattr(list, name) and not name.startswith("__") else ""
            raise AttributeError(f"a list of state has no {name!r}{remedy}", name=name, obj=self)

        def __setitem__(self, index: object, value: object) -> NoReturn:
            raise TypeError(f"an element of a list of state cannot be replaced; {_LIST_REMEDY}")

        def __delitem__(self, index: object) -> NoReturn:
            raise TypeError(f"an element of a list of state cannot be deleted; {_LIST_REMEDY}")

    def append(self, value: T) -> None:
        self._shelf.append(self._key, value)

    def extend(self, values: Iterable[T]) -> None:
        for value in values:
            self._shelf.append(self._key, value)

    def remove_first(self, count: int) -> None:
        """Remove this many from the front, or as many as there are."""
        entry = self._entry()
        if entry is not None:
            self._shelf.evict(entry, count)

    def clear(self) -> None:
        entry = self._entry()
        if entry is not None:
            self._shelf.remove(entry)


class KeptMap(MutableMapping[K, V]):
    """The dict of one key."""

    __slots__ = ("_key", "_shelf")

    def __init__(self, shelf: Maps, key: Any) -> None:
        self._shelf = shelf
        self._key = key

    def _entry(self) -> MapEntry | None:
        return self._shelf.find(self._key)

    def is_of(self, shelf: Maps, key: Any) -> bool:
        return self._shelf is shelf and self._key is key

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a map of state stays with its key and changes with it; give dict(...) of it away")

    def __getitem__(self, field: K) -> V:
        entry = self._entry()
        if entry is None:
            raise KeyError(field)
        value: V = entry.value[field]
        if not is_frozen(value):  # whoever gets it may change it in place
            self._shelf.keep(entry)
            self._shelf.put(self._key, field, value)
        return value

    def __contains__(self, field: object) -> bool:
        entry = self._entry()
        return entry is not None and field in entry.value

    def __setitem__(self, field: K, value: V) -> None:
        self._shelf.put(self._key, field, value)

    def __delitem__(self, field: K) -> None:
        entry = self._entry()
        if entry is None or field not in entry.value:
            raise KeyError(field)
        self._shelf.drop(entry, (field,))

    def __iter__(self) -> Iterator[K]:
        entry = self._entry()
        return iter(() if entry is None else list(entry.value))

    def __len__(self) -> int:
        entry = self._entry()
        return 0 if entry is None else len(entry.value)

    def clear(self) -> None:
        entry = self._entry()
        if entry is not None:
            self._shelf.remove(entry)


class _OnlyWhatIsDeclared(type):
    """Makes classes whose instances have no attributes of their own: these would be the same for all keys, and die."""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **kwds: Any) -> MutableMapping[str, object]:
        return {"__slots__": ()}


class KeyState(metaclass=_OnlyWhatIsDeclared):
    """Base of classes that declare what a `process` operator keeps for each key. Made by penstock, without arguments.

    Only to be used within the call that it is given to. What is not declared cannot be assigned to.
    """

    __slots__ = ("_key", "_shelves", "_stage", "_timers")

    def __init__(self) -> None:
        self._key: Any = None
        self._shelves: dict[str, Any] = {}
        self._timers: Timers
        self._stage: StageState

    if not TYPE_CHECKING:  # for mypy, it is not there

        def __getattr__(self, name: str) -> NoReturn:
            told = f"{type(self).__name__} declares no {name!r}; declare it: {name} = ps.ValueState(...)"
            raise AttributeError(told, name=name, obj=self)

    @property
    def key(self) -> Any:
        """The key of the row, or of the timer."""
        return self._key

    @property
    def watermark(self) -> float | None:
        """Event time of the stage, in seconds since 1970: rows that are older are late. None: it is not known yet."""
        watermark_us = self._stage.watermark_us
        return None if watermark_us == NO_WATERMARK else watermark_us / 1e6

    def set_timer(self, at: float | datetime) -> None:
        """Have `on_timer(state, at)` called for this key once event time has reached `at`: seconds since 1970 (UTC).

        A key may have any number of timers, one for each time. One that is set for a time that has passed fires when
        event time moves on next. Raises `TypeError` and `ValueError` for what is no moment.
        """
        self._timers.set(self._key, _MOMENT(at))

    def cancel_timer(self, at: float | datetime) -> None:
        """Take a timer back; one that is not there is no error."""
        self._timers.cancel(self._key, _MOMENT(at))

    def timers(self) -> list[float]:
        """When the timers of this key are due, the first one first."""
        return [at_us / 1e6 for at_us in self._timers.of(self._key)]

    def set_wall_timer(self, after: Duration) -> None:
        """Have `on_wall_timer(state, time)` called for this key after this long, by the clock on the wall.

        A key has one such timer at most: setting it again moves it.
        """
        self._timers.set_wall(self._key, self._stage.now_us() + round(parse_duration(after) * 1e6))

    def cancel_wall_timer(self) -> None:
        """Take it back, if it is set."""
        self._timers.set_wall(self._key, None)

    def clear(self) -> None:
        """Forget the key: all that is kept for it, and its timers."""
        for name in self._shelves:
            _remove(self, name)
        self._timers.forget(self._key)


def fields_of_state(declared: type[KeyState]) -> dict[str, Field]:
    """What a class declares, by name, over its bases."""
    found: dict[str, Field] = {}
    for base in reversed(declared.__mro__):
        found.update({name: value for name, value in vars(base).items() if isinstance(value, Field)})
    return found


def bound_state(declared: type[KeyState], state: StageState, timers: Timers) -> KeyState:
    """An instance over the shelves of an operator."""
    made = declared()
    made._stage, made._timers = state, timers
    made._shelves = {name: field.shelf(state) for name, field in fields_of_state(declared).items()}
    return made


def seconds(at_us: int) -> float:
    """A time as operators are given it."""
    return at_us / 1e6
