"""The writer on both stores: framed records in, rows out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from schemas.singles import encode_one
from sinks.queries import FactorFilter, Queries
from sinks.writer import ROUTES, BrokenRecordError, Writer
from tests.sinks.facts import T0_MS, Facts, balance, factor, session, transfer, trip


@dataclass(frozen=True)
class Record:
    """A Kafka record."""

    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = T0_MS
    key: bytes | None = b"ann"
    headers: Sequence[tuple[str, bytes]] = ()


def framed(record: str, row: dict[str, Any]) -> Record:
    """Return the record of a row, at the row's place."""
    fields = {name: value for name, value in row.items() if not name.startswith("_")}
    if record == "account_balance":
        fields |= {"seen": [1, 2], "seen_days": [18_628], "forgotten_until": 3}
    return Record(encode_one(record, fields), row["_partition"], row["_offset"], row["_timestamp"])


@pytest.fixture
def writer(facts: Facts) -> Writer:
    """A writer to the database of `facts`."""
    return Writer(facts.client, database=facts.database)


def all_topics() -> dict[str, list[Record]]:
    """Return two records for each topic."""
    sessions, trips = [session(0), session(1)], [trip(0), trip(1)]
    booked = [transfer(row, "emission", 5_000) for row in sessions]
    headers = {"code": "undecodable", "reason": "trübe", "origin": "worker", "offset": "12"}
    headers |= {"topic": "freight-trips", "partition": "3", "timestamp": str(T0_MS + 9)}
    refused = Record(b"\xff\x00", 1, 5, headers=[(k, v.encode()) for k, v in headers.items()])
    return {
        "emission-factors": [framed("emission_factor", factor(number)) for number in (0, 1)],
        "charging-sessions": [framed("charging_session", row) for row in sessions],
        "freight-trips": [framed("freight_trip", row) for row in trips],
        "refusals": [refused, replace(refused, offset=6, key=None)],
        "transfers": [framed("transfer", row) for row in booked],
        "account-balances": [framed("account_balance", balance(booked))] * 2,
    }


def test_every_topic_has_its_table(facts: Facts, writer: Writer) -> None:
    assert all_topics().keys() == ROUTES.keys()
    for topic, records in all_topics().items():
        written = writer.write(topic, records)
        assert (written.rows, written.skipped) == (2, {})
        (stored,) = facts.client.query(
            f"SELECT count() FROM {facts.database}.{written.table}"
        ).result_rows
        assert stored == (1 if topic == "account-balances" else 2,)


def test_what_was_written_is_read_back(writer: Writer, queries: Queries) -> None:
    for topic, records in all_topics().items():
        writer.write(topic, records)
    booked = queries.transfer("charging:cpo:s1:0:emission:0")
    assert booked is not None
    expected = transfer(session(1), "emission", 5_000)
    assert {name: getattr(booked, name) for name in expected if name[0] != "_"} == {
        name: value for name, value in expected.items() if name[0] != "_"
    }
    kept = queries.balance("ann")
    assert kept is not None
    assert (kept.emissions_mg, kept.updated_at) == (10_000, T0_MS + 1)
    assert [each.value_mg for each in queries.factors(FactorFilter()).items] == [200_000, 200_001]


def test_a_refusal_keeps_its_bytes_and_headers(writer: Writer, queries: Queries) -> None:
    writer.write("refusals", all_topics()["refusals"])
    found = queries.refusal("1-5")
    assert found is not None
    assert (found.key, found.value) == (b"ann", b"\xff\x00")
    assert (found.refusal.reason, found.refusal.topic) == ("trübe", "freight-trips")
    assert (found.refusal.partition, found.refusal.offset) == (3, 12)
    assert found.refusal.timestamp == T0_MS + 9
    without_key = queries.refusal("1-6")
    assert without_key is not None
    assert without_key.key is None


def test_writing_again_changes_nothing(facts: Facts, writer: Writer) -> None:
    views = ("published_factors", "sessions", "trips", "refused", "ledger", "accounts")

    def everything() -> list[Sequence[Any]]:
        return [
            facts.client.query(
                f"SELECT * FROM {facts.database}.{view} ORDER BY _partition, _offset",
                column_formats={"key": "bytes", "value": "bytes"} if view == "refused" else {},
            ).result_rows
            for view in views
        ]

    for topic, records in all_topics().items():
        writer.write(topic, records)
    once = everything()
    for topic, records in all_topics().items():
        writer.write(topic, records)
    assert everything() == once


@pytest.mark.parametrize("value", [b"", None, b"junk", b"\x00\x00\x00\x00\x63x"])
def test_a_broken_activity_is_skipped_and_counted(
    facts: Facts, writer: Writer, value: bytes | None
) -> None:
    good = all_topics()["charging-sessions"]
    written = writer.write("charging-sessions", [good[0], Record(value, offset=7), good[1]])
    assert (written.rows, sum(written.skipped.values())) == (2, 1)
    rows = facts.client.query(
        f"SELECT _offset FROM {facts.database}.sessions ORDER BY _offset"
    ).result_rows
    assert [offset for (offset,) in rows] == [0, 1]


@pytest.mark.parametrize("topic", ["transfers", "account-balances"])
def test_a_broken_record_of_ours_stops(facts: Facts, writer: Writer, topic: str) -> None:
    records = [*all_topics()[topic], Record(b"junk", 2, 77)]
    with pytest.raises(BrokenRecordError, match=f"{topic} 2:77"):
        writer.write(topic, records)
    table = ROUTES[topic].table
    assert facts.client.query(f"SELECT count() FROM {facts.database}.{table}").result_rows == [(0,)]


@pytest.mark.parametrize(
    "headers",
    [
        [("code", b"undecodable")],
        [("origin", b"worker")],
        [("code", b"\xff"), ("origin", b"worker")],
        [("code", b"undecodable"), ("origin", b"worker"), ("offset", b"many")],
    ],
)
def test_a_refusal_without_its_headers_stops(
    writer: Writer, headers: list[tuple[str, bytes]]
) -> None:
    with pytest.raises(BrokenRecordError, match="refusals 0:3"):
        writer.write("refusals", [Record(b"x", offset=3, headers=headers)])


def test_a_rekeyed_record_names_its_original(facts: Facts, writer: Writer) -> None:
    good = all_topics()["freight-trips"]
    writer.write("freight-trips", [replace(good[0], headers=[("rekeyed_from", b"3:12")]), good[1]])
    rows = facts.client.query(
        f"SELECT _rekeyed_from FROM {facts.database}.trips ORDER BY _offset"
    ).result_rows
    assert list(rows) == [("3:12",), (None,)]


def test_activities_of_many_months_are_written_at_once(writer: Writer) -> None:
    month_ms = 31 * 86_400_000
    rows = [
        transfer(session(number), "emission", 5_000) | {"booked_at": number * month_ms}
        for number in range(150)
    ]
    assert writer.write("transfers", [framed("transfer", row) for row in rows]).rows == 150


def test_an_account_is_its_bytes(writer: Writer, queries: Queries) -> None:
    odd = "司机 7/'\\\t"
    row = transfer(session(0, account_id=odd), "emission", 5_000)
    writer.write("transfers", [framed("transfer", row)])
    writer.write("account-balances", [framed("account_balance", balance([row]))])
    assert queries.balance(odd) is not None
    assert queries.statement(odd).items[0].account_id == odd
