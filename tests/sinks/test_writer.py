"""The writer on both stores: fetched records in, rows out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from carbon.limits import FOREVER_MS
from schemas.singles import encode_one
from sinks.queries import FactorFilter, Queries, RefusalFilter
from sinks.writer import ROUTES, ROWS_AT_A_TIME, BrokenRecordError, Rows, Writer, joined, rows_of
from tests.sinks.facts import T0_MS, Facts, balance, factor, session, transfer, trip
from tests.sinks.wire import Record, fetched


def write(writer: Writer, topic: str, records: Sequence[Record]) -> Rows:
    """Write records, and return what became of them."""
    rows = rows_of(topic, fetched(records))
    writer.write(rows)
    return rows


def framed(record: str, row: dict[str, Any]) -> Record:
    """Return the record of a row, at the row's place."""
    fields = {name: value for name, value in row.items() if not name.startswith("_")}
    if record == "account_balance":
        fields |= {"seen": bytes(16), "seen_days": bytes(8), "forgotten_until": 3}
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
        written = write(writer, topic, records)
        assert (written.table.num_rows, written.skipped) == (2, {})
        (stored,) = facts.client.query(
            f"SELECT count() FROM {facts.database}.{ROUTES[topic].table} FINAL"
        ).result_rows
        assert stored == (1 if topic == "account-balances" else 2,)


def test_what_the_store_keeps_as_words_goes_to_it_as_words(facts: Facts) -> None:
    kept = facts.client.query(
        "SELECT table, name FROM system.columns "
        f"WHERE database = '{facts.database}' AND type LIKE 'LowCardinality%'"
    ).result_rows
    for route in ROUTES.values():
        if route.table not in {"factors", "refusals"}:  # Few rows.
            assert route.spoken == {name for table, name in kept if table == route.table}


def test_pieces_that_say_other_words_are_one_insert(facts: Facts, writer: Writer) -> None:
    said = [
        framed("charging_session", session(number) | {"source": f"cpo-{number}"})
        for number in range(2)
    ]
    rows = joined([rows_of("charging-sessions", fetched([each])) for each in said])
    writer.write(rows)
    stored = facts.client.query(
        f"SELECT source FROM {facts.database}.charging_sessions ORDER BY _offset"
    ).result_rows
    assert stored == [("cpo-0",), ("cpo-1",)]


def test_what_was_written_is_read_back(writer: Writer, queries: Queries) -> None:
    for topic, records in all_topics().items():
        write(writer, topic, records)
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
    write(writer, "refusals", all_topics()["refusals"])
    found = queries.refusal("1-5")
    assert found is not None
    assert (found.key, found.value) == (b"ann", b"\xff\x00")
    assert (found.refusal.reason, found.refusal.topic) == ("trübe", "freight-trips")
    assert (found.refusal.partition, found.refusal.offset) == (3, 12)
    assert found.refusal.timestamp == T0_MS + 9
    without_key = queries.refusal("1-6")
    assert without_key is not None
    assert without_key.key is None


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 2**63 - 1, FOREVER_MS])
def test_a_refusal_of_a_record_from_outside_the_calendar_has_no_time_of_it(
    writer: Writer, queries: Queries, timestamp_ms: int
) -> None:
    refused = all_topics()["refusals"][0]
    headers = dict(refused.headers) | {"timestamp": str(timestamp_ms).encode()}
    write(writer, "refusals", [replace(refused, headers=list(headers.items()))])
    found = queries.refusal("1-5")
    assert found is not None
    assert (found.refusal.timestamp, found.refusal.offset) == (None, 12)


def refused(at: int, value: bytes | None, **headers: str) -> Record:
    """Return a refusal of a record of the worker."""
    told = {"code": "too_long", "origin": "worker", "topic": "charging-sessions", **headers}
    listed = [(name, text.encode()) for name, text in told.items()]
    return Record(value, 1, at, headers=listed, key=b"keyed")


def test_a_refusal_tells_whose_it_is_as_far_as_it_can_be_read(
    writer: Writer, queries: Queries
) -> None:
    whole = framed("charging_session", session(0)).value
    again = {"attempt": "2", "replay_of": "0-4", "bytes": "1000000"}
    records = [refused(1, whole, **again), refused(2, b"junk"), refused(3, None)]
    loader = {"origin": "loader", "topic": "", "file": "a.csv", "line": "7", "columns": "a,ä"}
    write(writer, "refusals", [*records, refused(4, b"1,2", **loader)])
    found = queries.refusals(RefusalFilter()).items
    told = [
        (each.source, each.account_id, each.attempt, each.value_bytes, each.is_replayed)
        for each in found
    ]
    nobody = (0, None, False)
    assert told == [
        ("cpo", "ann", 2, 1_000_000, False),
        ("", "keyed", *nobody),
        ("", "keyed", *nobody),
        ("", "", *nobody),
    ]


def test_the_word_that_a_refusal_was_sent_again_is_none(writer: Writer, queries: Queries) -> None:
    sent = {"origin": "replay", "replay_of": "1-1", "attempt": "1", "offset": "9"}
    write(writer, "refusals", [refused(1, b"x"), refused(2, b"y"), refused(3, b"", **sent)])
    found = queries.refusals(RefusalFilter()).items
    assert [(each.refusal_id, each.is_replayed) for each in found] == [
        ("1-1", True),
        ("1-2", False),
    ]
    assert queries.refusals_by_code() == {"too_long": 2}
    assert queries.counts().refused == 2
    for is_replayed, place in ((True, "1-1"), (False, "1-2")):
        (one,) = queries.refusals(RefusalFilter(is_replayed=is_replayed)).items
        assert one.refusal_id == place
    record = queries.refusal("1-1")
    assert record is not None
    assert record.refusal.is_replayed


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
        write(writer, topic, records)
    once = everything()
    for topic, records in all_topics().items():
        write(writer, topic, records)
    assert everything() == once


@pytest.mark.parametrize("value", [b"", None, b"junk", b"\x00\x00\x00\x00\x63x"])
def test_a_broken_activity_is_skipped_and_counted(
    facts: Facts, writer: Writer, value: bytes | None
) -> None:
    good = all_topics()["charging-sessions"]
    written = write(writer, "charging-sessions", [good[0], Record(value, offset=7), good[1]])
    assert (written.table.num_rows, sum(written.skipped.values())) == (2, 1)
    rows = facts.client.query(
        f"SELECT _offset FROM {facts.database}.sessions ORDER BY _offset"
    ).result_rows
    assert [offset for (offset,) in rows] == [0, 1]


@pytest.mark.parametrize("topic", ["transfers", "account-balances"])
def test_a_broken_record_of_ours_stops(facts: Facts, writer: Writer, topic: str) -> None:
    records = [*all_topics()[topic], Record(b"junk", 2, 77)]
    with pytest.raises(BrokenRecordError, match=f"{topic} 2:77"):
        write(writer, topic, records)
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
        write(writer, "refusals", [Record(b"x", offset=3, headers=headers)])


def test_a_rekeyed_record_names_its_original(facts: Facts, writer: Writer) -> None:
    good = all_topics()["freight-trips"]
    write(writer, "freight-trips", [replace(good[0], headers=[("rekeyed_from", b"3:12")]), good[1]])
    rows = facts.client.query(
        f"SELECT _rekeyed_from FROM {facts.database}.trips ORDER BY _offset"
    ).result_rows
    assert list(rows) == [("3:12",), (None,)]


@pytest.mark.parametrize("value", [b"elsewhere", b"", b"\xff", b"3:12 and more", None])
def test_what_others_put_into_a_header_of_ours_names_no_original(value: bytes | None) -> None:
    (record,) = [replace(all_topics()["freight-trips"][0], headers=[("rekeyed_from", value)])]
    rows = rows_of("freight-trips", fetched([record]))
    assert rows.table.column("_rekeyed_from").to_pylist() == [None]


def test_rows_know_where_their_records_were_however_they_were_fetched() -> None:
    values = [framed("charging_session", session(number)).value for number in range(6)]
    whole = [Record(value, 1, 40 + at, T0_MS + at) for at, value in enumerate(values[:3])]
    whole += [Record(b"junk", 2, 7), Record(None, 2, 8), Record(values[3], 2, 9, T0_MS - 5)]
    whole += [Record(values[4], 0, 1), Record(values[5], 1, 43, headers=[("rekeyed_from", b"2:3")])]
    parts = [part for record in whole for part in fetched([record])]
    for given in (fetched(whole), parts):
        rows = rows_of("charging-sessions", given)
        names = ("session_id", "_partition", "_offset", "_rekeyed_from")
        assert list(zip(*(rows.table.column(name).to_pylist() for name in names), strict=True)) == [
            ("s0", 1, 40, None),
            ("s1", 1, 41, None),
            ("s2", 1, 42, None),
            ("s3", 2, 9, None),
            ("s4", 0, 1, None),
            ("s5", 1, 43, "2:3"),
        ]
        expected_ms = [T0_MS, T0_MS + 1, T0_MS + 2, T0_MS - 5, T0_MS, T0_MS]
        assert rows.timestamps_ms().tolist() == expected_ms
        assert rows.skipped == {"not_framed": 2}


def test_many_records_are_decoded_a_part_at_a_time_and_inserted_at_once(
    facts: Facts, writer: Writer
) -> None:
    value = framed("charging_session", session(0)).value
    count = 2 * ROWS_AT_A_TIME + 1
    sent = [Record(value, at // ROWS_AT_A_TIME, at) for at in range(count)]
    rows = rows_of("charging-sessions", fetched(sent))
    assert rows.table.column("_offset").num_chunks > 1
    writer.write(rows)
    found = facts.client.query(
        f"SELECT count(), sum(_offset), max(_partition) FROM {facts.database}.sessions"
    ).result_rows
    assert list(found) == [(count, count * (count - 1) // 2, 2)]


def test_of_an_account_restated_in_one_insert_the_latest_is_stored(
    facts: Facts, writer: Writer
) -> None:
    stated = balance([transfer(session(0), "emission", 5_000)])
    restated = [stated | {"_offset": offset, "emissions_mg": offset} for offset in range(10, 15)]
    write(writer, "account-balances", [framed("account_balance", row) for row in restated])
    found = facts.client.query(f"SELECT emissions_mg FROM {facts.database}.balances").result_rows
    assert list(found) == [(14,)]


def test_a_transfer_repeated_in_one_insert_counts_once(facts: Facts, writer: Writer) -> None:
    record = framed("transfer", transfer(session(0), "emission", 5_000))
    write(writer, "transfers", [record, record, replace(record, offset=record.offset + 1)])
    found = facts.client.query(
        f"SELECT sum(amount_mg), max(_offset) FROM {facts.database}.ledger"
    ).result_rows
    assert list(found) == [(5_000, record.offset + 1)]


def test_activities_of_many_months_are_written_at_once(writer: Writer) -> None:
    month_ms = 31 * 86_400_000
    rows = [
        transfer(session(number), "emission", 5_000) | {"booked_at": number * month_ms}
        for number in range(150)
    ]
    written = write(writer, "transfers", [framed("transfer", row) for row in rows])
    assert written.table.num_rows == 150


def test_an_account_is_its_bytes(writer: Writer, queries: Queries) -> None:
    odd = "司机 7/'\\\t"
    row = transfer(session(0, account_id=odd), "emission", 5_000)
    write(writer, "transfers", [framed("transfer", row)])
    write(writer, "account-balances", [framed("account_balance", balance([row]))])
    assert queries.balance(odd) is not None
    assert queries.statement(odd).items[0].account_id == odd
