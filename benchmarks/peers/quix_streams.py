"""The same job as Quix Streams does it: a function with state for each event, RocksDB, a changelog.

It is asked for less than Carbonflow: at least once and not in transactions, no ledger of transfers,
no recognition of repeats, one factor for each region, and what is broken it only leaves out. It is
asked for more in one thing: its state is on disk and may outgrow memory.

Its settings are those that made it fastest when tried: one function for the whole job, since every
further step costs a call for each event, and producer batches that linger. It fetches 5,000 records
ahead instead of 100,000: the embedded broker does not hold an empty fetch, and librdkafka at the
end of a partition asks again at once, all the time. It commits once a second, as all do: see `job`.

Settings come from the environment: BENCH_BOOTSTRAP, BENCH_TOPIC, BENCH_OUTPUT, BENCH_APP,
BENCH_PORT, BENCH_DATA_DIR.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import Counter
from quixstreams import Application, State

from benchmarks.peers.job import DURABLE_S, begin, decoded, emission_mg, read_schema, result

QUEUED_MIN: Final = 5_000


def build_app(environ: Mapping[str, str], worked: Counter) -> Application:
    """Return the application; it has connected to nothing but its producer and consumer."""
    app = Application(
        broker_address=environ["BENCH_BOOTSTRAP"],
        consumer_group=environ["BENCH_APP"],
        state_dir=environ["BENCH_DATA_DIR"],
        commit_interval=DURABLE_S,
        auto_offset_reset="earliest",
        consumer_extra_config={"queued.min.messages": QUEUED_MIN},
        producer_extra_config={"linger.ms": 50, "compression.type": "lz4"},
        loglevel="WARNING",
    )
    source = app.topic(environ["BENCH_TOPIC"], key_deserializer="str", value_deserializer="bytes")
    output = app.topic(environ["BENCH_OUTPUT"], key_serializer="str", value_serializer="json")
    schema = read_schema()

    def work(value: bytes, state: State) -> dict[str, Any] | None:
        worked.inc()
        session = decoded(value, schema)
        amount_mg = None if session is None else emission_mg(session)
        if session is None or amount_mg is None:
            return None
        balance_mg = state.get("balance_mg", 0) + amount_mg
        state.set("balance_mg", balance_mg)
        return result(session["session_id"], session["account_id"], amount_mg, balance_mg)

    results = app.dataframe(source).apply(work, stateful=True)
    results.filter(lambda produced: produced is not None).to_topic(output)
    return app


def main() -> None:
    build_app(os.environ, begin(int(os.environ["BENCH_PORT"]))).run()


if __name__ == "__main__":
    main()
