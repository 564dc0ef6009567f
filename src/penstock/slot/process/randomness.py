"""Random state that libraries keep for a whole process: forked workers would all have the zygote's, and draw alike."""

from __future__ import annotations

import random
import sys


def reseed_libraries() -> None:
    """Seed again what is there, from the operating system; once in each life, before anything of the user's opens.

    Generators that a module of the user's made for itself cannot be found; those are what `Context.rng` is for.
    """
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
