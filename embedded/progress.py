"""Progress of a run: on a terminal one live line, elsewhere a plain line now and then.

Rates are means over the last few seconds of what the workers have committed. Nothing here ever
touches standard output, which belongs to the result.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from embedded.monitor import Reading
from producers.load import Progress

WINDOW_S = 5.0
PLAIN_EVERY_S = 2.0


class View(Protocol):
    """Who is told how a run goes."""

    def tell(self, sentence: str) -> None:
        """Say something a person should know."""

    def stage(self, what: str) -> None:
        """Say what is being done now."""

    def tick(self, reading: Reading) -> None:
        """Take a reading of the running stack."""

    def loading(self, progress: Progress) -> None:
        """Take how far a file is."""


@dataclass(slots=True)
class Pace:
    """Events per second over the last few seconds.

    >>> pace = Pace()
    >>> pace.at(0.0, 0), pace.at(2.0, 100), pace.at(4.0, 300)
    (0.0, 50.0, 75.0)
    """

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def at(self, now_s: float, done: int) -> float:
        """Return the rate, having done so much at this moment."""
        self.seen.append((now_s, done))
        while now_s - self.seen[0][0] > WINDOW_S:
            self.seen.popleft()
        first_s, first = self.seen[0]
        return (done - first) / (now_s - first_s) if now_s > first_s else 0.0


class Quiet:
    """Tells what a person should know, and nothing else."""

    def __init__(self, console: Console) -> None:
        """Speak on a console."""
        self._console = console

    def tell(self, sentence: str) -> None:
        """Say it."""
        self._console.print(
            f"carbonflow: {sentence}", style="yellow", highlight=False, soft_wrap=True
        )

    def stage(self, what: str) -> None:
        """Stay silent."""

    def tick(self, reading: Reading) -> None:
        """Stay silent."""

    def loading(self, progress: Progress) -> None:
        """Stay silent."""


class _Lines(Quiet):
    """Composes the line that both the plain and the live view show."""

    def __init__(self, console: Console, now: Callable[[], float]) -> None:
        super().__init__(console)
        self._now = now
        self._pace = Pace()
        self._what = "starting"
        self._file = ""

    def stage(self, what: str) -> None:
        """Show another stage."""
        self._what = what
        self._file = ""

    def loading(self, progress: Progress) -> None:
        """Show how far the file is."""
        share = progress.done_bytes / progress.size_bytes if progress.size_bytes else 1.0
        self._file = f" {progress.file.rpartition('/')[2]} {share:.0%}"

    def line(self, reading: Reading) -> str:
        """Return the line for a reading."""
        rate = self._pace.at(self._now(), reading.worker.done)
        return (
            f"{self._what}{self._file}  {rate:,.0f} events/s  lag {reading.worker.lag:,}  "
            f"refused {reading.refused:,}  stored rows {reading.sink_rows:,}"
        )


class Plain(_Lines):
    """A line now and then, for logs, while there is something new."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        """Print on a console."""
        super().__init__(console, now)
        self._next_s = 0.0
        self._last = ""

    def tick(self, reading: Reading) -> None:
        """Print a line if the last was another, and long enough ago."""
        line = self.line(reading)
        if self._now() >= self._next_s and line != self._last:
            self._next_s, self._last = self._now() + PLAIN_EVERY_S, line
            self._console.print(line, highlight=False, soft_wrap=True)


class Alive(_Lines):
    """One line that changes in place."""

    def __init__(self, console: Console, live: Live, now: Callable[[], float]) -> None:
        """Draw into a live display."""
        super().__init__(console, now)
        self._live = live

    def stage(self, what: str) -> None:
        """Show another stage at once."""
        super().stage(what)
        self._live.update(Spinner("dots", Text(what)))

    def tick(self, reading: Reading) -> None:
        """Redraw the line."""
        self._live.update(Spinner("dots", Text(self.line(reading))))


@contextmanager
def view(console: Console, *, quiet: bool) -> Iterator[View]:
    """Show progress on a console of standard error, as fits it."""
    if quiet:
        yield Quiet(console)
    elif not console.is_terminal:
        yield Plain(console)
    else:
        with Live(console=console, transient=True, refresh_per_second=8) as live:
            yield Alive(console, live, time.monotonic)
