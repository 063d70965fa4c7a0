"""How panels look: numbers, lines, bars, tables, heat, states; and the dashboard around them.

Every panel has a unit, in its title too, and a description that says what it answers and when it is
bad. Colours are green, orange and red for good, watch and act; what is neither is blue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import barchart, heatmap, stat, statetimeline, table
from grafana_foundation_sdk.builders import timeseries as lines
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    FieldColor,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, Threshold

from deploy.grafana.dashboards.sources import Query

TAG: Final = "carbonflow"
SAMPLE_FROM_MS: Final = 1_606_780_800_000
"""A month before the sample begins, 2020-12-01: it begins with 2021 in its own time zones."""
GOOD: Final = "green"
WATCH: Final = "orange"
ACT: Final = "red"
PLAIN: Final = "blue"

SECONDS: Final = "s"
SHARE: Final = "percentunit"
COUNT: Final = "short"
BYTES: Final = "bytes"
CORES: Final = "suffix:cores"

Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour, the first without a value."""


class _Panel(Protocol):
    """What the builders of all kinds of panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: common.DataSourceRef) -> Self: ...
    def with_target(self, target: Builder[Dataquery]) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def height(self, h: int) -> Self: ...
    def span(self, w: int) -> Self: ...


P = TypeVar("P", bound=_Panel)


def _asking(panel: P, title: str, why: str, queries: Sequence[Query], *, unit: str) -> P:
    panel.title(title).description(why).datasource(queries[0].source).unit(unit)
    for ref_id, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(query.target(ref_id))
    return panel


def _steps(steps: Steps) -> ThresholdsConfig:
    return (
        ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in steps])
    )


def _coloured(mode: dashboard.FieldColorModeId) -> FieldColor:
    return FieldColor().mode(mode)


def _legend(calcs: Sequence[str] = ()) -> VizLegendOptions:
    mode = common.LegendDisplayMode.TABLE if calcs else common.LegendDisplayMode.LIST
    return (
        VizLegendOptions()
        .show_legend(True)
        .display_mode(mode)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(list(calcs))
    )


def _tooltip() -> VizTooltipOptions:
    return (
        VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )


def number(
    title: str,
    query: Query,
    *,
    unit: str,
    why: str,
    steps: Steps = ((None, PLAIN),),
    decimals: int | None = None,
    none: str = "-",
    width: int = 4,
) -> stat.Panel:
    """Return a panel with one number, coloured by its steps; `none` stands where there is none."""
    panel = (
        _asking(stat.Panel(), title, why, [query], unit=unit)
        .height(4)
        .span(width)
        .no_value(none)
        .thresholds(_steps(steps))
        .color_scheme(_coloured(dashboard.FieldColorModeId.THRESHOLDS))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return panel if decimals is None else panel.decimals(decimals)


def line(
    title: str,
    *queries: Query,
    unit: str,
    why: str,
    steps: Steps = (),
    is_stacked: bool = False,
    is_bars: bool = False,
    is_steps: bool = False,
    names: str = "",
    at_least: str = "",
    none: str = "nothing in this range",
    width: int = 12,
) -> lines.Panel:
    """Return a panel with lines over time, or bars; its steps are dashed lines across.

    Args:
        title: Title with the unit.
        *queries: What it asks.
        unit: Grafana's name of the unit.
        why: What it answers.
        steps: Where it becomes bad.
        is_stacked: Stack what adds up.
        is_bars: Bars, for what is counted by interval.
        is_steps: Steps, for what stays until it changes.
        names: What names each line where the query does not, such as `${__field.labels.region}`.
        at_least: The shortest interval, such as `1h`.
        none: Stands where there is nothing.
        width: Columns of 24.
    """
    panel = (
        _asking(lines.Panel(), title, why, queries, unit=unit)
        .height(8)
        .span(width)
        .no_value(none)
        .legend(_legend(["lastNotNull", "max"]))
        .tooltip(_tooltip())
        .color_scheme(_coloured(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(1)
        .fill_opacity(60 if is_bars else 20 if is_stacked else 0)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
    )
    if at_least:
        panel.interval(at_least)
    if is_steps:
        panel.line_interpolation(common.LineInterpolation.STEP_AFTER)
    if is_bars:
        panel.draw_style(common.GraphDrawStyle.BARS)
    if is_stacked:
        panel.stacking(StackingConfig().mode(common.StackingMode.NORMAL))
    if names:
        panel.display_name(names)
    if steps:
        style = GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_steps(steps)).thresholds_style(style)
    return panel


def bars(
    title: str, query: Query, *, unit: str, why: str, by: str, width: int = 12
) -> barchart.Panel:
    """Return a panel with bars side by side, a group for each value of the column `by`."""
    return (
        _asking(barchart.Panel(), title, why, [query], unit=unit)
        .height(9)
        .span(width)
        .no_value("nothing in this range")
        .x_field(by)
        .legend(_legend())
        .tooltip(_tooltip())
        .color_scheme(_coloured(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .x_tick_label_spacing(50)
    )


def rows(
    title: str,
    query: Query,
    *,
    why: str,
    units: Mapping[str, str],
    unit: str = "none",
    height: int = 9,
    width: int = 24,
) -> table.Panel:
    """Return a panel with a table; `units` has the unit of each column that has one."""
    panel = (
        _asking(table.Panel(), title, why, [query], unit=unit)
        .height(height)
        .span(width)
        .no_value("nothing in this range")
        .show_header(True)
        .cell_height(common.TableCellHeight.SM)
        .filterable(True)
    )
    for column, of_column in units.items():
        panel.override_by_name(column, [DynamicConfigValue(id_val="unit", value=of_column)])
    return panel


def heat(title: str, query: Query, *, unit: str, why: str, width: int = 12) -> heatmap.Panel:
    """Return a panel with the buckets of a histogram over time."""
    axis = heatmap.YAxisConfig().unit(unit)
    return (
        _asking(heatmap.Panel(), title, why, [query], unit=COUNT)
        .height(8)
        .span(width)
        .calculate(False)
        .y_axis(axis)
    )


def states(
    title: str, query: Query, *, why: str, named: Mapping[int, tuple[str, str]], width: int = 12
) -> statetimeline.Panel:
    """Return a panel with states over time; `named` has the word and the colour of each value."""
    options = {
        str(value): dashboard.ValueMappingResult(text=text, color=color)
        for value, (text, color) in named.items()
    }
    return (
        _asking(statetimeline.Panel(), title, why, [query], unit="none")
        .height(8)
        .span(width)
        .mappings([dashboard.ValueMap(options=options)])
        .legend(_legend())
        .show_value(common.VisibilityMode.NEVER)
    )


AnyPanel = Builder[dashboard.Panel]


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under a heading."""

    title: str
    panels: Sequence[AnyPanel]


def page(
    title: str,
    *,
    uid: str,
    why: str,
    since: str,
    refresh: str,
    variables: Sequence[QueryVariable] = (),
    sections: Sequence[Section],
    has_history: bool = False,
) -> dashboard.Dashboard:
    """Return a dashboard, with links to the others.

    Args:
        title: Title.
        uid: What stands in its address, the same for ever.
        why: What it answers.
        since: Where its range begins, such as `now-6h`.
        refresh: How often it asks again.
        variables: What can be chosen.
        sections: Its panels.
        has_history: It goes by the time of activities, those of the demo's sample among them.
    """
    others = (
        DashboardLink("Carbonflow")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .placement("")  # In sight, not in a menu.
        .as_dropdown(False)
        .keep_time(False)
        .include_vars(False)
    )
    made = (
        Dashboard(title)
        .uid(uid)
        .description(why)
        .tags([TAG])
        .readonly()
        .time(since, "now")
        .timezone("browser")
        .refresh(refresh)
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(others)
    )
    if has_history:
        made.link(
            DashboardLink("Since 2021, as the sample")
            .type(dashboard.DashboardLinkType.LINK)
            .url(f"/d/{uid}?from={SAMPLE_FROM_MS}&to=now")
            .placement("")
            .include_vars(True)
        )
    for variable in variables:
        made.with_variable(variable)
    for section in sections:
        made.with_row(Row(section.title))
        for panel in section.panels:
            made.with_panel(panel)
    built = made.build()
    for place, each in enumerate(built.panels or (), 1):
        each.id_val = place
    return built
