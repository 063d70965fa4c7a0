"""No job at all: aiokafka's `getmany` over the same topic, each batch counted and dropped.

It is the limit of the client that Carbonflow reads with, so it is asked for nothing else: no
decoding, no state, no result, no commit. Fetches are as large as Carbonflow's. What Carbonflow
works in seconds this reads in a moment, so it begins a partition again whenever it is at its end.

Settings come from the environment: BENCH_BOOTSTRAP, BENCH_TOPIC, BENCH_APP, BENCH_PORT.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer
from prometheus_client import Counter

from benchmarks.peers.job import begin

FETCH_BYTES: Final = 4 << 20
RECORDS_MAX: Final = 65_536
"""At a time, so that the counter moves: noida-db's fetches bring whatever a partition has."""


async def count(environ: Mapping[str, str], worked: Counter) -> None:
    """Read the topic again and again and count its records, until cancelled."""
    consumer = AIOKafkaConsumer(
        environ["BENCH_TOPIC"],
        bootstrap_servers=environ["BENCH_BOOTSTRAP"],
        group_id=environ["BENCH_APP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    async with consumer:
        while True:
            fetched = await consumer.getmany(timeout_ms=50, max_records=RECORDS_MAX)
            worked.inc(sum(map(len, fetched.values())))
            for part, records in fetched.items():
                if records[-1].offset + 1 == consumer.highwater(part):
                    consumer.seek(part, 0)


def main() -> None:
    asyncio.run(count(os.environ, begin(int(os.environ["BENCH_PORT"]))))


if __name__ == "__main__":
    main()
