"""The same job as plain Faust does it: one event, one decode, one table write.

It is asked for less than Carbonflow: no ledger of transfers, no recognition of repeats, no
transaction, and what is broken it only leaves out. Its settings are those that made it fastest in
the sketch: buffers that never pause the fetch, large polls, a producer that lingers, a table in
memory. The web server is off.

Settings come from the environment: BENCH_BOOTSTRAP, BENCH_TOPIC, BENCH_APP, BENCH_PORT,
BENCH_PARTITIONS, BENCH_DATA_DIR.
"""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import fastavro
import faust
from prometheus_client import CollectorRegistry, Counter, start_http_server

import schemas

FRAME_BYTES: Final = 5
UNDECODABLE: Final = (EOFError, IndexError, ValueError, StopIteration)

# CO2 per kWh in 2023 [mg]: MEE and NBS, announcement 47 of 2025.
FACTORS_MG: Final = {
    "CN-BJ": 555_400,
    "CN-SH": 573_700,
    "CN-GD": 441_900,
    "CN-SC": 156_400,
    "CN-HB": 404_400,
    "CN-LN": 487_800,
    "CN-SN": 633_500,
    "CN-XJ": 602_100,
}


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
    avro = Path(schemas.__path__[0]) / "avro" / "charging_session.v1.avsc"
    schema = fastavro.parse_schema(json.loads(avro.read_text()))

    @app.agent(topic)
    async def work(stream: Any) -> None:
        async for value in stream:
            session = decoded(value, schema)
            if session is not None and session["grid_region"] in FACTORS_MG:
                factor = FACTORS_MG[session["grid_region"]]
                balances[session["account_id"]] += round(session["energy_wh"] * factor / 1000)
            worked.inc()

    return app


def decoded(value: bytes, schema: Any) -> dict[str, Any] | None:
    """Return a framed session, or None where it is none."""
    if value[:1] != b"\0":
        return None
    try:
        session = fastavro.schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), schema, None)
    except UNDECODABLE:
        return None
    assert isinstance(session, dict), "the schema is a record"
    return session


def main() -> None:
    registry = CollectorRegistry()
    worked = Counter("peer_events_total", "Events worked.", registry=registry)
    start_http_server(int(os.environ["BENCH_PORT"]), "127.0.0.1", registry)
    app = build_app(os.environ, worked)
    faust.Worker(app, loglevel="WARN", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
