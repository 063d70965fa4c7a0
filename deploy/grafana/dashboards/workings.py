"""The lower half of *Pipeline*: slices, refusals, recoveries, and what answers over HTTP."""

from __future__ import annotations

from deploy.grafana.dashboards.panels import (
    ACT,
    BYTES,
    CORES,
    COUNT,
    GOOD,
    SECONDS,
    SHARE,
    WATCH,
    Section,
    line,
    states,
)
from deploy.grafana.dashboards.rates import (
    OF_WORKER,
    PER_S,
    RATE,
    REFUSED,
    REFUSED_SHARE,
    mean,
    per_s,
    quantile,
)
from deploy.grafana.dashboards.sources import Prom


def slices() -> Section:
    """Return how slices are worked."""
    return Section(
        "Slices",
        [
            line(
                "Time of a slice, by stage, mean [s]",
                Prom(expr=mean("carbonflow_slice_seconds", "stage", OF_WORKER), legend="{{stage}}"),
                unit=SECONDS,
                why="Where the time goes: reading, the step, the transaction on Kafka, and taking "
                "over what came of it.",
            ),
            line(
                "Time of a slice, by stage, p99 [s]",
                Prom(
                    expr=quantile(0.99, "carbonflow_slice_seconds", "stage", OF_WORKER),
                    legend="{{stage}}",
                ),
                unit=SECONDS,
                why="The same of the slowest slice of a hundred. A slow `deliver` is a slow "
                "broker.",
            ),
            line(
                "Records of a slice",
                Prom(expr=mean("carbonflow_slice_records", labels=OF_WORKER), legend="mean"),
                Prom(
                    expr=quantile(0.99, "carbonflow_slice_records", labels=OF_WORKER),
                    legend="p99",
                ),
                unit=COUNT,
                why="Few when it is quiet, thousands when workers are behind. Small slices under "
                "a large lag mean that a slice takes too long.",
            ),
            line(
                "Slices at work, by stage",
                Prom(
                    expr=per_s("carbonflow_slice_seconds_sum", "stage", OF_WORKER),
                    legend="{{stage}}",
                ),
                unit=COUNT,
                why="How many slices were in each stage at a time: seconds of work in each "
                "second. The largest is what a loaded worker waits for.",
                is_stacked=True,
            ),
        ],
    )


def refusals() -> Section:
    """Return what is refused."""
    refused = per_s("carbonflow_refusals_total", "code", OF_WORKER)
    return Section(
        "Refusals",
        [
            line(
                "Refused, by code [1/s]",
                Prom(expr=f"{refused} > 0", legend="{{code}}"),
                unit=PER_S,
                why="Events that workers refused, by reason. Nothing is shown where none was.",
                is_stacked=True,
                is_bars=True,
            ),
            line(
                "Refused [% of events]",
                Prom(expr=REFUSED_SHARE, legend="refused"),
                unit=SHARE,
                why="Share of events that were refused, all sources together.",
                steps=REFUSED,
            ),
            line(
                "Not stored because it cannot be decoded, by topic and code [1/s]",
                Prom(
                    expr=per_s("carbonflow_sink_skipped_total", "topic, code"),
                    legend="{{topic}} {{code}}",
                ),
                unit=PER_S,
                width=24,
                why="Records whose activity the sink could not store. The worker refuses the same "
                "ones.",
            ),
        ],
    )


def recoveries() -> Section:
    """Return what ended, came back and waits."""
    return Section(
        "Recoveries",
        [
            states(
                "Processes up",
                Prom(expr="up", legend="{{job}} {{instance}}"),
                why="Whether Prometheus reached each process.",
                named={0: ("down", ACT), 1: ("up", GOOD)},
            ),
            line(
                "Restarts in the hour before, by process",
                Prom(
                    expr="sum by (job, instance) (changes(process_start_time_seconds[1h]))",
                    legend="{{job}} {{instance}}",
                ),
                unit=COUNT,
                why="How often each process was started again. One is an upgrade or a machine; "
                "several are a reason that its log names.",
                steps=((None, GOOD), (2, WATCH), (5, ACT)),
            ),
            line(
                "Restoring the accounts of a partition [s]",
                Prom(expr=mean("carbonflow_restore_seconds", labels=OF_WORKER), legend="mean"),
                Prom(
                    expr=quantile(0.99, "carbonflow_restore_seconds", labels=OF_WORKER),
                    legend="p99",
                ),
                unit=SECONDS,
                why="From taking over a partition to having its accounts, after a start or when "
                "another worker has left. Nothing is worked there meanwhile.",
                steps=((None, GOOD), (30, WATCH), (300, ACT)),
            ),
            line(
                "Accounts awaited since [s]",
                Prom(
                    expr=f"max by (instance) (carbonflow_restoring_seconds{{{OF_WORKER}}})",
                    legend="{{instance}}",
                ),
                unit=SECONDS,
                why="How long the longest restoration has been under way, 0 if none is.",
                steps=((None, GOOD), (30, WATCH), (300, ACT)),
            ),
            line(
                "Late events waiting for the store since [s]",
                Prom(
                    expr=f"max by (instance) (carbonflow_late_waiting_seconds{{{OF_WORKER}}})",
                    legend="{{instance}}",
                ),
                unit=SECONDS,
                why="How long late events have waited for an answer of the store; all others go "
                "on.",
                steps=((None, GOOD), (60, WATCH), (600, ACT)),
            ),
            line(
                "Since source, ledger and balances were compared [s]",
                Prom(
                    expr="time() - (carbonflow_verify_last_timestamp_seconds > 0)",
                    legend="{{instance}}",
                ),
                unit=SECONDS,
                why="Time since `carbonflow verify --every` last came to an end.",
                none="verify --every has not compared yet",
            ),
        ],
    )


def processes() -> Section:
    """Return what processes take."""
    return Section(
        "Processes",
        [
            line(
                "Memory, by process [bytes]",
                Prom(expr="process_resident_memory_bytes", legend="{{job}} {{instance}}"),
                unit=BYTES,
                why="Memory in use. That of workers grows with accounts and then stays.",
            ),
            line(
                "Processor, by process [cores]",
                Prom(
                    expr=f"rate(process_cpu_seconds_total{RATE})",
                    legend="{{job}} {{instance}}",
                ),
                unit=CORES,
                why="Processor time in each second; docs/capacity.md says what is usual.",
            ),
        ],
    )


def front() -> Section:
    """Return how gateway and API answer."""
    gateway, api = "carbonflow_gateway", "carbonflow_api"
    return Section(
        "Gateway and API",
        [
            line(
                "Records into the gateway, by what became of them [1/s]",
                Prom(expr=per_s(f"{gateway}_records_total", "status"), legend="{{status}}"),
                unit=PER_S,
                why="Accepted, known already (repeated), the same id with other contents "
                "(conflict), refused, and without an answer of the broker in time "
                "(unacknowledged).",
                is_stacked=True,
            ),
            line(
                "Records the broker has not acknowledged",
                Prom(expr=f"sum by (instance) ({gateway}_waiting)", legend="{{instance}}"),
                unit=COUNT,
                why="Records that the gateway holds. Where it holds too many, senders are told to "
                "come again.",
            ),
            line(
                "Requests to the gateway, by route, p99 [s]",
                Prom(
                    expr=quantile(0.99, f"{gateway}_request_seconds", "route"), legend="{{route}}"
                ),
                unit=SECONDS,
                why="From a request to the end of its answer, which waits for the broker.",
            ),
            line(
                "Requests to the gateway, by status [1/s]",
                Prom(expr=per_s(f"{gateway}_requests_total", "status"), legend="{{status}}"),
                unit=PER_S,
                why="Mistakes of senders, and senders that come too often, are 4xx; ours are 5xx.",
                is_stacked=True,
            ),
            line(
                "Requests to the API, by route, p99 [s]",
                Prom(expr=quantile(0.99, f"{api}_request_seconds", "route"), legend="{{route}}"),
                unit=SECONDS,
                why="From a request to the end of its answer.",
            ),
            line(
                "Requests to the API, by status [1/s]",
                Prom(expr=per_s(f"{api}_requests_total", "status"), legend="{{status}}"),
                unit=PER_S,
                why="Mistakes of askers, and askers that come too often, are 4xx; ours are 5xx.",
                is_stacked=True,
            ),
        ],
    )
