"""Promises of `penstock status`, over run directories made by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from run_dirs import SECOND_NS, HandClock, HandmadeRun

from penstock.engine.rundir import FoundRun
from penstock.event_time import END_OF_TIME, NO_WATERMARK, shown_moment
from penstock.metrics.catalogue import Word, watermark_word

Command = Callable[..., Result]


class Machine:
    """The runs that are there."""

    def __init__(self, directory: Path, clock: HandClock) -> None:
        self.directory = directory
        self.clock = clock
        self.runs: list[FoundRun] = []

    def find(self, run_dir: Path | None = None) -> list[FoundRun]:
        return list(self.runs)

    def running(self, name: str, *, write: bool = True) -> HandmadeRun:
        run = HandmadeRun(self.directory / "runs" / name, self.clock, name)
        run.stage("ingest")
        run.stage("enrich", workers=2)
        run.stage("load")
        run.edge("ingest", "enrich", capacity=8 * 1024 * 1024)
        run.edge("enrich", "load", capacity=8 * 1024 * 1024)
        if write:
            run.write()
        self.runs.append(FoundRun(name, run.path, 4711, "running", run.started_s, 1000, str(self.directory)))
        return run

    def left(self, name: str, phase: str = "running", cwd: str = "/home/ann") -> FoundRun:
        path = self.directory / "runs" / f"{name}-{len(self.runs)}"
        path.mkdir(parents=True)
        run = FoundRun(name, path, None, phase, 1_700_000_000.0, 12_900_000, cwd)
        self.runs.append(run)
        return run


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, penstock_command: Command) -> Machine:
    clock = HandClock()
    machine = Machine(tmp_path, clock)
    monkeypatch.setattr("penstock.cli.status.find_runs", machine.find)
    monkeypatch.setattr("penstock.cli.status.SYSTEM_CLOCK", clock)
    return machine


def busy_clicks(machine: Machine) -> HandmadeRun:
    """A run in which something happens between the two looks."""
    run = machine.running("clicks")
    run.add("ingest", {Word.ROWS_IN: 1_234_567, Word.ROWS_OUT: 1_234_567})
    run.add("enrich", {Word.ROWS_IN: 1_000_000, Word.RETRIES: 3, Word.DEAD_LETTERS: 1, Word.RESTARTS: 2}, slot=1)
    (run.path / "last_error" / "enrich").write_text("Traceback\n  in enrich\nValueError: no such user\n")
    oldest_ns = int(machine.clock.wall() * SECOND_NS)
    run.fill("ingest->enrich", queued=7 * 1024 * 1024, rows=50_000, oldest_ns=oldest_ns)

    def pass_time(seconds: float) -> None:
        run.add("ingest", {Word.ROWS_IN: int(20_000 * seconds)})
        run.spend("ingest", busy=seconds * 0.2, blocked=seconds * 0.8)
        run.spend("enrich", slot=0, busy=seconds)
        run.spend("enrich", slot=1, busy=seconds)
        run.spend("load", idle=seconds * 0.9, busy=seconds * 0.1)
        run.observe("load", Word.END_TO_END, 0.34, times=10)
        run.observe("enrich", Word.BATCH_LATENCY, 0.012, times=10)

    machine.clock.on_sleep = pass_time
    return run


def test_a_running_pipeline_is_told_in_full(
    machine: Machine, penstock_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(16))
    busy_clicks(machine)
    result = penstock_command("status")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert result.stdout.startswith("clicks: running, 0 s, process 4711\n")
    assert "ingest 1 1,244,567 20,000 20 % 0 % 80 % -".split() in lines
    assert "enrich 2 1,000,000 0 100 % 0 % 0 % 12.1 ms".split() in lines
    assert "ingest->enrich 50,000 7.0 MiB 88 % 500 ms".split() in lines
    text = " ".join(result.stdout.split())
    assert "enrich is the bottleneck: 100 % busy, its queue is 88 % full; ingest waits 80 % for room" in text
    assert "one more worker would bring about +50 %" in text
    assert "enrich: 1 dead letter, 3 retries, 2 restarts" in result.stdout
    assert "enrich: last error: ValueError: no such user" in result.stdout


def test_event_times_are_shown_with_what_is_waited_for(machine: Machine, penstock_command: Command) -> None:
    run = busy_clicks(machine)
    at, wall_us = watermark_word, int(machine.clock.wall() * 1e6)
    times = Word.EVENT_TIME
    run.set_words("ingest", {times: at(wall_us - 5_000_000), times + 1: 1, times + 3: at(wall_us), times + 4: 2})
    for slot, behind_us in ((0, 65_000_000), (1, 5_000_000)):
        known = {times: at(wall_us - behind_us), times + 1: 1, times + 3: at(wall_us - behind_us), times + 4: 1}
        run.set_words("enrich", {**known, times + 5: slot, Word.LATE: 7}, slot=slot)
    run.set_words("load", {times: at(NO_WATERMARK), times + 1: 1, times + 3: at(END_OF_TIME), times + 4: 2})
    result = penstock_command("status")
    lines = [line.split() for line in result.stdout.splitlines()]
    start = lines.index("event time has come to behind idle".split())
    at_0 = shown_moment((wall_us - 65_000_000) // 1_000_000 * 1_000_000)
    assert [line[:1] for line in lines[start + 1 : start + 7]] == [
        ["ingest"], ["splits"], ["enrich"], ["ingest->enrich"], ["load"], ["enrich->load"]
    ]
    assert lines[start + 3][1:] == [at_0, "65.5", "s", "-"]
    assert lines[start + 4][1:] == [at_0, "65.5", "s", "1", "of", "2"]
    assert lines[start + 5][1:] == ["-", "-", "-"]
    assert lines[start + 6][1:] == ["the", "end", "-", "-"]
    assert "enrich: 1 dead letter, 3 retries, 14 late rows, 2 restarts" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_no_line_is_longer_than_80_columns(machine: Machine, penstock_command: Command) -> None:
    run = HandmadeRun(machine.directory / "runs" / "x", machine.clock, "a-pipeline-with-a-" + "long-" * 20 + "name")
    long = "a-stage-with-a-very-long-name-indeed-that-does-not-fit"
    run.stage(long, workers=128)
    run.stage(long + "2", workers=4)
    run.edge(long, long + "2", capacity=2**40)
    run.write()
    run.add(long, {Word.ROWS_IN: 2**50, Word.DEAD_LETTERS: 2**50, Word.RETRIES: 2**50, Word.RESTARTS: 2**40}, slot=3)
    run.fill(f"{long}->{long}2", queued=2**39, rows=2**45, oldest_ns=1)
    (run.path / "last_error" / long).write_text("E" * 500)
    machine.runs.append(FoundRun("x", run.path, 2**22, "running", 0.0, 0, "/"))
    result = penstock_command("status")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_several_pipelines_are_listed_and_a_name_tells_one_in_full(machine: Machine, penstock_command: Command) -> None:
    machine.running("clicks")
    machine.running("visits")
    listed = penstock_command("status").stdout
    assert "clicks: running" in listed
    assert "visits: running" in listed
    assert "more: penstock status visits" in listed
    assert "ingest->enrich" not in listed
    one = penstock_command("status", "visits").stdout
    assert "ingest->enrich" in one
    assert "clicks" not in one


def test_what_killed_and_failed_runs_left_is_listed_with_what_to_do(
    machine: Machine, penstock_command: Command
) -> None:
    killed = machine.left("clicks")
    machine.left("visits", phase="failed")
    result = penstock_command("status")
    assert result.exit_code == 0
    assert "clicks: left by a killed run of 2023-11-1" in result.stdout
    assert "visits: left by a failed run" in result.stdout
    assert "12.3 MiB" in result.stdout
    assert str(killed.path) in result.stdout
    assert "resumes when run again in /home/ann" in result.stdout
    assert "penstock clean clicks" in result.stdout


def test_an_unknown_name_is_answered_with_the_names_there_are(machine: Machine, penstock_command: Command) -> None:
    machine.running("clicks")
    result = penstock_command("status", "clikcs")
    assert result.exit_code == 2
    assert "there is no run of 'clikcs'; did you mean 'clicks'?" in result.stderr


def test_nothing_to_show_is_said_and_no_error(machine: Machine, penstock_command: Command) -> None:
    result = penstock_command("status")
    assert (result.exit_code, result.stdout) == (0, "nothing is running, and no run was left behind\n")
    assert penstock_command("status", "clicks").exit_code == 2


def test_json_holds_what_runs_and_what_was_left(machine: Machine, penstock_command: Command) -> None:
    busy_clicks(machine)
    left = machine.left("visits")
    told = json.loads(penstock_command("status", "--json").stdout)
    [running] = told["running"]
    assert (running["pipeline"], running["pid"], running["bottleneck"]) == ("clicks", 4711, "enrich")
    assert running["stages"]["ingest"]["rows_in_per_s"] == pytest.approx(20_000)
    assert told["left"][0]["run_dir"] == str(left.path)


def test_a_run_that_ends_between_the_looks_is_not_shown(machine: Machine, penstock_command: Command) -> None:
    run = machine.running("clicks")
    machine.clock.on_sleep = lambda seconds: shutil.rmtree(run.path)
    result = penstock_command("status")
    assert (result.exit_code, result.stdout) == (0, "nothing is running, and no run was left behind\n")


def test_a_run_that_has_written_nothing_yet_is_said_to_start(machine: Machine, penstock_command: Command) -> None:
    machine.running("clicks", write=False)
    assert penstock_command("status").stdout == "clicks: starting, process 4711\n"
    [running] = json.loads(penstock_command("status", "--json").stdout)["running"]
    assert running["phase"] == "starting"


def test_watching_repeats_every_second_until_ctrl_c(machine: Machine, penstock_command: Command) -> None:
    busy_clicks(machine)
    happens = machine.clock.on_sleep
    slept: list[float] = []

    def interrupted_later(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise KeyboardInterrupt
        happens(seconds)

    machine.clock.on_sleep = interrupted_later
    result = penstock_command("status", "--watch")
    assert result.exit_code == 0
    assert slept == [0.5, 1.0, 1.0, 1.0]
    assert result.stdout.count("clicks: running") == 3
    assert "\x1b[H" not in result.stdout
    assert "Aborted" not in result.stderr


def test_a_terminal_is_redrawn_in_place(
    machine: Machine, penstock_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.status.is_terminal", lambda stream: True)
    machine.running("clicks")
    slept: list[float] = []

    def interrupt_third(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    machine.clock.on_sleep = interrupt_third
    frames = penstock_command("status", "--watch", color=True).stdout.split("\x1b[H\x1b[J")
    assert frames[0] == ""
    assert [frame.count("clicks: running") for frame in frames[1:]] == [1, 1]


@pytest.mark.parametrize(
    ("height", "shown", "missing"),
    [(40, ["enrich->load", "ingest->enrich"], "more lines"), (17, ["ingest->enrich", "last error"], "enrich->load"),
     (8, ["ingest", "load", "more lines: enlarge the window"], "->")],
)
def test_a_terminal_too_low_for_all_keeps_the_head_and_first_loses_empty_queues(
    machine: Machine, penstock_command: Command, monkeypatch: pytest.MonkeyPatch, height: int, shown: list[str],
    missing: str,
) -> None:
    monkeypatch.setattr("penstock.cli.status.is_terminal", lambda stream: True)
    busy_clicks(machine)
    pass_time = machine.clock.on_sleep
    slept: list[float] = []

    def interrupt_second(seconds: float) -> None:
        slept.append(seconds)
        pass_time(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    machine.clock.on_sleep = interrupt_second
    env = {"LINES": str(height), "COLUMNS": "80"}
    [frame] = penstock_command("status", "--watch", color=True, env=env).stdout.split("\x1b[H\x1b[J")[1:]
    lines = frame.rstrip("\n").splitlines()
    assert len(lines) <= height - 1
    assert "clicks: running" in lines[0]
    assert [text for text in shown if text not in frame] == []
    assert missing not in frame


def test_watching_as_json_gives_an_object_a_line(machine: Machine, penstock_command: Command) -> None:
    machine.running("clicks")
    slept: list[float] = []

    def interrupt_third(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    machine.clock.on_sleep = interrupt_third
    lines = penstock_command("status", "--watch", "--json").stdout.split("\n")
    assert [json.loads(line)["running"][0]["pipeline"] for line in lines if line] == ["clicks", "clicks"]


def test_the_run_directory_is_the_named_one(
    machine: Machine, penstock_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path | None] = []

    def find(run_dir: Path | None) -> list[FoundRun]:
        asked.append(run_dir)
        return []

    monkeypatch.setattr("penstock.cli.status.find_runs", find)
    penstock_command("status")
    penstock_command("status", env={"PENSTOCK_RUN_DIR": "/e"})
    penstock_command("status", "--run-dir", "/f", env={"PENSTOCK_RUN_DIR": "/e"})
    assert asked == [None, Path("/e"), Path("/f")]


def test_watching_continues_when_the_run_ends(machine: Machine, penstock_command: Command) -> None:
    run = machine.running("clicks")
    slept: list[float] = []

    def end_then_interrupt(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            shutil.rmtree(run.path)
            machine.runs.clear()
        if len(slept) == 3:
            raise KeyboardInterrupt

    machine.clock.on_sleep = end_then_interrupt
    result = penstock_command("status", "clicks", "--watch")
    assert result.exit_code == 0
    assert "nothing is running, and no run was left behind" in result.stdout
