"""`window(...).top(n, by=)`: the rows of each window in which something is largest, a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from penstock.operators.verb import Becomes, CallText, Operator
from penstock.operators.windowed.window_rows import Ranked, ranked


class RankRows(Operator, frozen=True):
    """Takes a window's best rows apart; comes behind an `Aggregate` that collects them."""

    verb: ClassVar[str] = "rank"
    has_function: ClassVar[bool] = False
    becomes: ClassVar[Becomes] = Becomes.ROWS
    code_names: ClassVar[Mapping[str, Any]] = {"ranked": ranked}

    def code(self, call: CallText, row: str) -> str:
        return f"ranked({row})"

    @property
    def name(self) -> str:
        return "rank()"

    def row_given(self, before: Any) -> Any:
        return Ranked
