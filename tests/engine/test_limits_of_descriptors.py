"""`ulimit -n`: a run that is allowed too few descriptors says so before it starts, and any other one gets through."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from engine_scripts import environment, write

from penstock.supervisor.descriptors import SlotNeeds, needed

SCRIPT = """
    import sys, penstock as ps
    app = ps.Pipeline("many")
    rows = app.source(range(200), name="numbers").stage("a", workers=6).map(str).stage("b", workers=6).map(str)
    rows.sink(ps.discard(), name="out")
    if __name__ == "__main__":
        try:
            print(app.run(run_dir="run", progress=False).outcome)
        except ps.TooFewDescriptors as few:
            print("refused", few.needed > few.allowed)
"""


@pytest.mark.parametrize(
    ("soft", "hard", "said"), [(40, 60, "refused True\n"), (40, 400, "finished\n"), (200, 200, "finished\n")]
)
def test_a_limit_is_used_up_to_the_hard_one_or_refused_before_the_start(
    tmp_path: Path, soft: int, hard: int, said: str
) -> None:
    write(tmp_path, "many.py", SCRIPT)
    ran = subprocess.run(
        [sys.executable, "many.py"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
        timeout=60, check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )
    assert ran.stdout == said, ran.stderr
    assert not (tmp_path / "run").exists()  # removed, or never made


def test_what_is_needed_grows_with_the_slots_and_not_with_their_pairs() -> None:
    def of(workers: int) -> int:
        return needed([SlotNeeds(1, workers)] * (2 * workers))

    assert of(200) - of(100) == 2 * (of(100) - of(50))
    assert of(60) < 1024


RESULTS = """
    import resource, penstock as ps
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))  # in the workers, too, which import this
    rows = ps.Pipeline("rows").source(range(200), name="numbers").stage("work", workers=20).map(str)
    if __name__ == "__main__":
        print(len(list(rows.results())))
"""


def test_the_calling_program_gets_as_many_as_reading_results_needs(tmp_path: Path) -> None:
    write(tmp_path, "rows.py", RESULTS)
    ran = subprocess.run(
        [sys.executable, "rows.py"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
        timeout=100, check=False,
    )
    assert ran.stdout == "200\n", ran.stderr
