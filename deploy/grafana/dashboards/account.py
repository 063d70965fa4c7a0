"""*Account*: what one account adds up to, how it came to be, and what of it was refused."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.dashboards.amounts import (
    IS_ACTIVITY,
    KG,
    KM,
    KWH,
    M_PER_KM,
    MG_PER_KG,
    SIGNED_MG,
    TKM,
    WH_PER_KWH,
    emitted,
    saved,
)
from deploy.grafana.dashboards.panels import COUNT, Section, bars, line, number, page, rows
from deploy.grafana.dashboards.sources import Sql, one_of

OF_ACCOUNT: Final = "account_id = ${account:singlequote}"
IN_RANGE: Final = f"{OF_ACCOUNT} AND $__timeFilter(booked_at)"
ROWS_MAX: Final = 1000


def held(column: str) -> Sql:
    """Return a question for one number of the balance."""
    return Sql(text=f"SELECT {column} AS value FROM accounts WHERE {OF_ACCOUNT}")


def balance() -> Section:
    """Return what it adds up to."""
    return Section(
        "Balance, of all time",
        [
            number(
                "Saved [kg CO2]",
                held(f"reduction_mg / {MG_PER_KG}"),
                unit=KG,
                why="Its reductions: what it saved against the baseline of its programme.",
            ),
            number(
                "Emitted [kg CO2]",
                held(f"emissions_mg / {MG_PER_KG}"),
                unit=KG,
                why="What its activities emitted.",
            ),
            number(
                "Energy [kWh]",
                held(f"energy_wh / {WH_PER_KWH}"),
                unit=KWH,
                why="Energy that was charged, and that trips by electric vehicles used.",
            ),
            number(
                "Transport [tkm]",
                held("transport_kg_km / 1000"),
                unit=TKM,
                why="Transport activity of its trips: mass times distance.",
            ),
            number(
                "Sessions and trips",
                held("session_count + trip_count"),
                unit=COUNT,
                why="Activities that were booked.",
            ),
            number(
                "Repeats",
                held("duplicate_count"),
                unit=COUNT,
                why="Events that came again and were not booked again.",
            ),
        ],
    )


def over_time() -> Section:
    """Return how the balance came to be."""
    running = f"""SELECT time, sum(saved_in) OVER (ORDER BY time) AS saved,
    sum(emitted_in) OVER (ORDER BY time) AS emitted
FROM (
    SELECT greatest($__timeInterval(booked_at), $__fromTime) AS time,
        {saved(MG_PER_KG)} AS saved_in, {emitted(MG_PER_KG)} AS emitted_in
    FROM ledger WHERE {OF_ACCOUNT} AND booked_at <= $__toTime
    GROUP BY time
)
ORDER BY time"""
    each = f"""SELECT $__timeInterval(booked_at) AS time,
    {saved(MG_PER_KG)} AS saved, {emitted(MG_PER_KG)} AS emitted
FROM ledger WHERE {IN_RANGE}
GROUP BY time
ORDER BY time"""
    regions = f"""SELECT region, {emitted(MG_PER_KG)} AS emitted, {saved(MG_PER_KG)} AS saved
FROM ledger WHERE {IN_RANGE}
GROUP BY region
ORDER BY emitted DESC"""
    energy = f"""SELECT $__timeInterval(booked_at) AS time, sum(energy_wh) / {WH_PER_KWH} AS energy
FROM ledger WHERE {IN_RANGE} AND {IS_ACTIVITY}
GROUP BY time
ORDER BY time"""
    return Section(
        "Over time",
        [
            line(
                "Balance [kg CO2]",
                Sql(text=running, is_lines=True),
                unit=KG,
                why="What had been saved and emitted up to then. The first point has all that was "
                "booked before the range.",
                is_steps=True,
                width=24,
            ),
            line(
                "Booked, by interval [kg CO2]",
                Sql(text=each, is_lines=True),
                unit=KG,
                why="What each interval added, a day at least.",
                is_bars=True,
                at_least="1d",
            ),
            line(
                "Energy, by interval [kWh]",
                Sql(text=energy, is_lines=True),
                unit=KWH,
                why="Energy of its activities, a day at least.",
                is_bars=True,
                at_least="1d",
            ),
            bars(
                "By region [kg CO2]",
                Sql(text=regions),
                unit=KG,
                why="Where it emitted and saved.",
                by="region",
                width=24,
            ),
        ],
    )


def statement() -> Section:
    """Return its transfers and refusals."""
    transfers = f"""SELECT booked_at, quantity, {SIGNED_MG} / {MG_PER_KG} AS amount, kind, activity,
    source, activity_id, region, vehicle_class, energy_wh / {WH_PER_KWH} AS energy,
    distance_m / {M_PER_KM} AS distance, factor_id, factor_release, factor_match, method,
    recorded_at, transfer_id
FROM ledger WHERE {IN_RANGE}
ORDER BY booked_at DESC, transfer_id
LIMIT {ROWS_MAX}"""
    refusals = f"""SELECT _timestamp AS refused_at, code, reason, source, topic,
    concat(toString(_partition), '-', toString(_offset)) AS refusal_id
FROM refused WHERE {OF_ACCOUNT} AND $__timeFilter(_timestamp)
ORDER BY refused_at DESC
LIMIT {ROWS_MAX}"""
    return Section(
        "Statement",
        [
            rows(
                "Transfers [kg CO2, kWh, km]",
                Sql(text=transfers),
                why=f"The newest {ROWS_MAX} of the range. `carbonflow explain TRANSFER_ID` has "
                "the formula of any of them.",
                units={"amount": KG, "energy": KWH, "distance": KM},
                height=14,
            ),
            rows(
                "Refusals",
                Sql(text=refusals),
                why="What came for this account and was refused, by when it was refused. "
                "`carbonflow refusals show REFUSAL_ID` says what to do.",
                units={},
            ),
        ],
    )


def build() -> Dashboard:
    """Return the dashboard."""
    latest = "SELECT account_id FROM accounts ORDER BY last_booked_at DESC, account_id LIMIT 500"
    return page(
        "Carbonflow: Account",
        uid="carbonflow-account",
        why="What one account adds up to, and how it came to be. The list has the 500 accounts "
        "with the latest activities; any other can be typed.",
        since="now-1y",
        refresh="5m",
        has_history=True,
        variables=[one_of("account", "Account", latest)],
        sections=[balance(), over_time(), statement()],
    )
