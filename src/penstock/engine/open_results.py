"""Which runs have their rows read in this process: whoever would run one of them again is told what to close first.

The lock of the run directory decides; this only says why it is taken, and waits where nobody reads any more.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.errors import AlreadyRunning

if TYPE_CHECKING:
    from penstock.engine.deployment import Deployment
    from penstock.engine.handle import Handle
    from penstock.engine.results import Results

_ENDING_S = 60.0
_results: weakref.WeakValueDictionary[Path, Results[Any]] = weakref.WeakValueDictionary()
_handles: dict[Path, Handle] = {}
"""Of those results, until their run directory is let go of, which is later than the end while rows are read. Not by
weak references: the collector clears them before it tells results that they are lost, and so whoever waits would not
find the run that they stop."""


def opened(results: Results[Any]) -> None:
    """Results were made in this process."""
    handle, run_dir = results.handle, results.handle.run_dir
    _results[run_dir], _handles[run_dir] = results, handle
    handle.on_release(partial(_let_go, run_dir, handle))


def _let_go(run_dir: Path, handle: Handle) -> None:
    if _handles.get(run_dir) is handle:
        del _handles[run_dir]


def deployed(pipeline: str, deploy: Callable[[], Deployment]) -> Deployment:
    """What `deploy` gives. A run whose results were lost or are being closed here is waited for.

    Raises `AlreadyRunning`; where results of it are open in this process, it says so.
    """
    try:
        return deploy()
    except AlreadyRunning as refused:
        running = refused
    gc.collect()  # results may be lost in a cycle, and hold the run until they are found
    if _is_read(running.run_dir):
        raise AlreadyRunning(running.pid, running.run_dir, read_by_caller=pipeline) from None
    ending = _handles.get(running.run_dir)
    if ending is not None and not (ending.is_owner and ending.wait_for_release(_ENDING_S)):
        raise running
    return deploy()  # what was lost here has let go of it by now; else it is refused once more


def _is_read(run_dir: Path) -> bool:
    results = _results.get(run_dir)
    return results is not None and results.is_open and results.handle.is_owner
