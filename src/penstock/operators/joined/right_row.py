"""How a stage that joins two streams tells their rows apart: those of the right one come in an envelope."""

from __future__ import annotations

from typing import Any

import msgspec


class RightRow(msgspec.Struct, frozen=True):
    """A row of the stream that is joined to the stage's own. Made in the stage's worker, where the row is read."""

    row: Any
