"""What workers find in their environment."""

from __future__ import annotations

from penstock.supervisor.environment import environment


def test_what_the_user_set_stays() -> None:
    found = environment({"OMP_NUM_THREADS": "4", "MALLOC_TRIM_THRESHOLD_": "1", "HOME": "/home/ada"})
    assert (found["OMP_NUM_THREADS"], found["MALLOC_TRIM_THRESHOLD_"], found["HOME"]) == ("4", "1", "/home/ada")
    assert found["POLARS_MAX_THREADS"] == "1"


def test_what_polars_set_in_the_caller_does_not_count_but_the_users_own_comes_last() -> None:
    ours = environment({})["_RJEM_MALLOC_CONF"]
    polars = "dirty_decay_ms:500,muzzy_decay_ms:1000"
    assert environment({"_RJEM_MALLOC_CONF": polars})["_RJEM_MALLOC_CONF"] == ours
    assert environment({"_RJEM_MALLOC_CONF": f"{polars},narenas:1"})["_RJEM_MALLOC_CONF"] == f"{ours},narenas:1"
    assert environment({"_RJEM_MALLOC_CONF": "narenas:1"})["_RJEM_MALLOC_CONF"] == f"{ours},narenas:1"
