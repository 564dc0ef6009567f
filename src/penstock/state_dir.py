"""Where penstock keeps what must outlive a run (dead letters); the CLI and the engine resolve it here."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.errors import NotPrivate
from penstock.private_files import require_safe_place
from penstock.working_directory import resolved

VARIABLE = "PENSTOCK_STATE_DIR"


def default_state_dir() -> Path:
    """The first place that is safe: `$XDG_STATE_HOME/penstock`, `~/.local/state/penstock`, one in `/var/tmp`.

    Not made here. Others can write above the last one, but cannot take away what is there.
    """
    places = _places()
    return next((place for place in places[:-1] if unsafe(place) is None), places[-1])


def unsafe(place: Path) -> NotPrivate | None:
    """Why others could put there what is not ours; None: they cannot."""
    try:
        require_safe_place(place)
    except NotPrivate as objection:
        return objection
    return None


def passed_over() -> NotPrivate | None:
    """Why the state is not where it would be otherwise; None: it is there."""
    return unsafe(_places()[0])


def resolve_state_dir(state_dir: Path | str | None) -> Path:
    """What the user named (or `PENSTOCK_STATE_DIR` names), as an absolute path without links, else the default."""
    named = os.environ.get(VARIABLE) if state_dir is None else state_dir
    return resolved(named) if named else default_state_dir()


def positions_place(state_dir: Path, run_name: str) -> Path:
    """Where it is kept how far a run came that was told to end. `run_name`: that of its run directory."""
    return state_dir / "positions" / run_name


def known_store_place(state_dir: Path, run_name: str) -> Path:
    """Where it is noted what is known of the store that the pipeline had last."""
    return state_dir / "stores" / run_name


def _places() -> list[Path]:
    own = f"penstock-{os.getuid()}"
    home = _home_of_state()
    found = [] if home is None else [home / "penstock"]
    return [place.resolve() for place in (*found, Path("/var/tmp", own))]


def _home_of_state() -> Path | None:
    home = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(home):  # the XDG specification says that a relative path is to be ignored
        return Path(home)
    try:
        return Path.home() / ".local" / "state"
    except RuntimeError:  # a user without a name, and so without a home
        return None
