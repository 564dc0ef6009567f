"""The end of a process that was forked: with an exit code, and without what the interpreter does at its own end.

Exit handlers and open files belong to the process that it was forked from. Workers end so, and children of user code.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

UNEXPECTED = 70
"""The exit code of a worker that could not even say what went wrong (EX_SOFTWARE)."""


def end_with(run: Callable[[], int], *, otherwise: int = UNEXPECTED) -> NoReturn:
    """Exit with the code that `run` gives; where it raises, print that and exit with `otherwise`."""
    code = otherwise
    try:
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
