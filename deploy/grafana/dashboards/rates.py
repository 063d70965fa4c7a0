"""PromQL that several panels share: rates, quantiles and means of what processes export."""

from __future__ import annotations

from typing import Final

from deploy.grafana.dashboards.panels import ACT, GOOD, WATCH

OF_WORKER: Final = 'instance=~"$worker"'
RATE: Final = "[$__rate_interval]"
PER_S: Final = "cps"
"""Grafana's "counts/s"."""

FRESH_S: Final = ((None, GOOD), (5.0, WATCH), (60.0, ACT))
BEHIND: Final = ((None, GOOD), (10_000, WATCH), (100_000, ACT))
REFUSED: Final = ((None, GOOD), (0.01, WATCH), (0.5, ACT))
"""The breaker of a worker stops it where half of a source is refused."""


def per_s(metric: str, by: str = "", labels: str = "") -> str:
    """Return the rate of a counter, summed by labels.

    >>> per_s("carbonflow_late_total")
    'sum(rate(carbonflow_late_total[$__rate_interval]))'
    """
    summed = f"sum by ({by}) " if by else "sum"
    chosen = f"{{{labels}}}" if labels else ""
    return f"{summed}(rate({metric}{chosen}{RATE}))"


def quantile(q: float, histogram: str, by: str = "", labels: str = "") -> str:
    """Return a quantile of a histogram by labels.

    >>> quantile(0.5, "h")
    'histogram_quantile(0.5, sum by (le) (rate(h_bucket[$__rate_interval])))'
    """
    kept = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, {per_s(f'{histogram}_bucket', kept, labels)})"


def mean(histogram: str, by: str = "", labels: str = "") -> str:
    """Return the mean of what a histogram counted, by labels."""
    sums, counts = (per_s(f"{histogram}_{part}", by, labels) for part in ("sum", "count"))
    return f"{sums} / {counts}"


REFUSED_SHARE: Final = (
    f"{per_s('carbonflow_refusals_total', labels=OF_WORKER)} / "
    f"({per_s('carbonflow_events_total', labels=OF_WORKER)} > 0) or vector(0)"
)
