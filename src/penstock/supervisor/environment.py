"""The environment of workers: what the user set, and else what suits processes that do the same thing all day. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_ONE_THREAD = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS",
)
"""Libraries with thread pools start them at import, in every process again; the pools are ours, by slots."""
_ALLOCATORS = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""What one batch gave back, the next one takes again: given to the system meanwhile, every page would be a fault."""
_RUST_ALLOCATOR = "_RJEM_MALLOC_CONF"
_RUST_KEEPS = "oversize_threshold:0,dirty_decay_ms:10000,muzzy_decay_ms:10000"
"""The same for jemalloc in libraries made with Rust, which in a forked process keeps nothing of its large blocks."""
_POLARS_SET = "dirty_decay_ms:500,muzzy_decay_ms:1000"
"""What polars puts there when it is imported, before what it finds; not the user's wish."""


MARK = "WORKER_OF_PENSTOCK_RUN"
"""What `stragglers` knows by: whatever workers start inherits it."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What workers find in their environment: what the user set, and else what suits them."""
    asked = given.get(_RUST_ALLOCATOR, "").removeprefix(_POLARS_SET).removeprefix(",")
    rust = f"{_RUST_KEEPS},{asked}" if asked else _RUST_KEEPS  # of two settings of one thing, the later one counts
    return {**dict.fromkeys(_ONE_THREAD, "1"), **_ALLOCATORS, **given, _RUST_ALLOCATOR: rust}


def marked(environment: Mapping[str, str], run_id: str) -> dict[str, str]:
    """The environment of the workers of a run."""
    return {**environment, MARK: run_id}
