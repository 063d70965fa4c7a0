"""When Python looks for cycles: between slices, on purpose, instead of in the middle of them.

The collector counts allocations, and a slice makes hundreds of thousands of small objects that die
with it. Left alone it walks all accounts again and again: two thirds of a slice's time were spent
there. So it is switched off, the young are looked at after every slice, and everything from time
to time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Final

EVERYTHING_EVERY_S: Final = 300.0


class Garbage:
    """Takes the collector over for the rest of the process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s = clock()
        # Modules and what they hold: nothing of it ever dies, so nobody has to walk it.
        gc.collect()
        gc.freeze()
        gc.disable()

    def after_slice(self) -> None:
        """Collect the young, and everything if that is due."""
        now_s = self._clock()
        due = now_s - self._last_s >= EVERYTHING_EVERY_S
        gc.collect(2 if due else 0)
        if due:
            self._last_s = now_s
