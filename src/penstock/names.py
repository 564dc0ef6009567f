"""Names of pipelines and stages: what they may look like, how one is made of a function, which one was meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from penstock.signatures.callables import fn_name

NAME = re.compile(r"[a-z][a-z0-9_-]*")
PIPELINE_CHARACTERS = 200
STAGE_CHARACTERS = 100
"""Files are named by names, those of a queue by two of them; no file's name may have more than 255 bytes."""


def is_name(text: object) -> bool:
    """True: fit for a pipeline or a stage, and so for a setting, a directory and a metric."""
    return isinstance(text, str) and NAME.fullmatch(text) is not None


def label_of(fn: Callable[..., Any]) -> str:
    """A stage's name made of a function's: `Save` gives `save`, `partial(add)` gives `add`."""
    inner = fn_name(fn).removeprefix("partial(").rstrip(")")
    text = re.sub(r"[^a-z0-9_-]+", "_", inner.rsplit(".", 1)[-1].lower()).strip("_-0123456789")
    return text or "function"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the nearest known one, or all of them."""
    import difflib  # only for mistakes: workers, which need `label_of`, would import it at every start

    names = list(known)
    near = difflib.get_close_matches(name, names, 1, 0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there is only {names[0]}" if len(names) == 1 else "there are " + ", ".join(names)
