"""*Data quality*: how good is what the amounts rest on, and what did not become an amount?"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.dashboards.amounts import IS_ACTIVITY, KG_PER_T, MG_PER_T, TKM, T, emitted
from deploy.grafana.dashboards.panels import (
    ACT,
    COUNT,
    GOOD,
    SECONDS,
    SHARE,
    WATCH,
    Section,
    bars,
    line,
    number,
    page,
    rows,
)
from deploy.grafana.dashboards.rates import PER_S, per_s
from deploy.grafana.dashboards.sources import Prom, Sql, chosen, where

PROGRAMME: Final = ("programme",)
OF_BOOKED: Final = where("$__timeFilter(booked_at)", IS_ACTIVITY, variables=PROGRAMME)
BOOKED: Final = f"FROM ledger\n{OF_BOOKED}"
DRIVEN: Final = f"FROM trips\n{where('$__timeFilter(arrived_at)', variables=PROGRAMME)}"
REFUSED: Final = f"FROM refused\n{where('$__timeFilter(_timestamp)')}"
LATE_DAYS: Final = 35
"""How long an event is remembered by default (CARBONFLOW_DEDUPE_DAYS)."""


def glance() -> Section:
    """Return the numbers on top."""
    return Section(
        "At a glance",
        [
            number(
                "Exact factors [% of emissions]",
                Sql(
                    text="SELECT sumIf(amount_mg, factor_match = 'exact') "
                    f"/ nullIf(sum(amount_mg), 0) AS value\n{BOOKED}"
                ),
                unit=SHARE,
                why="Share of emissions whose factor is of the very region and time. The rest "
                "rests on a larger region, an earlier period, or a year instead of an hour.",
                steps=((None, ACT), (0.5, WATCH), (0.9, GOOD)),
                decimals=1,
            ),
            number(
                "Primary data [% of tkm]",
                Sql(
                    text="SELECT sumIf(cargo_kg * distance_m, data_grade = 'primary') "
                    f"/ nullIf(sum(cargo_kg * distance_m), 0) AS value\n{DRIVEN}"
                ),
                unit=SHARE,
                why="Share of transport whose energy was measured (GLEC's primary data), of all "
                "trips that came in.",
                steps=((None, ACT), (0.2, WATCH), (0.6, GOOD)),
                decimals=1,
            ),
            number(
                f"Recorded over {LATE_DAYS} days after [% of activities]",
                Sql(
                    text=f"SELECT countIf(recorded_at > booked_at + INTERVAL {LATE_DAYS} DAY) "
                    f"/ nullIf(count(), 0) AS value\n{BOOKED}"
                ),
                unit=SHARE,
                why="Share of activities that were learnt of so long after that a repeat may have "
                "been forgotten meanwhile. A history that is loaded counts, too.",
                steps=((None, GOOD), (0.05, WATCH), (0.5, ACT)),
                decimals=1,
            ),
            number(
                "Repeats, of all time [% of events]",
                Sql(
                    text="SELECT sum(duplicate_count) / nullIf(sum(duplicate_count) "
                    "+ sum(session_count) + sum(trip_count), 0) AS value FROM accounts"
                ),
                unit=SHARE,
                why="Share of events that had been booked before. They do no harm, but much of it "
                "is a sender that repeats what was acknowledged.",
                steps=((None, GOOD), (0.05, WATCH), (0.2, ACT)),
                decimals=2,
            ),
            number(
                "Refused in this range",
                Sql(text=f"SELECT count() AS value\n{REFUSED}"),
                unit=COUNT,
                why="Events and rows that were refused.",
                steps=((None, GOOD), (1, WATCH)),
            ),
            number(
                "Without a factor in this range",
                Sql(text=f"SELECT countIf(code = 'factor_not_found') AS value\n{REFUSED}"),
                unit=COUNT,
                why="Refused because no factor fits with the fallbacks that the programme allows: "
                "load one and replay them.",
                steps=((None, GOOD), (1, ACT)),
            ),
        ],
    )


def factors() -> Section:
    """Return how factors matched, and what they are worth."""
    over_time = f"""SELECT $__timeInterval(booked_at) AS time, factor_match,
    count() AS activities
{BOOKED}
GROUP BY time, factor_match
ORDER BY time, factor_match"""
    evidence = f"""SELECT if(evidence = '', 'not published', toString(evidence)) AS tag,
    {emitted(MG_PER_T)} AS emitted
FROM (
    SELECT credit_account, account_id, amount_mg, quantity, factor_id, factor_release FROM ledger
    {OF_BOOKED}
) AS booked
LEFT JOIN (SELECT release, factor_id AS id, evidence FROM published_factors) AS factor
ON factor.release = booked.factor_release AND factor.id = booked.factor_id
GROUP BY tag
ORDER BY emitted DESC"""
    weak = f"""SELECT programme, region, factor_match, factor_id, factor_release,
    count() AS activities, {emitted(MG_PER_T)} AS emitted, max(booked_at) AS latest
{BOOKED} AND factor_match != 'exact'
GROUP BY programme, region, factor_match, factor_id, factor_release
ORDER BY emitted DESC
LIMIT 500"""
    return Section(
        "Factors",
        [
            line(
                "How factors matched, by interval [activities]",
                Sql(text=over_time, is_lines=True),
                unit=COUNT,
                why="Either `exact`, or which fallbacks were taken: `parent_region`, "
                "`earlier_period`, `annual_for_hourly`.",
                is_stacked=True,
                is_bars=True,
                names="${__field.labels.factor_match}",
                at_least="1h",
            ),
            line(
                "How factors match now [1/s]",
                Prom(expr=per_s("carbonflow_factor_matches_total", "how"), legend="{{how}}"),
                unit=PER_S,
                why="The same as it is booked. More fallbacks after a turn of the year mean that "
                "the new factors are not there.",
                is_stacked=True,
            ),
            line(
                "Until the last dated factor ends, by kind [s]",
                Prom(
                    expr="min by (kind) (carbonflow_factors_until_timestamp_seconds) - time()",
                    legend="{{kind}}",
                ),
                unit=SECONDS,
                why="Below 0 every activity of today rests on an earlier period, or is refused.",
                steps=((None, WATCH), (0, GOOD)),
                width=8,
            ),
            bars(
                "Emitted, by the evidence of its factor [t CO2]",
                Sql(text=evidence),
                unit=T,
                why="V1 read in the original, V2 two sources agree, V3 one secondary source, C "
                "computed from such, `user` supplied by the operator.",
                by="tag",
                width=8,
            ),
            rows(
                "Where a factor stands in for another [t CO2]",
                Sql(text=weak),
                why="Which regions and times need factors of their own, those that emitted most "
                "first.",
                units={"emitted": T},
                width=8,
            ),
        ],
    )


def grades() -> Section:
    """Return what trips know of themselves."""
    by_grade = f"""SELECT data_grade, sum(cargo_kg * distance_m / 1000) / {KG_PER_T} AS transport
{DRIVEN}
GROUP BY data_grade
ORDER BY transport DESC"""
    by_source = f"""SELECT source, programme, count() AS trips,
    countIf(data_grade = 'primary') / count() AS primary_share,
    countIf(energy_used IS NOT NULL) / count() AS energy_share,
    countIf(distance_basis = 'actual') / count() AS actual_share
{DRIVEN}
GROUP BY source, programme
ORDER BY trips DESC"""
    return Section(
        "Data grade of trips",
        [
            bars(
                "Transport, by data grade [tkm]",
                Sql(text=by_grade),
                unit=TKM,
                why="GLEC's grades: primary is measured, modelled computed, default tabulated.",
                by="data_grade",
                width=8,
            ),
            rows(
                "Trips, by source [% of trips]",
                Sql(text=by_source),
                why="Who measures: the share of trips with primary data, with the energy they "
                "used, and with the distance they drove.",
                units={"primary_share": SHARE, "energy_share": SHARE, "actual_share": SHARE},
                width=16,
            ),
        ],
    )


def late() -> Section:
    """Return what came late or again."""
    after = f"""SELECT multiIf(hours < 24, '1: within a day', hours < 48, '2: within two days',
        hours < 168, '3: within a week', hours < {LATE_DAYS * 24}, '4: within {LATE_DAYS} days',
        '5: later') AS after, count() AS activities
FROM (SELECT dateDiff('hour', booked_at, recorded_at) AS hours
{BOOKED})
GROUP BY after
ORDER BY after"""
    repeats = """SELECT account_id, programme, duplicate_count AS repeats,
    duplicate_count / (duplicate_count + session_count + trip_count) AS share, last_booked_at
FROM accounts WHERE duplicate_count > 0
ORDER BY repeats DESC, account_id
LIMIT 100"""
    return Section(
        "Late events and repeats",
        [
            bars(
                "How long after it happened an activity was recorded [activities]",
                Sql(text=after),
                unit=COUNT,
                why="From the time that is booked to the time of the record.",
                by="after",
            ),
            line(
                "Late events and repeats [1/s]",
                Prom(expr=per_s("carbonflow_late_total"), legend="late"),
                Prom(expr=per_s("carbonflow_duplicates_total"), legend="repeats"),
                unit=PER_S,
                why="Late are events that the store is asked about, because their account has "
                "forgotten whether it had them.",
            ),
            rows(
                "Accounts with most repeats, of all time [% of their events]",
                Sql(text=repeats),
                why="Whose events come again.",
                units={"share": SHARE},
            ),
        ],
    )


def refusals() -> Section:
    """Return what was refused."""
    over_time = f"""SELECT $__timeInterval(_timestamp) AS time, code, count() AS refused
{REFUSED}
GROUP BY time, code
ORDER BY time, code"""
    by_code = f"""SELECT code, origin, source, count() AS refused, uniq(account_id) AS accounts,
    max(_timestamp) AS latest, anyLast(reason) AS example,
    anyLast(concat(toString(_partition), '-', toString(_offset))) AS refusal_id
{REFUSED}
GROUP BY code, origin, source
ORDER BY refused DESC, code"""
    return Section(
        "Refusals",
        [
            line(
                "Refused, by code and interval",
                Sql(text=over_time, is_lines=True),
                unit=COUNT,
                why="By when it was refused.",
                is_stacked=True,
                is_bars=True,
                names="${__field.labels.code}",
            ),
            line(
                "Refused by workers, by code [1/s]",
                Prom(expr=f"{per_s('carbonflow_refusals_total', 'code')} > 0", legend="{{code}}"),
                unit=PER_S,
                why="The same as it happens, without what a loader refused.",
                is_stacked=True,
                is_bars=True,
            ),
            rows(
                "Refused, by code, origin and source",
                Sql(text=by_code),
                why="Why, by whom, and whose. `carbonflow refusals show REFUSAL_ID` has the raw "
                "bytes and says what to do.",
                units={},
            ),
        ],
    )


def build() -> Dashboard:
    """Return the dashboard."""
    return page(
        "Carbonflow: Data quality",
        uid="carbonflow-quality",
        why="How good is what the amounts rest on, and what did not become an amount? The "
        "programme chooses among activities; refusals and rates are of all.",
        since="now-1y",
        refresh="5m",
        has_history=True,
        variables=[
            chosen(
                "programme", "Programme", "SELECT DISTINCT programme FROM ledger ORDER BY programme"
            )
        ],
        sections=[glance(), factors(), grades(), late(), refusals()],
    )
