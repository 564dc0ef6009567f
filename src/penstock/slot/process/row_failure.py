"""What the operators of a stage say of a row that failed."""

from __future__ import annotations

import msgspec

from penstock.errors import PenstockError
from penstock.operator import Reject
from penstock.operators.verb import Operator


class Failure(msgspec.Struct, frozen=True):
    """A row that failed: its index in the batch, and what was raised where."""

    index: int
    error: BaseException
    operator: Operator | None


class Unmade(Reject, PenstockError):
    """Columns hold something that cannot be made a row of; another attempt would find the same."""
