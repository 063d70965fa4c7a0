"""What Grafana and its plugins make of a query before it is asked.

Followed are the pages "Query editor" and "Template variables" of grafana-clickhouse-datasource,
"Variable syntax" of Grafana, and "Query editor" of its Prometheus data source. In their order: for
SQL first `$__conditionalAll`, then variables, then the other macros. A macro or variable that is
not known raises, so that no query is asked with one left in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

SCRAPE_S: Final = 2
"""How far apart the scrapes of these tests are, as `timeInterval` tells the data source."""

Choices = Mapping[str, tuple[str, ...] | None]
"""What is chosen of each variable; None is All."""

_CONDITIONAL: Final = re.compile(r"\$__conditionalAll\(((?:[^(),]|\([^()]*\))*),\s*\$\{?(\w+)\}?\)")
_VARIABLE: Final = re.compile(r"\$(?!__)(?:(\w+)|\{(\w+)(?::(\w+))?\})")
_MACRO: Final = re.compile(r"\$__(\w+)(?:\(([^()]*)\))?")


class ExpandingError(ValueError):
    """A query has a macro or a variable that Grafana would not know."""


@dataclass(frozen=True, slots=True)
class Range:
    """The range of a dashboard and the interval that it gives to a panel, in whole seconds."""

    from_s: int
    to_s: int
    interval_s: int


def sql(text: str, when: Range, chosen: Choices) -> str:
    """Return a query as ClickHouse gets it."""

    def conditional(found: re.Match[str]) -> str:
        return "1=1" if _of(chosen, found[2]) is None else found[1]

    def variable(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        values = _of(chosen, name)
        if found[3] != "singlequote" or values is None:
            raise ExpandingError(f"{found[0]} is not quoted, or stands for All")
        return ",".join("'" + value.replace("'", "\\'") + "'" for value in values)

    text = _CONDITIONAL.sub(conditional, text)
    text = _VARIABLE.sub(variable, text)
    return _MACRO.sub(lambda found: _macro(found, when), text)


def _macro(found: re.Match[str], when: Range) -> str:
    from_time, to_time = f"toDateTime({when.from_s})", f"toDateTime({when.to_s})"
    seconds = max(when.interval_s, 1)
    known: Mapping[str, Callable[[str], str]] = {
        "fromTime": lambda _: from_time,
        "toTime": lambda _: to_time,
        "interval_s": lambda _: str(seconds),
        "timeFilter": lambda column: f"{column} >= {from_time} AND {column} <= {to_time}",
        "timeInterval": lambda column: (
            f"toStartOfInterval(toDateTime({column}), INTERVAL {seconds} second)"
        ),
    }
    if found[1] not in known:
        raise ExpandingError(f"{found[0]} is no macro that is known here")
    if (found[1] in {"timeFilter", "timeInterval"}) != bool(found[2]):
        raise ExpandingError(f"{found[0]} has not the arguments that it takes")
    return known[found[1]](found[2])


def promql(text: str, when: Range, chosen: Choices) -> str:
    """Return an expression as Prometheus gets it."""

    def variable(found: re.Match[str]) -> str:
        values = _of(chosen, found[1] or found[2])
        if values is None:
            return ".*"
        return "|".join(re.escape(value).replace("\\", "\\\\") for value in values)

    rate_s = max(when.interval_s + SCRAPE_S, 4 * SCRAPE_S)
    known = {"rate_interval": f"{rate_s}s", "interval": f"{when.interval_s}s"}

    def macro(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise ExpandingError(f"{found[0]} is no variable of the data source")
        return known[found[1]]

    return re.sub(r"\$__(\w+)", macro, _VARIABLE.sub(variable, text))


def _of(chosen: Choices, name: str) -> tuple[str, ...] | None:
    if name not in chosen:
        raise ExpandingError(f"there is no variable {name}")
    return chosen[name]
