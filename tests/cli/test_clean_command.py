"""Promises of `penstock clean`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from penstock.engine.rundir import FoundRun

Command = Callable[..., Result]


class Machine:
    def __init__(self) -> None:
        self.runs: list[FoundRun] = []
        self.removed: list[str] = []

    def add(self, name: str, *, pid: int | None = None, cwd: str = "/home/ann") -> None:
        path = Path(f"/dev/shm/{name}-{len(self.runs)}")
        self.runs.append(FoundRun(name, path, pid, "running", 0.0, 2048, cwd))

    def remove(self, run: FoundRun) -> None:
        self.removed.append(run.path.name)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr("penstock.cli.clean.find_runs", lambda run_dir: machine.runs)
    monkeypatch.setattr("penstock.cli.clean.remove", machine.remove)
    return machine


def test_the_only_left_run_is_removed_without_its_name(machine: Machine, penstock_command: Command) -> None:
    machine.add("visits", pid=1)
    machine.add("clicks")
    result = penstock_command("clean")
    assert (result.exit_code, machine.removed) == (0, ["clicks-1"])
    assert result.stdout == "removed clicks: 2.0 KiB in /dev/shm/clicks-1\n"


def test_of_several_one_must_be_named(machine: Machine, penstock_command: Command) -> None:
    machine.add("clicks")
    machine.add("visits")
    result = penstock_command("clean")
    assert (result.exit_code, machine.removed) == (2, [])
    assert "2 runs were left behind: clicks, visits; name one, or pass --all" in result.stderr
    assert penstock_command("clean", "visits").exit_code == 0
    assert machine.removed == ["visits-1"]


def test_of_several_with_one_name_the_one_of_this_directory_is_removed(
    machine: Machine, penstock_command: Command, tmp_path: Path
) -> None:
    machine.add("clicks")
    machine.add("clicks", cwd=str(tmp_path))
    assert penstock_command("clean", "clicks").exit_code == 0
    assert machine.removed == ["clicks-1"]


def test_several_with_one_name_in_other_directories_are_not_chosen_from(
    machine: Machine, penstock_command: Command
) -> None:
    machine.add("clicks", cwd="/a")
    machine.add("clicks", cwd="/b")
    result = penstock_command("clean", "clicks")
    assert (result.exit_code, machine.removed) == (2, [])
    assert "/a, /b" in result.stderr


def test_all_removes_everything_but_what_runs(machine: Machine, penstock_command: Command) -> None:
    machine.add("clicks")
    machine.add("visits")
    machine.add("live", pid=7)
    assert penstock_command("clean", "--all").exit_code == 0
    assert machine.removed == ["clicks-0", "visits-1"]


def test_a_dry_run_only_tells(machine: Machine, penstock_command: Command) -> None:
    machine.add("clicks")
    result = penstock_command("clean", "--all", "--dry-run")
    assert (result.stdout, machine.removed) == ("would remove clicks: 2.0 KiB in /dev/shm/clicks-0\n", [])


def test_what_runs_is_refused_by_name(machine: Machine, penstock_command: Command) -> None:
    machine.add("clicks", pid=4711)
    result = penstock_command("clean", "clicks")
    assert (result.exit_code, machine.removed) == (3, [])
    assert "clicks is running (process 4711); stop it first" in result.stderr


def test_an_unknown_name_is_answered_with_the_names_there_are(machine: Machine, penstock_command: Command) -> None:
    machine.add("clicks")
    result = penstock_command("clean", "zzz")
    assert result.exit_code == 2
    assert "there is only clicks" in result.stderr


def test_nothing_to_clean_is_not_an_error(machine: Machine, penstock_command: Command) -> None:
    machine.add("clicks", pid=1)
    result = penstock_command("clean")
    assert (result.exit_code, result.stdout) == (0, "no run was left behind\n")
