"""The same job as Bytewax does it: a dataflow with keyed state, snapshots for recovery, a sink.

It is asked for less than Carbonflow: its snapshots let results come twice after a crash, no ledger
of transfers, no recognition of repeats, one factor for each region, and what is broken it only
leaves out.

Its settings are those that made it fastest when tried: batches of 10,000 from each partition, since
its sink waits for the broker after every batch. It fetches 5,000 records ahead instead of 100,000:
the embedded broker does not hold an empty fetch, and librdkafka at the end of a partition asks
again at once, all the time, which took three quarters of its processor time. Snapshots go to SQLite
once a second, as all peers keep what they did (see `job`).

Settings come from the environment: BENCH_BOOTSTRAP, BENCH_TOPIC, BENCH_OUTPUT, BENCH_PORT,
BENCH_DATA_DIR.
"""

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from prometheus_client import Counter

from benchmarks.peers.job import DURABLE_S, begin, decoded, emission_mg, read_schema, result

EPOCH: Final = timedelta(seconds=DURABLE_S)
BATCH: Final = 10_000
QUEUED_MIN: Final = "5000"

Emission = tuple[str, int]
Booked = tuple[str, int, int]


def build_flow(environ: Mapping[str, str], worked: Counter) -> Dataflow:
    """Return the dataflow; it connects when it is run."""
    brokers = [environ["BENCH_BOOTSTRAP"]]
    schema = read_schema()

    def emission(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, Emission] | None:
        worked.inc()
        session = decoded(message.value, schema)
        amount_mg = None if session is None else emission_mg(session)
        if session is None or amount_mg is None:
            return None
        return session["account_id"], (session["session_id"], amount_mg)

    def book(before_mg: int | None, emission: Emission) -> tuple[int, Booked]:
        session_id, amount_mg = emission
        balance_mg = (before_mg or 0) + amount_mg
        return balance_mg, (session_id, amount_mg, balance_mg)

    def message(booked: tuple[str, Booked]) -> KafkaSinkMessage[bytes, bytes]:
        account_id, (session_id, amount_mg, balance_mg) = booked
        value = json.dumps(result(session_id, account_id, amount_mg, balance_mg))
        return KafkaSinkMessage(account_id.encode(), value.encode())

    flow = Dataflow("bench")
    read = kafka.input(
        "read",
        flow,
        brokers=brokers,
        topics=[environ["BENCH_TOPIC"]],
        tail=True,
        batch_size=BATCH,
        add_config={"queued.min.messages": QUEUED_MIN},
    )
    emissions = op.filter_map("emission", read.oks, emission)
    balances = op.stateful_map("book", emissions, book)
    kafka.output(
        "write",
        op.map("message", balances, message),
        brokers=brokers,
        topic=environ["BENCH_OUTPUT"],
        add_config={"linger.ms": "0", "compression.type": "lz4"},
    )
    return flow


def main() -> None:
    snapshots = Path(os.environ["BENCH_DATA_DIR"])
    snapshots.mkdir(parents=True)
    init_db_dir(snapshots, 1)
    flow = build_flow(os.environ, begin(int(os.environ["BENCH_PORT"])))
    cli_main(flow, epoch_interval=EPOCH, recovery_config=RecoveryConfig(snapshots))


if __name__ == "__main__":
    main()
