"""The gateway's metrics, each described here and nowhere else."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class GatewayMetrics:
    """All metrics of one gateway process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "carbonflow_gateway_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "carbonflow_gateway_request_seconds",
            "From request to the end of its answer [s].",
            ["method", "route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
            registry=registry,
        )
        self.records = Counter(
            "carbonflow_gateway_records",
            "Records that came in, by what became of them.",
            ["status"],
            registry=registry,
        )
        self.waiting = Gauge(
            "carbonflow_gateway_waiting",
            "Records that the broker has not acknowledged.",
            registry=registry,
        )
