"""The plan: which faults a run injects and when, decided by its seed before it begins."""

import random
from dataclasses import dataclass
from typing import Final, Literal

FaultKind = Literal[
    "kill worker",
    "kill sink",
    "pause worker",
    "restart broker",
    "kill broker",
    "take store",
    "add worker",
    "remove worker",
    "kill restoring worker",
]

# In any order: of each round a worker is added and one is removed.
KINDS: Final[tuple[FaultKind, ...]] = (
    "kill worker",
    "kill sink",
    "pause worker",
    "restart broker",
    "kill broker",
    "take store",
    "add worker",
    "remove worker",
    "kill restoring worker",
)
FIRST: Final = 0.05
LAST: Final = 0.85
"""When the first and the last fault begin, as shares of the time of sending."""
ROUND_S: Final = 150.0
"""Every kind once in so long, and once at least."""
AWAY: Final = 0.2
AWAY_S_MAX: Final = 60.0
"""How long the store is taken away: a share of the time of sending, a minute at most."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        at_s: When it is injected, from the beginning of sending.
        kind: What it is.
        lasts_s: How long the store is away or a worker stands still; 0 where that is no matter.
    """

    at_s: float
    kind: FaultKind
    lasts_s: float = 0.0


def plan(seed: int, *, seconds: float, session_s: int) -> list[Fault]:
    """Return the faults of a run, the same ones for the same arguments.

    Args:
        seed: Decides their order.
        seconds: How long events are sent.
        session_s: After how long without a sign of life a worker loses its partitions.

    >>> plan(1, seconds=60, session_s=3) == plan(1, seconds=60, session_s=3)
    True
    >>> {fault.kind for fault in plan(1, seconds=60, session_s=3)} == set(KINDS)
    True
    """
    chance = random.Random(seed)
    kinds: list[FaultKind] = []
    for _ in range(max(1, round(seconds / ROUND_S))):
        kinds += chance.sample(KINDS, len(KINDS))
    apart = (LAST - FIRST) / max(1, len(kinds) - 1)
    lasts: dict[FaultKind, float] = {
        "pause worker": 2.0 * session_s + 1,
        "take store": min(AWAY_S_MAX, AWAY * seconds),
    }
    return [
        Fault((FIRST + number * apart) * seconds, kind, lasts.get(kind, 0.0))
        for number, kind in enumerate(kinds)
    ]
