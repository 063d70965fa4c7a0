"""*Carbon*: what was emitted and saved, where, under which programme, by which vehicles, when?"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.dashboards.amounts import (
    ACTIVITIES,
    ENERGY_KWH,
    G_PER_KWH,
    IS_ACTIVITY,
    KG,
    KWH,
    MG_PER_KG,
    MG_PER_T,
    TKM,
    TRANSPORT_TKM,
    T,
    emitted,
    saved,
)
from deploy.grafana.dashboards.panels import (
    COUNT,
    SHARE,
    Section,
    bars,
    line,
    number,
    page,
    rows,
)
from deploy.grafana.dashboards.sources import Sql, chosen, where

CHOICES: Final = ("programme", "region", "vehicle_class")
IN_RANGE: Final = "$__timeFilter(booked_at)"
BOOKED: Final = f"FROM ledger\n{where(IN_RANGE, variables=CHOICES)}"
ONES_OWN: Final = "${__field.labels.%s}"
REGIONS_MAX: Final = 40


def total(column: str) -> Sql:
    """Return a question for one number over all that is chosen."""
    return Sql(text=f"SELECT {column} AS value\n{BOOKED}")


def over_time(amount: str, by: str) -> Sql:
    """Return a question for an amount over time, a line for each value of a column."""
    text = f"""SELECT $__timeInterval(booked_at) AS time, {by}, {amount} AS amount
{BOOKED}
GROUP BY time, {by}
ORDER BY time, {by}"""
    return Sql(text=text, is_lines=True)


def each(by: str, *, order: str = "emitted DESC", mg_per_unit: int = MG_PER_T) -> Sql:
    """Return a question for what was emitted and saved, by a column."""
    text = f"""SELECT {by}, {emitted(mg_per_unit)} AS emitted, {saved(mg_per_unit)} AS saved
{BOOKED}
GROUP BY {by.rpartition(" ")[2]}
ORDER BY {order}
LIMIT {REGIONS_MAX}"""
    return Sql(text=text)


def totals() -> Section:
    """Return the numbers on top."""
    share = (
        f"sumIf(amount_mg * if(credit_account = account_id, 1, -1), quantity = 'reduction') / "
        f"nullIf(sumIf(baseline_mg, {IS_ACTIVITY}), 0)"
    )
    return Section(
        "In this range",
        [
            number(
                "Emitted [t CO2]",
                total(emitted(MG_PER_T)),
                unit=T,
                why="What the activities of this range emitted, within the boundary of their "
                "programme (tank or well to wheel). CO2 or CO2e, as their factors have it.",
            ),
            number(
                "Saved [t CO2]",
                total(saved(MG_PER_T)),
                unit=T,
                why="What was not emitted against the baseline of the programme; below 0 where "
                "more was. Programmes that claim no reductions add nothing.",
            ),
            number(
                "Saved [% of the baseline]",
                total(share),
                unit=SHARE,
                why="What was saved as a share of what the baseline would have emitted.",
                decimals=1,
            ),
            number(
                "Activities booked",
                total(ACTIVITIES),
                unit=COUNT,
                why="Charging sessions and freight trips.",
            ),
            number(
                "Energy charged [kWh]",
                total(f"sumIf(energy_wh, {IS_ACTIVITY} AND activity = 'charging') / 1000"),
                unit=KWH,
                why="Energy of charging sessions.",
            ),
            number(
                "Transport [tkm]",
                total(TRANSPORT_TKM),
                unit=TKM,
                why="Transport activity of freight trips: mass times distance, as ISO 14083 has "
                "it.",
            ),
        ],
    )


def when() -> Section:
    """Return amounts over time."""
    both = f"""SELECT $__timeInterval(booked_at) AS time,
    {emitted(MG_PER_KG)} AS emitted, {saved(MG_PER_KG)} AS saved
{BOOKED}
GROUP BY time
ORDER BY time"""
    return Section(
        "Over time",
        [
            line(
                "Emitted and saved, by interval [kg CO2]",
                Sql(text=both, is_lines=True),
                unit=KG,
                why="Each bar is what was booked for its interval: an hour at least.",
                is_bars=True,
                width=24,
                at_least="1h",
            ),
            line(
                "Emitted, by programme and interval [kg CO2]",
                over_time(emitted(MG_PER_KG), "programme"),
                unit=KG,
                why="Whose activities emitted it.",
                is_stacked=True,
                is_bars=True,
                names=ONES_OWN % "programme",
                at_least="1h",
            ),
            line(
                "Saved, by programme and interval [kg CO2]",
                over_time(saved(MG_PER_KG), "programme"),
                unit=KG,
                why="Whose activities saved it.",
                is_stacked=True,
                is_bars=True,
                names=ONES_OWN % "programme",
                at_least="1h",
            ),
            bars(
                "Emitted and saved, by hour of the day in UTC [t CO2]",
                each("leftPad(toString(toHour(booked_at)), 2, '0') AS hour", order="hour"),
                unit=T,
                why="When in the day, in UTC: 08 is from eight to nine. Charging moves to hours "
                "in which the grid is cleaner, or does not.",
                by="hour",
            ),
            bars(
                "Emitted per energy charged, by hour of the day in UTC [g/kWh]",
                Sql(
                    text=f"""SELECT leftPad(toString(toHour(booked_at)), 2, '0') AS hour,
    sum(emissions_mg) / sum(energy_wh) AS intensity
{BOOKED} AND {IS_ACTIVITY} AND activity = 'charging' AND energy_wh > 0
GROUP BY hour
ORDER BY hour"""
                ),
                unit=G_PER_KWH,
                why="How clean the energy was that was charged in each hour. It is flat where the "
                "factors are yearly ones.",
                by="hour",
            ),
        ],
    )


def by_what() -> Section:
    """Return amounts by place and vehicle."""
    return Section(
        "Where and by which vehicles",
        [
            bars(
                "Emitted and saved, by region [t CO2]",
                each("region"),
                unit=T,
                why=f"The {REGIONS_MAX} regions that emitted most. A trip counts where it began.",
                by="region",
                width=24,
            ),
            bars(
                "Emitted and saved, by vehicle class [t CO2]",
                each("vehicle_class"),
                unit=T,
                why="Which vehicles, as their programme classes them.",
                by="vehicle_class",
            ),
            bars(
                "Emitted and saved, by programme [t CO2]",
                each("programme"),
                unit=T,
                why="Under which programme.",
                by="programme",
            ),
        ],
    )


def in_full() -> Section:
    """Return the table behind it."""
    text = f"""SELECT programme, region, vehicle_class, {ACTIVITIES} AS activities,
    {emitted(MG_PER_T)} AS emitted, {saved(MG_PER_T)} AS saved,
    {ENERGY_KWH} AS energy, {TRANSPORT_TKM} AS transport, uniq(account_id) AS accounts
{BOOKED}
GROUP BY programme, region, vehicle_class
ORDER BY emitted DESC
LIMIT 1000"""
    return Section(
        "In full",
        [
            rows(
                "Programme, region, vehicle class [t CO2, kWh, tkm]",
                Sql(text=text),
                why="Everything above in one table: click on a head to sort, on a filter to "
                "choose.",
                units={"emitted": T, "saved": T, "energy": KWH, "transport": TKM},
                height=12,
            )
        ],
    )


def build() -> Dashboard:
    """Return the dashboard."""
    return page(
        "Carbonflow: Carbon",
        uid="carbonflow-carbon",
        why="How much was emitted and saved, where, under which programme, by which vehicles, "
        "when? By the time of the activity, not of its record.",
        since="now-1y",
        refresh="5m",
        has_history=True,
        variables=[
            chosen(name, label, f"SELECT DISTINCT {name} FROM ledger ORDER BY {name}")
            for name, label in zip(CHOICES, ("Programme", "Region", "Vehicle class"), strict=True)
        ],
        sections=[totals(), when(), by_what(), in_full()],
    )
