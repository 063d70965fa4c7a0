"""What the breaker must hold against each source, counted one record after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from streams.breaker import KEPT_BYTES_MAX, KEPT_MAX, WATCHED_MAX, Breaker
from streams.read import ReadSlice
from streams.step import Outcome

NEVER: Final = 1 << 40
Name: TypeAlias = str | None


def held_open() -> Breaker:
    """Return a breaker that counts and never opens."""
    return Breaker(NEVER, share_max=2.0, share_records_min=NEVER)


@dataclass(slots=True)
class Held:
    """A breaker that never opens, and what it must have counted; None is what cannot be read."""

    breaker: Breaker = field(default_factory=held_open)
    refused: Counter[Name] = field(default_factory=Counter)
    runs: Counter[Name] = field(default_factory=Counter)

    def check(self, taken: ReadSlice, outcome: Outcome) -> None:
        """Count a slice, both ways."""
        self.breaker.check(taken, outcome)
        refused = {bad.position for bad in outcome.refused}
        rows = zip(taken.positions.tolist(), taken.activities.source.to_pylist(), strict=True)
        source_of: dict[int, str] = dict(rows)
        for position in range(len(taken.part)):
            is_refused = position in refused
            can_be_read = position in source_of
            if can_be_read:
                self._count(source_of[position], is_refused)
            self._count(None, is_refused and not can_be_read)

    def _count(self, name: Name, is_refused: bool) -> None:
        self.refused[name] += is_refused
        self.runs[name] = self.runs[name] + 1 if is_refused else 0

    def wrong(self) -> Iterator[str]:
        """Yield what the breaker has counted otherwise, or does not keep."""
        refused = {name: count for name, count in self.refused.items() if count}
        if len(refused) > WATCHED_MAX:
            return  # Some are forgotten.
        watched = self.breaker._watched
        if watched.keys() != refused.keys():
            yield f"the breaker watches {len(watched)} sources instead of {len(refused)}"
            return
        for name, count in refused.items():
            found = watched[name].refused, watched[name].run, watched[name].codes.total()
            if found != (count, self.runs[name], count):
                yield f"the breaker has {found} of {name!r:.80}, and not {count} {self.runs[name]}"
        text = self.breaker.kept(1)
        if len(text.encode()) > KEPT_BYTES_MAX:
            yield f"{len(text.encode())} bytes beside an offset"
        again = held_open()
        again.recall([text])
        kept = again._watched
        if len(kept) > KEPT_MAX or any(watched[name] != one for name, one in kept.items()):
            yield "what is kept of the breaker is not what it has"
