"""What another user has put where a run goes is neither used, nor followed, nor changed, and does not stop the run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from two_users import User

MEMORY = Path("/dev/shm")
RUN = """
    import logging, sys, penstock as ps
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    app = ps.Pipeline("simple")
    app.source([1, 2], name="n").stage("work").map(lambda x: x + 1).sink(print)
    try:
        print(app.run(progress=False, {options}).outcome)
    except ps.PenstockError as refused:
        print(type(refused).__name__, refused)
"""
FINISHED = "2\n3\nfinished\n"
WHERE = """
    import os
    from penstock.engine.rundir import folder_name
    print(folder_name("simple", os.getcwd()))
"""
PLANT = """
    import os, pathlib, pickle, struct, zlib, sys
    class Run:
        def __reduce__(self):
            return os.system, ("touch {mark}",)
    data = pickle.dumps(Run())
    folder = pathlib.Path("{folder}")
    os.umask(0)
    folder.mkdir(parents=True, mode=0o777)
    (folder / "plan.pickle").write_bytes(struct.pack("<II", len(data), zlib.crc32(data)) + data)
    (folder / "phase").write_text("running")
    (folder / "manifest.json").write_text("{{}}")
    for name in ("lock", "layout.json", "spec", "splits"):
        (folder / name).symlink_to("{target}")
"""


def run(user: User, options: str = "", **env: str) -> tuple[str, str]:
    """What it wrote to standard output, and to standard error."""
    done = user.python(RUN.format(options=options), **env)
    return done.stdout, done.stderr


def run_folder(user: User) -> str:
    return user.python(WHERE).stdout.strip()


def test_a_planted_run_directory_is_not_believed_and_a_run_goes_elsewhere(victim: User, stranger: User) -> None:
    place, mark, target = MEMORY / f"penstock-{victim.uid}", victim.home / "mark", victim.home / "precious"
    target.write_text("precious")
    os.chown(target, victim.uid, victim.uid)
    victim.home.chmod(0o755)
    planted = stranger.python(PLANT.format(folder=place / run_folder(victim), mark=mark, target=target))
    assert planted.returncode == 0, planted.stderr
    before = sorted(path.name for path in place.rglob("*"))
    out, told = run(victim)
    assert out == FINISHED, told
    assert f"{place} belongs to user {stranger.uid}" in told
    assert told.count("belongs to") == 1
    assert sorted(path.name for path in place.rglob("*")) == before
    assert target.read_text() == "precious"
    assert not mark.exists()


def test_a_link_in_the_place_of_runs_is_not_followed(victim: User, stranger: User) -> None:
    precious = victim.make(victim.home / "precious")
    victim.make(precious / run_folder(victim))
    (precious / "letters").write_text("all of them")
    done = stranger.python(f"import os; os.symlink({str(precious)!r}, '/dev/shm/penstock-{victim.uid}')")
    assert done.returncode == 0, done.stderr
    before = sorted(precious.rglob("*"))
    out, told = run(victim)
    assert out == FINISHED, told
    assert "is not a directory, or is a link" in told
    assert sorted(precious.rglob("*")) == before


def test_the_session_s_own_memory_is_the_next_place(victim: User, stranger: User) -> None:
    session = victim.make(victim.home / "session")
    stranger.make(MEMORY / f"penstock-{victim.uid}")
    out, told = run(victim, XDG_RUNTIME_DIR=str(session))
    assert out == FINISHED, told
    assert f"so the run directory goes to {session}/penstock" in told


def test_a_folder_that_belongs_to_somebody_else_is_refused_where_the_user_named_it(
    victim: User, stranger: User, homes: Path
) -> None:
    theirs = stranger.make(homes / "theirs", 0o777)
    victim.make(homes / "open", 0o777)
    victim.make(theirs / "mine")
    victim.make(homes / "shut", 0o755)
    for name, why in {
        "theirs": f"{theirs}: belongs to user {stranger.uid} (mode 0777)",
        "open": f"{homes}/open: can be written by others (mode 0777, of user {victim.uid})",
        "theirs/mine": f"{theirs}: belongs to user {stranger.uid} (mode 0777)",
    }.items():
        out, _ = run(victim, f"run_dir={str(homes / name)!r}")
        assert out.startswith("NoRunDirectory ")
        assert why in out
    assert run(victim, f"run_dir={str(homes / 'shut')!r}")[0] == FINISHED


def test_a_folder_that_all_may_write_is_used_where_none_can_take_away_what_is_anothers(
    victim: User, stranger: User, homes: Path
) -> None:
    (homes / "scratch").mkdir()
    (homes / "scratch").chmod(0o1777)
    options = f"run_dir={str(homes / 'scratch')!r}"
    assert run(victim, options)[0] == FINISHED
    mark = victim.home / "mark"
    folder = homes / "scratch" / run_folder(victim)
    planted = stranger.python(PLANT.format(folder=folder, mark=mark, target=mark))
    assert planted.returncode == 0, planted.stderr
    out, _ = run(victim, options)
    assert out.startswith(f"NoRunDirectory {folder}: belongs to user {stranger.uid}")
    assert not mark.exists()


def test_looking_at_runs_neither_follows_nor_waits_for_what_others_have_put_there(
    victim: User, stranger: User, homes: Path
) -> None:
    (homes / "scratch").mkdir()
    (homes / "scratch").chmod(0o1777)
    mark = victim.home / "mark"
    for folder in (homes / "scratch" / "a-1", homes / "scratch" / "b-2"):
        done = stranger.python(PLANT.format(folder=folder, mark=mark, target=mark) + """
    (folder / "lock").unlink()
    os.mkfifo(folder / "lock")
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
""")
        assert done.returncode == 0, done.stderr
    (homes / "scratch" / "c-3").symlink_to(victim.home)
    for command in (["status"], ["clean", "--all"], ["clean", "--dry-run"]):
        looked = victim.python(f"""
            from penstock.cli.main import cli
            cli({[*command, "--run-dir", str(homes / "scratch")]!r})
        """)
        assert (looked.returncode, "no run was left behind" in looked.stdout) == (0, True), looked.stderr
    assert sorted(path.name for path in (homes / "scratch").iterdir()) == ["a-1", "b-2", "c-3"]


def test_a_stranger_who_is_quick_gains_nothing(victim: User, stranger: User) -> None:
    precious = victim.make(victim.home / "precious", 0o755)
    victim.home.chmod(0o755)
    (precious / "letters").write_text("all of them")
    racing = stranger.start(f"""
        import itertools, os, shutil
        place = "/dev/shm/penstock-{victim.uid}"
        print("begun", flush=True)
        for turn in itertools.count():
            try:
                if turn % 3:
                    os.symlink({str(precious)!r}, place)
                    os.unlink(place)
                else:
                    os.mkdir(place, 0o777)
                    os.rmdir(place)
            except OSError:
                pass
    """)
    try:
        assert racing.stdout is not None
        assert racing.stdout.readline() == "begun\n"
        for _ in range(5):
            out, told = run(victim)
            assert out == FINISHED, told
        hammered = victim.python("""
            import os, time
            from penstock.engine import rundir
            from penstock.errors import NotPrivate
            from penstock.supervisor.cleanup import remove_run_dir
            place, ours, theirs = rundir.parents(None)[0], 0, 0
            until = time.monotonic() + 3
            while time.monotonic() < until:
                try:
                    fd = rundir.lock_run_dir(place / "race-1", in_own_place=True)
                except (NotPrivate, OSError):
                    theirs += 1
                    continue
                assert os.fstat(fd).st_uid == os.getuid()
                assert os.lstat(place).st_uid == os.getuid() and os.lstat(place).st_mode & 0o777 == 0o700
                ours += 1
                remove_run_dir(place / "race-1")
                os.close(fd)
            print(ours, theirs)
        """)
        assert hammered.returncode == 0, hammered.stderr
    finally:
        racing.kill()
        racing.communicate()
    assert [path.name for path in precious.iterdir()] == ["letters"]


LEAVE = """
    import os, penstock as ps
    def work(x):
        if x == 2: raise ValueError("bad")
        if x == 9: os.abort()
        return x
    app = ps.Pipeline("rights")
    app.source([1, 2, 3, 9], name="n").stage("work", on_error=ps.dead_letter(give_up_after=None)).map(work).sink(print)
    out = ps.Pipeline("left")
    out.source([1, 2], name="n").stage("work", on_error=ps.fail()).map(lambda x: 1 / 0).sink(print)
    print(app.run(progress=False).dead_letters)
    try:
        out.run(progress=False)
    except ps.PipelineFailed:
        print(len(list(ps.read_dead_letters("rights"))))
"""


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_look_at_what_a_run_keeps_whatever_the_umask(victim: User, umask: int) -> None:
    done = victim.python(LEAVE, umask=umask)
    assert done.stdout.split()[-2:] == ["2", "2"], done.stderr
    kept = [MEMORY / f"penstock-{victim.uid}", victim.home / ".local"]
    found = [path for place in kept if place.exists() for path in (place, *place.rglob("*"))]
    assert any(path.suffix == ".dl" for path in found)
    assert any(path.name == "plan.pickle" for path in found)
    for path in found:
        assert path.lstat().st_uid == victim.uid
        assert path.lstat().st_mode & 0o077 == 0, f"{path}: {path.lstat().st_mode:o}"


LETTER = """
    import os, pathlib, pickle
    from penstock.dead_letter_record import new_record
    from penstock.dead_letter_frames import encode_frame
    class Run:
        def __reduce__(self):
            return os.system, ("touch {mark}",)
    record = new_record(
        pipeline="p", stage="s", slot=0, operator="", time_s=1.0, attempts=1, error="", traceback="", row=Run())
    file = pathlib.Path("{file}")
    os.umask(0)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encode_frame(record))
"""
READ = """
    import logging, penstock as ps
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    print([letter.row for letter in ps.read_dead_letters("p", state_dir="{state}")])
"""


def test_only_letters_that_nobody_else_can_have_written_are_read(victim: User, stranger: User) -> None:
    state, mark = victim.home / "state", victim.home / "mark"
    victim.home.chmod(0o777)
    folder = state / "dead-letters" / "p"
    for part in (state, state / "dead-letters", folder, folder / "run1"):
        victim.make(part, 0o777)  # as an umask of 0 once made them
    assert stranger.python(LETTER.format(mark=mark, file=folder / "run1" / "s.0.dl")).returncode == 0
    assert stranger.python(LETTER.format(mark=mark, file=folder / "run2" / "s.0.dl")).returncode == 0
    assert victim.python(LETTER.format(mark=mark, file=victim.home / "from-the-internet")).returncode == 0
    os.link(victim.home / "from-the-internet", folder / "run1" / "s.1.dl")
    (folder / "run1" / "s.2.dl").symlink_to(victim.home / "from-the-internet")
    (folder / "run3").symlink_to(folder / "run1")
    os.mkfifo(folder / "run1" / "s.3.dl")
    done = victim.python(READ.format(state=state))
    assert (done.stdout, mark.exists()) == ("[]\n", False), done.stderr
    assert "belongs to user 54321" in done.stderr
    listed = victim.python(f"""
        from penstock.cli.main import cli
        cli(["dead-letters", "list", "p", "--state-dir", {str(state)!r}])
    """)
    assert (listed.returncode, "no dead letters" in listed.stdout) == (0, True), listed.stderr


def test_letters_are_written_only_where_nobody_else_can_have_led_them(victim: User, stranger: User) -> None:
    state = victim.make(victim.home / "state", 0o755)
    precious = victim.make(victim.home / "precious")
    stranger.make(state / "dead-letters")
    program = LEAVE.replace("progress=False", f"progress=False, state_dir={str(state)!r}")
    done = victim.python(program)
    assert "PipelineFailed" in done.stderr
    assert f"{state}/dead-letters belongs to user {stranger.uid}" in done.stderr
    (state / "dead-letters").rmdir()
    (state / "dead-letters").symlink_to(precious)
    assert "is not a directory, or is a link" in victim.python(program).stderr
    assert list(precious.iterdir()) == []


def test_a_state_directory_that_others_can_write_is_refused_where_the_user_named_it(victim: User) -> None:
    state = victim.make(victim.home / "state", 0o777)
    out, _ = run(victim, f"state_dir={str(state)!r}")
    assert out.startswith(f"NotPrivate {state} can be written by others (mode 0777, of user {victim.uid})")


def test_a_user_without_a_name_and_without_a_home_runs(victim: User) -> None:
    done = victim.python(LEAVE, HOME="", LOGNAME="somebody")
    assert done.stdout.split()[-2:] == ["2", "2"], done.stderr
    assert list(Path("/var/tmp", f"penstock-{victim.uid}").rglob("*.dl"))


def test_what_was_left_under_the_old_rights_is_resumed(victim: User) -> None:
    place = MEMORY / f"penstock-{victim.uid}"
    victim.make(place, 0o777)  # as an umask of 0 once made it
    out, told = run(victim)
    assert (out, told) == (FINISHED, "")
    started = time.monotonic()
    assert victim.python("import penstock").returncode == 0
    assert time.monotonic() - started < 60
