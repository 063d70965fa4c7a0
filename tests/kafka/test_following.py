"""Balances followed on real Apache Kafka: what is committed counts, in all partitions."""

import asyncio
from pathlib import Path

import clickhouse_connect
import pytest

from tests.kafka.server import KafkaServer
from tests.sinks.bench import make_bench, run
from tests.sinks.facts import Facts
from tests.sinks.test_following import follow_what_is_committed

pytestmark = pytest.mark.kafka


def test_who_follows_has_what_was_there_and_what_is_committed_later(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    with clickhouse_connect.get_client(interface="chdb", path=str(tmp_path / "store")) as client:
        bench = asyncio.run(make_bench(kafka.bootstrap, Facts(client, "carbonflow")))
    run(lambda: follow_what_is_committed(bench))
