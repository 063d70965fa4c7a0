"""The picture of latency against load: a small SVG, made by hand, for light and dark pages.

Its colours are readable on both, because a picture in a page cannot know which it is on.
Both axes are logarithmic. Each series is a band from its p50, a strong line, to its p99, a thin
one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
HEIGHT: Final = 420
LEFT: Final = 72
RIGHT: Final = 24
TOP: Final = 64
BOTTOM: Final = 56
CLASSES: Final = ("a", "b")
STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #6e7781 }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #8b949e; stroke-opacity: 0.25 }
  .mark { stroke: #6e7781; stroke-dasharray: 3 4 }
  .a { stroke: #218bff; fill: #218bff }
  .b { stroke: #d4691a; fill: #d4691a }
  .p50 { fill: none; stroke-width: 2.5; stroke-linejoin: round }
  .p99 { fill: none; stroke-width: 1; stroke-linejoin: round }
  .band { stroke: none; fill-opacity: 0.15 }
""".strip("\n")


@dataclass(frozen=True, slots=True)
class Series:
    """A latency at each rate: (p50, p99) [ms]."""

    name: str
    latencies_ms: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis from one pixel to another.

    >>> Axis(1, 100, 0, 200).at(10)
    100.0
    >>> Axis(1_000, 100_000, 0, 200).decades
    [1000, 10000, 100000]
    """

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], begin: float, end: float) -> "Axis":
        """Return an axis of whole decades that holds all values."""
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return cls(10.0**low, 10.0 ** max(high, low + 1), begin, end)

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        share = math.log10(value / self.low) / math.log10(self.high / self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    @property
    def decades(self) -> list[int]:
        """The powers of ten on it."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10**power for power in range(first, last + 1)]


def drawn(rates_per_s: Sequence[int], series: Sequence[Series], *, full_per_s: int) -> str:
    """Return the picture.

    Args:
        rates_per_s: Rising rates, shape (n,).
        series: Two at most, each with n latencies.
        full_per_s: Full load, which is marked.
    """
    every = [ms for each in series for pair in each.latencies_ms for ms in pair]
    across = Axis(min(rates_per_s), max(*rates_per_s, full_per_s) * 1.15, LEFT, WIDTH - RIGHT)
    up = Axis.over(every, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Latency of one event by load">',
        f"<style>\n{STYLE}\n</style>",
        f'<text class="title" x="{LEFT}" y="24">Latency of one event, by load</text>',
        *_grid(across, up),
        *_mark(across, full_per_s),
    ]
    for kind, each in zip(CLASSES, series, strict=False):
        parts += _lines(kind, each, [across.at(rate) for rate in rates_per_s], up)
    return "\n".join([*parts, *_legend(series), "</svg>"]) + "\n"


def _grid(across: Axis, up: Axis) -> list[str]:
    parts = []
    for ms in up.decades:
        y = up.at(ms)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{_time(ms)}</text>')
    for rate in (step * power for power in across.decades for step in (1, 2, 5)):
        if across.low <= rate <= across.high:
            x = across.at(rate)
            parts.append(f'<path class="grid" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>')
            parts.append(
                f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{rate:,}</text>'
            )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">events per second</text>'
    )
    return parts


def _mark(across: Axis, full_per_s: int) -> list[str]:
    x = across.at(full_per_s)
    return [
        f'<path class="mark" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>',
        f'<text x="{x - 6}" y="{TOP + 14}" text-anchor="end">full load</text>',
    ]


def _lines(kind: str, series: Series, xs: Sequence[float], up: Axis) -> list[str]:
    p50 = [f"{x} {up.at(pair[0])}" for x, pair in zip(xs, series.latencies_ms, strict=True)]
    p99 = [f"{x} {up.at(pair[1])}" for x, pair in zip(xs, series.latencies_ms, strict=True)]
    return [
        f'<path class="band {kind}" d="M{"L".join([*p50, *reversed(p99)])}Z"/>',
        f'<path class="p99 {kind}" d="M{"L".join(p99)}"/>',
        f'<path class="p50 {kind}" d="M{"L".join(p50)}"/>',
    ]


def _legend(series: Sequence[Series]) -> list[str]:
    parts, x = [], LEFT
    for kind, each in zip(CLASSES, series, strict=False):
        parts.append(f'<path class="p50 {kind}" d="M{x} 46h22"/>')
        label = f"{each.name}: p50, to p99"
        parts.append(f'<text x="{x + 28}" y="50">{escape(label)}</text>')
        x += 270
    return parts


def _time(ms: int) -> str:
    """Return a label of the axis of time.

    >>> _time(100), _time(10_000)
    ('100 ms', '10 s')
    """
    return f"{ms} ms" if ms < 1000 else f"{ms // 1000} s"
