"""*Pipeline*: is all that comes in worked, how fast, and how old is what can be asked for?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.dashboards.panels import (
    ACT,
    COUNT,
    GOOD,
    SECONDS,
    SHARE,
    Section,
    heat,
    line,
    number,
    page,
)
from deploy.grafana.dashboards.rates import (
    BEHIND,
    FRESH_S,
    OF_WORKER,
    PER_S,
    RATE,
    REFUSED,
    REFUSED_SHARE,
    per_s,
    quantile,
)
from deploy.grafana.dashboards.sources import Prom, instances
from deploy.grafana.dashboards.workings import front, processes, recoveries, refusals, slices


def glance() -> Section:
    """Return the numbers on top."""
    fresh = quantile(0.99, "carbonflow_sink_freshness_seconds", labels='table="transfers"')
    return Section(
        "At a glance",
        [
            number(
                "Events worked [1/s]",
                Prom(expr=per_s("carbonflow_events_total", labels=OF_WORKER)),
                unit=PER_S,
                why="How many events workers took in: booked, repeated and refused ones.",
                width=3,
            ),
            number(
                "Lag of workers [events]",
                Prom(expr=f"sum(carbonflow_lag_offsets{{{OF_WORKER}}})"),
                unit=COUNT,
                why="Events that are on Kafka and not worked yet. It should go back to 0 after "
                "every peak; where it only grows, workers are too few or stand still.",
                steps=BEHIND,
                width=3,
            ),
            number(
                "Freshness of transfers, p99 [s]",
                Prom(expr=fresh),
                unit=SECONDS,
                why="From when a transfer was written to Kafka until it could be asked for. "
                "Nothing is shown where none came.",
                steps=FRESH_S,
                none="idle",
                width=3,
            ),
            number(
                "Refused now [% of events]",
                Prom(expr=REFUSED_SHARE),
                unit=SHARE,
                why="Share of events that were refused. Which and why is on the dashboard Data "
                "quality. At half of a source its breaker stops the worker.",
                steps=REFUSED,
                decimals=2,
                width=3,
            ),
            number(
                "Emission factors in force",
                Prom(expr=f"min(carbonflow_factors{{{OF_WORKER}}})"),
                unit=COUNT,
                why="Factors of the worker that has fewest. At 0 everything is refused.",
                steps=((None, ACT), (1, GOOD)),
                width=3,
            ),
            number(
                "Breakers open",
                Prom(expr=f"sum(carbonflow_breaker_open{{{OF_WORKER}}})"),
                unit=COUNT,
                why="Workers that stand still because too much of a source was refused.",
                steps=((None, GOOD), (1, ACT)),
                width=3,
            ),
            number(
                "Disagreements",
                Prom(expr="sum(carbonflow_verify_disagreements)"),
                unit=COUNT,
                why="What `carbonflow verify --every` found between source, ledger and balances.",
                steps=((None, GOOD), (1, ACT)),
                none="not compared",
                width=3,
            ),
            number(
                "Processes down",
                Prom(expr="count(up == 0) or vector(0)"),
                unit=COUNT,
                why="Processes that Prometheus cannot reach.",
                steps=((None, GOOD), (1, ACT)),
                width=3,
            ),
        ],
    )


def rate() -> Section:
    """Return what comes in and what becomes of it."""
    booked = per_s("carbonflow_factor_matches_total", labels=OF_WORKER)
    return Section(
        "Rate",
        [
            line(
                "Events worked, by topic [1/s]",
                Prom(expr=per_s("carbonflow_events_total", "topic", OF_WORKER), legend="{{topic}}"),
                unit=PER_S,
                why="Events that workers took in. An event of a late topic is one that was put "
                "there before, and counts again.",
                is_stacked=True,
            ),
            line(
                "What became of events [1/s]",
                Prom(expr=booked, legend="booked"),
                Prom(expr=per_s("carbonflow_duplicates_total", labels=OF_WORKER), legend="repeats"),
                Prom(expr=per_s("carbonflow_refusals_total", labels=OF_WORKER), legend="refused"),
                Prom(expr=per_s("carbonflow_late_total", labels=OF_WORKER), legend="late"),
                Prom(
                    expr=per_s("carbonflow_rekeyed_total", labels=OF_WORKER),
                    legend="moved to their partition",
                ),
                unit=PER_S,
                why="Each event is booked, known already, refused, or put off: into a late topic "
                "until the store has been asked, or into the partition of its account.",
                is_stacked=True,
            ),
            line(
                "Rows stored, by table [1/s]",
                Prom(expr=per_s("carbonflow_sink_rows_total", "table"), legend="{{table}}"),
                unit=PER_S,
                why="Rows that the sink inserted, repeats included.",
            ),
            line(
                "Accounts held, by partition",
                Prom(
                    expr=f"sum by (partition) (carbonflow_accounts{{{OF_WORKER}}})",
                    legend="partition {{partition}}",
                ),
                unit=COUNT,
                why="Accounts in the workers' memory or on their disks. Partitions should be "
                "about alike.",
            ),
        ],
    )


def lag() -> Section:
    """Return what waits, and where."""
    return Section(
        "Lag",
        [
            line(
                "Lag of workers, by topic [events]",
                Prom(
                    expr=f"sum by (topic) (carbonflow_lag_offsets{{{OF_WORKER}}})",
                    legend="{{topic}}",
                ),
                unit=COUNT,
                why="Events that are on Kafka and not worked yet. That of a late topic stands "
                "still while the store is away.",
            ),
            line(
                "Age of the last event worked while more wait, by topic [s]",
                Prom(
                    expr=f"max by (topic) (carbonflow_lag_seconds{{{OF_WORKER}}})",
                    legend="{{topic}}",
                ),
                unit=SECONDS,
                why="How far behind the partition is that is furthest behind. A line that climbs "
                "with the clock is a worker that makes no progress.",
                steps=FRESH_S,
            ),
            line(
                "Lag of the sink, by topic [records]",
                Prom(expr="sum by (topic) (carbonflow_sink_lag_offsets)", legend="{{topic}}"),
                unit=COUNT,
                why="Records that are on Kafka and not in the store yet.",
            ),
            line(
                "Lag of followed balances [records]",
                Prom(
                    expr="sum by (instance) (carbonflow_balances_lag_offsets)",
                    legend="{{instance}}",
                ),
                unit=COUNT,
                why="Records of balances that an API process has not taken in yet; it answers "
                "with older balances meanwhile.",
            ),
        ],
    )


def freshness() -> Section:
    """Return how old what can be asked for is."""
    name = "carbonflow_sink_freshness_seconds"
    buckets = f'sum by (le) (increase({name}_bucket{{table="transfers"}}{RATE}))'
    return Section(
        "Freshness",
        [
            line(
                "From Kafka to the store, by table, p99 [s]",
                Prom(expr=quantile(0.99, name, "table"), legend="{{table}}"),
                unit=SECONDS,
                why="From a record's timestamp until its row can be asked for: 99 of 100 rows "
                "were quicker.",
                steps=FRESH_S,
            ),
            line(
                "From Kafka to the store, by table, p50 [s]",
                Prom(expr=quantile(0.5, name, "table"), legend="{{table}}"),
                unit=SECONDS,
                why="The same of half of the rows.",
                steps=FRESH_S,
            ),
            heat(
                "Freshness of transfers [rows by s]",
                Prom(expr=buckets, legend="{{le}}", is_heatmap=True),
                unit=SECONDS,
                why="How many transfers took how long from Kafka to the store.",
            ),
            line(
                "Time of an insert, by table, p99 [s]",
                Prom(
                    expr=quantile(0.99, "carbonflow_sink_insert_seconds", "table"),
                    legend="{{table}}",
                ),
                unit=SECONDS,
                why="How long the store took for the rows of one topic. Where it grows, so does "
                "freshness; the store then merges too much or has too little disk.",
            ),
        ],
    )


def build() -> Dashboard:
    """Return the dashboard."""
    return page(
        "Carbonflow: Pipeline",
        uid="carbonflow-pipeline",
        why="Is everything that comes in worked, how fast, and how old is what can be asked for?",
        since="now-1h",
        refresh="10s",
        variables=[instances("worker", "Worker", "carbonflow_factors")],
        sections=[
            glance(),
            rate(),
            lag(),
            freshness(),
            slices(),
            refusals(),
            recoveries(),
            processes(),
            front(),
        ],
    )
