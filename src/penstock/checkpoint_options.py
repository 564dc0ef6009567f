"""Where and how often checkpoints are taken, as the user says it: a checked, frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.options import Duration, parse_duration
from penstock.store_address import Address, StoreAddress, parse_store


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """Where and how often checkpoints are taken. Made by `checkpoint`."""

    store: StoreAddress
    every_s: float = 1.0
    keep: int = 3
    max_age_s: float | None = None


def checkpoint(
    store: Address, *, every: Duration = "1s", keep: int = 3, max_age: Duration | None = None
) -> CheckpointOptions:
    """Checkpoints for `run(checkpoint=...)`: after the loss of the machine, the run resumes from the newest one.

    `store`: a path, `file:///path`, or `s3://bucket/prefix` (the extra `s3`). `every`: from one checkpoint to the next.
    `keep`: how many to keep, beside savepoints. `max_age`: the run stops when the newest one is older, because the
    store fails; None: it warns and continues. Raises `ValueError` that says what to write.
    """
    address = parse_store(store)
    every_s = parse_duration(every)
    if every_s == 0:
        raise ValueError(f"every={every!r} leaves no time between checkpoints; write one like \"1s\"")
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
        raise ValueError(f"keep={keep!r} is not a number of at least 1; write one like 3")
    max_age_s = None if max_age is None else parse_duration(max_age)
    if max_age_s is not None and max_age_s <= every_s:
        what = f"max_age={max_age!r} is not longer than every={every!r}"
        raise ValueError(f"{what}; write one like \"1m\", or None: never")
    return CheckpointOptions(address, every_s, keep, max_age_s)
