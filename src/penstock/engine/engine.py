"""The driver: deploys a plan, starts its supervisor, and gives the caller a handle, a report or rows.

Nothing is imported here that the start of a supervisor does not need (see `deploy`).
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from penstock.engine import open_results
from penstock.engine.deploy import deploy
from penstock.standard_streams import is_terminal, tell

if TYPE_CHECKING:
    from penstock.checkpoint_options import CheckpointOptions
    from penstock.engine.deployment import Deployment
    from penstock.engine.early_supervisor import EarlySupervisor
    from penstock.engine.handle import Handle
    from penstock.engine.results import Results
    from penstock.metrics.progress import Progress
    from penstock.plan.plan import Plan
    from penstock.report import Report
    from penstock.slot.records.life import Crash

log = logging.getLogger("penstock.engine")
_DRAIN_S = 30.0
_PROGRESS_S = 0.25


def start(
    plan: Plan, *, fresh: bool = False, run_dir: Path | str | None = None, state_dir: Path | str | None = None,
    crashes: Mapping[str, tuple[Crash, ...]] | None = None, checkpoint: CheckpointOptions | None = None,
    from_checkpoint: str = "", early: EarlySupervisor | None = None,
) -> Handle:
    """Deploy and start; returns when every worker was born. `crashes` are a test's, by stage; `early`: see `Order`."""
    handle = _handle(_deployed(
        plan, fresh=fresh, run_dir=run_dir, state_dir=state_dir, crashes=crashes, checkpoint=checkpoint,
        from_checkpoint=from_checkpoint, early=early,
    ))
    with _left_if_interrupted(handle):
        handle.wait_until_running()
    return handle


def run(
    plan: Plan, *, fresh: bool = False, run_dir: Path | str | None = None, state_dir: Path | str | None = None,
    progress: bool | None = None, crashes: Mapping[str, tuple[Crash, ...]] | None = None,
    checkpoint: CheckpointOptions | None = None, from_checkpoint: str = "", early: EarlySupervisor | None = None,
) -> Report:
    """Start and wait. SIGINT, SIGTERM and SIGHUP drain; a second SIGINT or SIGTERM stops.

    A pipeline without an end then returns; one that was cut short raises `KeyboardInterrupt` or `SystemExit`
    (4: drained, 5: stopped), with the report in its attribute `report`.
    """
    with _signals() as signals:
        handle = _handle(_deployed(
            plan, fresh=fresh, run_dir=run_dir, state_dir=state_dir, crashes=crashes, signals=signals,
            checkpoint=checkpoint, from_checkpoint=from_checkpoint, early=early,
        ))
        shown = _progress(handle, progress)
        try:
            asked = 0
            while True:
                wanted = _asked_for(signals)
                if wanted > asked:  # before the first wait, too: a short run may be over after it
                    asked = wanted
                    _ask(handle, signals, shown)
                if handle.wait_a_while(_PROGRESS_S):
                    break
                if signal.SIGHUP not in signals:  # its terminal is gone
                    _show_progress(handle, shown)
        except BaseException:
            handle.leave()  # something broke here, and nobody asked for a stop: the next run resumes
            handle.wait_a_while(60.0)
            raise
        finally:
            if shown is not None:
                shown.close()
    report = handle.report()
    if report.dead_letters and progress is None:  # who chose what is shown has the report to show
        rows = "1 row" if report.dead_letters == 1 else f"{report.dead_letters:,} rows"
        log.warning("%s: %s set aside; look at them: penstock dead-letters list %s", plan.pipeline, rows, plan.pipeline)
    if signals and (handle.cut_short or report.outcome == "stopped") and (plan.bounded or report.outcome == "stopped"):
        code = 5 if report.outcome == "stopped" else 4
        cut: BaseException = KeyboardInterrupt() if signals[0] == signal.SIGINT else SystemExit(code)
        cut.report = report  # type: ignore[attr-defined]
        raise cut
    return report


def results(
    plan: Plan, *, fresh: bool = False, run_dir: Path | str | None = None, state_dir: Path | str | None = None,
    early: EarlySupervisor | None = None,
) -> Results[Any]:
    """Start a plan that has one stage read by the caller, and give its rows. Raises `AlreadyRunning`."""
    deployment = _deployed(plan, fresh=fresh, run_dir=run_dir, state_dir=state_dir, early=early)
    handle = _handle(deployment)
    with _left_if_interrupted(handle):
        from penstock.engine.results import Results

        given: Results[Any] = Results(handle, deployment)
        open_results.opened(given)
    return given


def _deployed(
    plan: Plan, *, fresh: bool, run_dir: Path | str | None, state_dir: Path | str | None,
    crashes: Mapping[str, tuple[Crash, ...]] | None = None, signals: Sequence[int] = (),
    checkpoint: CheckpointOptions | None = None, from_checkpoint: str = "", early: EarlySupervisor | None = None,
) -> Deployment:
    return open_results.deployed(
        plan.pipeline,
        lambda: deploy(
            plan, fresh=fresh, run_dir=run_dir, state_dir=state_dir, crashes=crashes, signals=signals,
            checkpoint=checkpoint, from_checkpoint=from_checkpoint, early=early,
        ),
    )


def _handle(deployment: Deployment) -> Handle:
    try:
        from penstock.engine.handle import Handle  # by now the supervisor is under way, and needs longer

        return Handle(deployment)
    except BaseException:  # a Ctrl-C, or no thread can be started
        deployment.give_up()
        raise


@contextmanager
def _left_if_interrupted(handle: Handle) -> Iterator[None]:
    """Whoever is interrupted here gets nothing to end the run by: it is left to the next one."""
    try:
        yield
    except BaseException:
        if not handle.over:
            handle.leave()
            handle.wait_a_while(60.0)
        handle.read_through()
        raise


def _asked_for(signals: Sequence[int]) -> int:
    """0: nothing, 1: a drain, 2: a stop. A hang-up never hurries: a shell sends it twice, or beside SIGTERM."""
    urgent = sum(number != signal.SIGHUP for number in signals)
    return min(urgent, 2) or min(len(signals), 1)


def _ask(handle: Handle, signals: Sequence[int], shown: Progress | None) -> None:
    if _asked_for(signals) == 2:
        handle.ask_to_stop()
        return
    handle.ask_to_drain(_DRAIN_S)
    if signal.SIGHUP in signals:
        log.info("draining: the terminal hung up")  # where there is a log: who hung up sees nothing more
    else:
        _say("draining; interrupt again to stop at once", shown)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT, SIGTERM and SIGHUP in the main thread; elsewhere they are the program's own affair.

    A SIGHUP that is ignored (`nohup`) stays so.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, hear) for number in numbers}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _progress(handle: Handle, wanted: bool | None) -> Progress | None:
    stream = sys.stderr
    terminal = is_terminal(stream)
    if stream is None or not (terminal if wanted is None else wanted):
        return None
    from penstock.metrics.progress import Progress
    from penstock.metrics.snapshot import RunGone, take_snapshot

    try:
        totals = take_snapshot(handle.run_dir).totals()
    except RunGone:
        totals = {}
    return Progress(stream, is_terminal=terminal, totals=totals)


def _say(text: str, shown: Progress | None) -> None:
    if shown is not None:
        shown.close()  # the text stands in a line of its own
    if log.hasHandlers() and log.isEnabledFor(logging.INFO):
        log.info("%s", text)
    else:
        tell(f"penstock: {text}")


def _show_progress(handle: Handle, shown: Progress | None) -> None:
    if shown is not None:
        from penstock.metrics.snapshot import RunGone

        try:
            shown.update(handle.status())
        except RunGone:
            return  # it has ended this very moment
