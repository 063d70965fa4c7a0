"""What panels ask: Prometheus in PromQL, the store in SQL with the macros of Grafana's plugin.

The uids are those of `provisioned/datasources/carbonflow.yml`. Tables have no database before their
name: the data source says which is meant. A query for lines brings a column `time` first, then
the names of the lines, then numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.builders.prometheus import Dataquery as PrometheusQuery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="carbonflow-prometheus")
CLICKHOUSE: Final = DataSourceRef(
    type_val="grafana-clickhouse-datasource", uid="carbonflow-clickhouse"
)
PLUGIN_VERSION: Final = "4.0.0"
"""A query without a version, or of one before 4, is rewritten by the plugin when it is opened."""

ALL: Final = "$__all"

LABEL_VALUES: Final = 1
QUERY_OF_VARIABLE: Final = "PrometheusVariableQueryEditor-VariableQuery"
"""How Grafana's editor of variables writes down what `label_values` asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prom:
    """A question in PromQL.

    Attributes:
        expr: The question.
        legend: Names each answer, with `{{label}}` for a label.
        at_once: Ask for now, instead of for the range of the dashboard.
        is_heatmap: The answers are buckets of a histogram.
    """

    expr: str
    legend: str = ""
    at_once: bool = False
    is_heatmap: bool = False

    @property
    def source(self) -> DataSourceRef:
        """Whom it is put to."""
        return PROMETHEUS

    def target(self, ref_id: str) -> Builder[Dataquery]:
        """Return it as a panel has it."""
        made = (
            PrometheusQuery()
            .ref_id(ref_id)
            .datasource(PROMETHEUS)
            .editor_mode(QueryEditorMode.CODE)
            .expr(self.expr)
        )
        if self.legend:
            made.legend_format(self.legend)
        if self.is_heatmap:
            made.format(PromQueryFormat.HEATMAP)
        return made.instant() if self.at_once else made.range()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """A question in ClickHouse's SQL.

    Attributes:
        text: The question.
        is_lines: The answer is lines over time, not a table.
    """

    text: str
    is_lines: bool = False

    @property
    def source(self) -> DataSourceRef:
        """Whom it is put to."""
        return CLICKHOUSE

    def target(self, ref_id: str) -> Builder[Dataquery]:
        """Return it as a panel has it."""
        return _Built(_ClickHouseQuery(ref_id, self))


Query = Prom | Sql


@dataclass(frozen=True, slots=True)
class _ClickHouseQuery(Dataquery):
    """A query of grafana-clickhouse-datasource, which the SDK does not have."""

    ref_id: str
    sql: Sql

    def to_json(self) -> dict[str, object]:
        """Return it as Grafana stores it; `format` is sqlds' number for lines or a table."""
        return {
            "refId": self.ref_id,
            "datasource": CLICKHOUSE,
            "pluginVersion": PLUGIN_VERSION,
            "editorType": "sql",
            "queryType": "timeseries" if self.sql.is_lines else "table",
            "format": 0 if self.sql.is_lines else 1,
            "rawSql": self.sql.text,
        }


@dataclass(frozen=True, slots=True)
class _Built(Builder[Dataquery]):
    query: Dataquery

    def build(self) -> Dataquery:
        """Return the query."""
        return self.query


def chosen(name: str, label: str, sql: str) -> QueryVariable:
    """Return a variable of which any values, or all, may be chosen; the SQL lists them."""
    return (
        _listed(name, label, sql)
        .multi(True)
        .include_all(True)
        .current(VariableOption(selected=True, text="All", value=ALL))
    )


def one_of(name: str, label: str, sql: str) -> QueryVariable:
    """Return a variable of which one value is chosen; others than the SQL lists can be typed."""
    return _listed(name, label, sql).multi(False).include_all(False).allow_custom_value(True)


def _listed(name: str, label: str, sql: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(label)
        .datasource(CLICKHOUSE)
        .query(sql)
        .definition(sql)
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(VariableSort.DISABLED)
    )


def instances(name: str, label: str, metric: str) -> QueryVariable:
    """Return a variable of which any processes that serve a metric, or all, may be chosen."""
    listed = f"label_values({metric}, instance)"
    return (
        QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query({"qryType": LABEL_VALUES, "query": listed, "refId": QUERY_OF_VARIABLE})
        .definition(listed)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value=ALL))
    )


def where(*conditions: str, variables: Sequence[str] = ()) -> str:
    """Return a WHERE with conditions, and for each variable that its column is among the chosen.

    >>> where("amount_mg > 0", variables=["v"])
    'WHERE amount_mg > 0 AND $__conditionalAll(v IN (${v:singlequote}), $v)'
    """
    among = (
        f"$__conditionalAll({name} IN (${{{name}:singlequote}}), ${name})" for name in variables
    )
    return f"WHERE {' AND '.join((*conditions, *among))}"
