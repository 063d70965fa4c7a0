"""Every panel has something to show: its queries are asked of what they are meant for.

PromQL is asked of a real Prometheus that watched a running stack, SQL of that stack's store. An
answer without a row or with nothing but nulls, NaN or, but for a few, zeros is a failure.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pytest
from clickhouse_connect.driver.query import QueryResult

from deploy.grafana.dashboards.panels import SAMPLE_FROM_MS
from tests.deploy.grafana.expanding import Choices, Range, promql, sql
from tests.deploy.grafana.provisioned import (
    CLICKHOUSE,
    PROMETHEUS,
    Asked,
    pages,
    queries,
    variables,
)
from tests.deploy.grafana.traffic import DRIVER, REPEATS, Watched, watched

POINTS_MAX: Final = 1000
FROM_S: Final = SAMPLE_FROM_MS // 1000
LINES: Final = 0
"""How the plugin's `format` says that an answer is lines over time."""

ZERO_WHEN_WELL: Final = {
    "pipeline: Lag of workers [events]",
    "pipeline: Breakers open",
    "pipeline: Disagreements",
    "pipeline: Processes down",
    "pipeline: Lag of workers, by topic [events]",
    "pipeline: Age of the last event worked while more wait, by topic [s]",
    "pipeline: Lag of the sink, by topic [records]",
    "pipeline: Lag of followed balances [records]",
    "pipeline: Accounts awaited since [s]",
    "pipeline: Late events waiting for the store since [s]",
    "pipeline: Records the broker has not acknowledged",
    "account: Transport [tkm]",  # Of a driver.
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The stack after all its traffic."""
    with watched(tmp_path_factory.mktemp("grafana")) as running:
        yield running


def options(variable: Mapping[str, Any], seen: Watched) -> list[str]:
    """Return what a variable offers."""
    if variable["datasource"]["type"] == CLICKHOUSE:
        return [str(row[0]) for row in seen.store.query(variable["query"]).result_rows]
    metric, label = variable["query"]["query"].removeprefix("label_values(")[:-1].split(", ")
    return list(seen.prometheus.ask(f"label/{label}/values", {"match[]": metric}))


def everything(asked: Asked) -> Choices:
    """Return what is chosen when a dashboard is opened: All, and the account of these tests."""
    return {
        each["name"]: None if each["includeAll"] else (DRIVER,)
        for each in variables(pages()[asked.page])
    }


def stored(asked: Asked, seen: Watched, chosen: Choices) -> QueryResult:
    """Return what the store answers to a panel over all years."""
    to_s = int(time.time()) + 60
    when = Range(FROM_S, to_s, (to_s - FROM_S) // POINTS_MAX)
    return seen.store.query(sql(asked.text, when, chosen))


def measured(asked: Asked, seen: Watched, chosen: Choices) -> list[dict[str, Any]]:
    """Return what Prometheus answers to a panel over the time of the traffic: its series."""
    to_s = math.ceil(time.time())  # The last step sees the last scrape.
    when = Range(seen.began_s, to_s, 1)
    expr = promql(asked.text, when, chosen)
    return seen.prometheus.range(expr, start_s=seen.began_s, end_s=to_s, step_s=1)


def values(series: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the numbers of all series that are numbers."""
    found = [float(value) for each in series for _, value in each["values"]]
    return [value for value in found if not math.isnan(value)]


def numbers(answer: QueryResult) -> list[float]:
    """Return the numbers in an answer that are numbers."""
    found = [float(v) for row in answer.result_rows for v in row if isinstance(v, int | float)]
    return [value for value in found if not math.isnan(value)]


def answered(asked: Asked, found: Sequence[float]) -> None:
    """Fail unless there is something to show."""
    assert found, "nothing, or nothing that is a number"
    if f"{asked.page}: {asked.panel['title']}" not in ZERO_WHEN_WELL:
        assert any(found), "nothing but zeros"


def named(asked: Asked) -> str:
    """Return the id of a test."""
    return asked.name


@pytest.mark.parametrize("asked", queries(PROMETHEUS), ids=named)
def test_prometheus_has_an_answer(asked: Asked, seen: Watched) -> None:
    series = measured(asked, seen, everything(asked))
    answered(asked, values(series))
    named_by = set(re.findall(r"\{\{(\w+)\}\}", asked.target.get("legendFormat", "")))
    assert all(named_by <= each["metric"].keys() for each in series)


@pytest.mark.parametrize(
    "asked", [each for each in queries(PROMETHEUS) if "$worker" in each.text], ids=named
)
def test_a_worker_can_be_chosen(asked: Asked, seen: Watched) -> None:
    (variable,) = variables(pages()[asked.page])
    (worker,) = options(variable, seen)
    answered(asked, values(measured(asked, seen, {"worker": (worker,)})))
    of_nobody = values(measured(asked, seen, {"worker": ("nobody:1",)}))
    assert not any(of_nobody)


@pytest.mark.parametrize("asked", queries(CLICKHOUSE), ids=named)
def test_the_store_has_an_answer(asked: Asked, seen: Watched) -> None:
    answer = stored(asked, seen, everything(asked))
    assert asked.columns <= set(answer.column_names)
    if asked.panel["type"] == "table" and not numbers(answer):
        assert answer.result_rows, "a table of words alone has some"
    else:
        answered(asked, numbers(answer))


@pytest.mark.parametrize(
    ("source", "key", "text"),
    [
        (PROMETHEUS, "expr", "sum(carbonflow_of_nobody)"),
        (PROMETHEUS, "expr", "sum(carbonflow_factors) * 0"),
        (PROMETHEUS, "expr", "sum(carbonflow_factors) * NaN"),
        (CLICKHOUSE, "rawSql", "SELECT amount_mg FROM ledger WHERE account_id = 'of nobody'"),
        (CLICKHOUSE, "rawSql", "SELECT count() FROM ledger WHERE account_id = 'of nobody'"),
        (CLICKHOUSE, "rawSql", "SELECT avg(amount_mg) FROM ledger WHERE account_id = 'of nobody'"),
    ],
)
def test_nothing_is_no_answer(source: str, key: str, text: str, seen: Watched) -> None:
    one = queries(source)[0]
    asked = replace(one, target={**one.target, key: text})
    found = (
        values(measured(asked, seen, everything(asked)))
        if source == PROMETHEUS
        else numbers(stored(asked, seen, everything(asked)))
    )
    with pytest.raises(AssertionError, match="nothing"):
        answered(asked, found)


@pytest.mark.parametrize(
    "asked", [each for each in queries(CLICKHOUSE) if each.target["format"] == LINES], ids=named
)
def test_lines_are_as_grafana_wants_them(asked: Asked, seen: Watched) -> None:
    # A time first and ascending, then what names the lines, then numbers, none of them twice.
    answer = stored(asked, seen, everything(asked))
    times = [row[0] for row in answer.result_rows]
    assert answer.column_names[0] == "time"
    assert all(isinstance(each, datetime) for each in times)
    assert times == sorted(times)
    names = [at for at, value in enumerate(answer.result_rows[0]) if isinstance(value, str)]
    assert bool(names) == ("displayName" in asked.panel["fieldConfig"]["defaults"])
    points = [tuple(row[at] for at in (0, *names)) for row in answer.result_rows]
    assert len(points) == len(set(points))


@pytest.mark.parametrize(
    ("asked", "variable"),
    [
        pytest.param(asked, variable, id=f"{asked.name} by {variable['name']}")
        for asked in queries(CLICKHOUSE)
        for variable in variables(pages()[asked.page])
        if variable["includeAll"] and f"${variable['name']})" in asked.text
    ],
)
def test_a_choice_is_a_part_of_all(
    asked: Asked, variable: Mapping[str, Any], seen: Watched
) -> None:
    every = everything(asked)
    whole = stored(asked, seen, every).result_rows
    has_some, has_others = False, False
    for value in options(variable, seen):
        answer = stored(asked, seen, {**every, variable["name"]: (value,)})
        has_some = has_some or any(numbers(answer))
        has_others = has_others or answer.result_rows != whole
        if has_some and has_others:
            return
    raise AssertionError(f"an answer: {has_some}; another than that of All: {has_others}")


def only(asked: Sequence[Asked], title: str, seen: Watched) -> QueryResult:
    """Return the answer to the one panel of a title."""
    (found,) = (each for each in asked if each.panel["title"] == title)
    return stored(found, seen, everything(found))


def test_amounts_are_those_of_the_ledger(seen: Watched) -> None:
    # Whole milligrams, summed by the questions that the API asks.
    totals = seen.stack.queries.totals()
    carbon = [each for each in queries(CLICKHOUSE) if each.page == "carbon"]
    for title, quantity in (("Emitted [t CO2]", "emission"), ("Saved [t CO2]", "reduction")):
        mg = sum(total.amount_mg for total in totals if total.quantity == quantity)
        ((tonnes,),) = only(carbon, title, seen).result_rows
        assert tonnes == pytest.approx(mg / 1e9)
    by_region: dict[tuple[str, str], float] = defaultdict(float)
    for total in totals:
        by_region[total.region, total.quantity] += total.amount_mg / 1e9
    bars = only(carbon, "Emitted and saved, by region [t CO2]", seen).result_rows
    shown = {(row[0], "emission"): row[1] for row in bars}
    shown |= {(row[0], "reduction"): row[2] for row in bars}
    assert shown == pytest.approx(by_region)
    over_time = only(carbon, "Emitted and saved, by interval [kg CO2]", seen).result_rows
    emitted_mg = sum(total.amount_mg for total in totals if total.quantity == "emission")
    assert sum(row[1] for row in over_time) == pytest.approx(emitted_mg / 1e6)


def test_a_balance_over_time_ends_at_the_balance(seen: Watched) -> None:
    account = [each for each in queries(CLICKHOUSE) if each.page == "account"]
    balance = seen.stack.queries.balance(DRIVER)
    assert balance is not None
    _, saved, emitted = only(account, "Balance [kg CO2]", seen).result_rows[-1]
    assert saved == pytest.approx(balance.reduction_mg / 1e6)
    assert emitted == pytest.approx(balance.emissions_mg / 1e6)
    assert balance.duplicate_count == REPEATS


def test_refusals_are_those_of_the_store(seen: Watched) -> None:
    quality = [each for each in queries(CLICKHOUSE) if each.page == "quality"]
    by_code = seen.stack.queries.refusals_by_code()
    ((refused,),) = only(quality, "Refused in this range", seen).result_rows
    assert refused == sum(by_code.values())
    listed = only(quality, "Refused, by code, origin and source", seen)
    shown: dict[str, int] = {}
    for row in listed.result_rows:
        code, count = row[0], row[listed.column_names.index("refused")]
        shown[code] = shown.get(code, 0) + count
    assert shown == by_code
