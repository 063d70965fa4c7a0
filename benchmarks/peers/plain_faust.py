"""The same job as plain Faust does it: one event, one decode, one table write.

It is asked for less than Carbonflow: no ledger of transfers, no recognition of repeats, no
transaction, no result but the table's changelog, and what is broken it only leaves out. Its
settings are those that made it fastest in the sketch: buffers that never pause the fetch, large
polls, a producer that lingers, a table in memory. The web server is off.

Settings come from the environment: BENCH_BOOTSTRAP, BENCH_TOPIC, BENCH_APP, BENCH_PORT,
BENCH_PARTITIONS, BENCH_DATA_DIR.
"""

import os
from collections.abc import Mapping
from typing import Any

import faust
from prometheus_client import Counter

from benchmarks.peers.job import DURABLE_S, begin, decoded, emission_mg, read_schema


def build_app(environ: Mapping[str, str], worked: Counter) -> faust.App:
    """Return the application; nothing is opened yet."""
    partitions = int(environ["BENCH_PARTITIONS"])
    app = faust.App(
        environ["BENCH_APP"],
        broker=f"kafka://{environ['BENCH_BOOTSTRAP']}",
        datadir=environ["BENCH_DATA_DIR"],
        store="memory://",
        web_enabled=False,
        topic_partitions=partitions,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=16_384,
        stream_wait_empty=False,
        broker_max_poll_records=5_000,
        producer_linger=0.02,
        broker_commit_interval=DURABLE_S,
    )
    topic = app.topic(
        environ["BENCH_TOPIC"],
        key_type=bytes,
        key_serializer="raw",
        value_type=bytes,
        value_serializer="raw",
        partitions=partitions,
    )
    balances = app.Table("balances", default=int, partitions=partitions)
    schema = read_schema()

    @app.agent(topic)
    async def work(stream: Any) -> None:
        async for value in stream:
            session = decoded(value, schema)
            amount_mg = None if session is None else emission_mg(session)
            if session is not None and amount_mg is not None:
                balances[session["account_id"]] += amount_mg
            worked.inc()

    return app


def main() -> None:
    app = build_app(os.environ, begin(int(os.environ["BENCH_PORT"])))
    faust.Worker(app, loglevel="WARN", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
