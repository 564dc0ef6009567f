"""What every verb is to the engine: the user's function, where it was written, and what the verb makes of it.

A verb is one file beside this one. It says what it does with a row, with a batch, and with types; the checks, the plan
and the programs that run rows ask it here, and none of them knows verbs by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Final, Self, TypeAlias

import msgspec

from penstock.batch import Lines
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.signatures.annotations import returned_by, shown, taken_by
from penstock.signatures.callables import dir_of_instances, fn_name, function_of

CallText: TypeAlias = Callable[[str], str]
"""Makes the text of a call of `fn`: `call("row")`."""


TIME_MODULES: Final = ("penstock.slot.running.timed_rows",)
class Asked(msgspec.Struct, frozen=True):
    """Something out there that an operator reads, and that can say what is wrong with it before anything starts."""

    label: str
    check: Callable[[], Sequence[str]]
    """As `Source.check_source`."""


STATE_MODULES: Final = ("penstock.slot.state.slot_state", "penstock.operators.at_end", *TIME_MODULES)


class Shape(Enum):
    """How rows travel into or out of an operator."""

    ROWS = "rows"
    COLUMNS = "columns"


class Becomes(Enum):
    """What becomes of one row, by what `Operator.code` gives."""

    ROW = "row"
    """One row is passed on: what the code gives."""
    KEPT = "kept"
    """The row is passed on as it is if the code gives something true; otherwise nothing is."""
    ROWS = "rows"
    """What the code gives is iterated over: all of that is passed on, or none of it."""
    NOTHING = "nothing"
    """The code is run for its effect."""
    PASSED = "passed"
    """The row is passed on as it is; what the code gives, a moment, is noted with what the row gives out."""


class Operator(msgspec.Struct, frozen=True):
    """Base of the verbs. Here stands what holds for most of them: one row in, one row out.

    `fn` is a function, an instance with `__call__`, or a class whose instances are callable (made in each worker).
    """

    fn: Any
    where: str
    """file:line of the call that wrote it."""

    verb: ClassVar[str] = ""
    arguments: ClassVar[tuple[str, ...]] = ("the row",)
    """What a call of `fn` is given."""
    has_function: ClassVar[bool] = True
    """False: `fn` is None, and nothing of the user's is called."""

    @property
    def name(self) -> str:
        """`map(f)`, as messages show it."""
        return f"{self.verb}({fn_name(self.fn)})"

    # What it does with a row. A program made of this text calls user functions and nothing else.

    becomes: ClassVar[Becomes] = Becomes.ROW
    awaits: ClassVar[bool] = False
    """True: `fn` may be `async def`."""
    code_names: ClassVar[Mapping[str, Any]] = {}
    """What `code` uses, apart from the call and the row."""

    def code(self, call: CallText, row: str) -> str:
        """An expression in which `fn` is called for one row. `row` is a name, and may be used more than once."""
        return call(row)

    def rows_of_lines(self, fn: Callable[[Any], Any]) -> Callable[[Lines], list[Any] | None] | None:
        """For `Becomes.ROW`: what gives the rows of a whole block of lines at once, without calling user code.

        None: there is no such thing. If it gives None, the lines are taken one by one, which tells which of them fails.
        """
        return None

    # What it does with a batch: `batch_operator.BatchOperator` has more.

    takes: ClassVar[Shape] = Shape.ROWS
    gives: ClassVar[Shape] = Shape.ROWS
    batch: ClassVar[bool] = False
    """True: `fn` is given many rows at once."""

    waits: ClassVar[bool] = False
    """True: what its function is asking may be down; if it raises `Unavailable`, the worker waits, and no row fails."""

    # What it does with types, and what can be wrong with its function. `typing.Any` is "not known".

    needs_result: ClassVar[str] = "return the row"
    """What to write in a function that is annotated to return None; empty: None is all right."""
    unawaited: ClassVar[str] = ""
    """What a coroutine that nobody awaits would do here, where that is not obvious."""

    @property
    def row_taken(self) -> Any:
        """The annotation of a row that it can be given."""
        return taken_by(self.fn)

    def row_given(self, before: Any) -> Any:
        """The annotation of a row that it gives when it is given rows of `before`."""
        given = returned_by(self.fn)
        return Any if given is None else given  # None: a mistake of its own, not of the operator behind it

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        """The fields of a row that it looks at; None: it may need the whole row.

        A verb that does nothing with a row but call `fn`, and pass it on, gives what `signatures.fields_read` says.
        """
        return None

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        """What is wrong with its own settings and function, and what to write instead. `name`: as messages show it."""
        return iter(())

    def knowing(self, row_type: Any) -> Self:
        """As it stands in a plan, where the annotation of the rows that it is given is known."""
        return self

    def mistakes_with(self, row_type: Any) -> Iterator[tuple[str, str]]:
        """What is wrong with it for rows of a type, as far as it knows more of them than `row_taken` says."""
        return iter(())

    @property
    def asks(self) -> Sequence[Asked]:
        """What it reads beside its rows."""
        return ()

    @property
    def carries(self) -> Sequence[Any]:
        """What else of it than `fn` must be copied to the workers and may be the user's."""
        return ()

    def remedy_for_rows(self, given: Any) -> str:
        """What to write where rows of `given` come, and `row_taken` cannot be one of these."""
        return f"pass a function that takes {shown(given)}, or put a map before it that returns {shown(self.row_taken)}"

    # In a worker.

    writes_state: ClassVar[bool] = False
    """True: calls write to state, which is undone for a row that fails later on its way."""

    @property
    def modules(self) -> Sequence[str]:
        """What a worker needs for it, and is imported before workers are forked."""
        return STATE_MODULES if self.uses_state else ()

    @property
    def uses_state(self) -> bool:
        """True: something of it is in the state of the slot, if only at the end."""
        return self.writes_state or self.gives_at_end

    @property
    def made_in_worker(self) -> bool:
        """True: `fn` is a class whose instances are callable; each worker makes its own."""
        return inspect.isclass(self.fn) and "__call__" in dir_of_instances(self.fn)

    @property
    def gives_at_end(self) -> bool:
        """True: `fn` has an `on_end()`, which may give rows once the input is through."""
        if not self.has_function or self.becomes is Becomes.NOTHING or self.writes_state:
            return False
        if inspect.isclass(self.fn) and not self.made_in_worker:
            return False
        return "on_end" in dir_of_instances(self.fn if inspect.isclass(self.fn) else type(self.fn))

    @property
    def is_async(self) -> bool:
        """True: calling it gives an awaitable."""
        return inspect.iscoroutinefunction(function_of(self.fn))

    def function(self) -> Callable[[Any], Any]:
        """What is called in a worker. Called once in each life."""
        made: Callable[[Any], Any] = self.fn() if self.made_in_worker else self.fn
        return made

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> Callable[[Any], Any]:
        """For `writes_state`: what is called in the place of `fn`. It notes each write in `undo` before it is made.

        `state`: the operator's own shelves, whose writes are noted already.
        """
        return fn
