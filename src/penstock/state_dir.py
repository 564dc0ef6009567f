"""Where penstock keeps what must outlive a run (dead letters); the CLI and the engine resolve it here."""

from __future__ import annotations

import os
from pathlib import Path


def default_state_dir() -> Path:
    """`$XDG_STATE_HOME/penstock`, else `~/.local/state/penstock`. Not made here."""
    home = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    base = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state"
    return base / "penstock"


def resolve_state_dir(state_dir: Path | str | None) -> Path:
    """What the user named, as an absolute path, else the default."""
    return default_state_dir() if state_dir is None else Path(state_dir).expanduser().absolute()
