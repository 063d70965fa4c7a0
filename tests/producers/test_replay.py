"""Replay against a broker: what is sent again, and what is passed over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from producers.mapping import parse_mapping
from producers.refused import Wanted, refusals_topic
from producers.replay import PASSED_OVER, Plan
from schemas.attempts import Attempt, attempt_of
from schemas.partition import partition_of
from schemas.singles import decode_one, encode_one
from tests.producers.replaying import (
    HOUR_MS,
    SESSION,
    SESSIONS,
    THEN_MS,
    Place,
    Refusal,
    ids,
    refused,
    tried,
)

MAPPING = """
name = "mine"
record = "charging_session"
zone = "UTC"
[fields]
session_id = "id"
source = { value = "mine" }
account_id = "who"
programme = { value = "cn-charging" }
vehicle_class = { value = "car" }
grid_region = { value = "CN-BJ" }
started_at = "start"
ended_at = "end"
energy_wh = { column = "energy", unit = "kWh" }
meter_side = { value = "grid" }
current = { value = "ac" }
operator_id = { value = "me" }
evse_id = { value = "e" }
"""


def row(text: str, file: str = "a.csv", columns: str = "id,who,start,end,energy") -> Refusal:
    headers = (("file", file), ("line", "2"), *((("columns", columns),) if columns else ()))
    return Refusal("row_bad_value", b"a.csv:2", text.encode(), headers=headers, origin="loader")


def test_a_record_is_sent_again_as_the_bytes_it_was(broker: str) -> None:
    async def test(place: Place) -> None:
        first, keyless = refused(1), replace(refused(2), key=None)
        await place.put(first, keyless)
        totals = await place.replay()
        assert totals.sent == {"factor_not_found": 2}
        by_key = {message.key: message for message in await place.sent()}
        assert by_key[b"anna"].value == first.value
        assert by_key[b"anna"].partition == partition_of(b"anna", 4)
        assert attempt_of(by_key[b"anna"].headers) == Attempt(1, "0-0")
        assert by_key[b"anna"].timestamp > first.timestamp_ms
        assert (by_key[None].value, by_key[None].partition) == (keyless.value, 2)

    tried(broker, test)


def test_what_was_sent_again_is_not_sent_a_second_time(broker: str) -> None:
    async def test(place: Place) -> None:
        await place.put(refused(1), refused(2))
        await place.put(refused(3), partition=3)
        assert (await place.replay()).sent.total() == 3
        again = await place.replay()
        assert (again.sent.total(), again.passed_over) == (0, {"sent_before": 3})
        await place.put(refused(4), partition=3)
        third = await place.replay()
        assert (third.sent.total(), third.passed_over) == (1, {"sent_before": 3})
        assert ids(await place.sent()) == ["S1", "S2", "S3", "S4"]

    tried(broker, test)


def test_what_is_sent_is_told_beside_the_refusal_and_where_it_went(broker: str) -> None:
    async def test(place: Place) -> None:
        await place.put(refused(1), partition=3)
        await place.replay()
        (record,) = await place.sent()
        (told,) = [
            (message.partition, headers)
            for message in await place.read("refusals")
            if (headers := dict(message.headers))["origin"] == b"replay"
        ]
        partition, headers = told
        assert partition == 3
        assert headers["replay_of"] == b"3-0"
        where = (SESSIONS, str(record.partition), str(record.offset))
        assert tuple(headers[name].decode() for name in ("topic", "partition", "offset")) == where

    tried(broker, test)


def test_a_dry_run_sends_nothing_and_says_what_it_would(broker: str) -> None:
    async def test(place: Place) -> None:
        await place.put(refused(1), replace(refused(2), code="too_long"))
        assert (await place.replay(dry_run=True)).sent == {"factor_not_found": 1, "too_long": 1}
        assert await place.sent() == []
        assert (await place.replay()).sent.total() == 2

    tried(broker, test)


def test_attempts_are_counted_and_capped(broker: str) -> None:
    async def test(place: Place) -> None:
        before = (("attempt", "2"), ("replay_of", "1-5"))
        at_cap = (("attempt", "3"), ("replay_of", "1-6"))
        await place.put(replace(refused(1), headers=before), replace(refused(2), headers=at_cap))
        totals = await place.replay()
        assert (totals.sent.total(), totals.passed_over) == (1, {"attempts": 1})
        (message,) = await place.sent()
        assert attempt_of(message.headers) == Attempt(3, "0-0")
        assert (await place.replay(attempts_max=4)).sent.total() == 1

    tried(broker, test)


@pytest.mark.parametrize("header", ["bytes", "key_bytes"])
def test_what_was_cut_off_is_passed_over(broker: str, header: str) -> None:
    async def test(place: Place) -> None:
        await place.put(replace(refused(1), headers=((header, "950000"),)))
        totals = await place.replay()
        assert (totals.sent.total(), totals.passed_over) == (0, {"cut": 1})

    tried(broker, test)


def test_filters_say_which(broker: str) -> None:
    async def test(place: Place) -> None:
        other = encode_one("charging_session", {**SESSION, "source": "other", "session_id": "S2"})
        berta = encode_one(
            "charging_session", {**SESSION, "account_id": "berta", "session_id": "S3"}
        )
        await place.put(
            refused(1),
            replace(refused(2), value=other),
            replace(refused(3), value=berta, code="too_long"),
            replace(refused(4), value=b"junk", key=b"junk", code="not_framed"),
            replace(refused(5), timestamp_ms=THEN_MS - 2 * HOUR_MS),
        )
        for wanted, codes in (
            (Wanted(code="too_long"), {"too_long": 1}),
            (Wanted(source="other"), {"factor_not_found": 1}),
            (Wanted(account="berta"), {"too_long": 1}),
            (Wanted(account="junk"), {"not_framed": 1}),
            (Wanted(topic="freight-trips"), {}),
            (Wanted(to_ms=THEN_MS - HOUR_MS), {"factor_not_found": 1}),
            (
                Wanted(from_ms=THEN_MS - HOUR_MS, source="test"),
                {"factor_not_found": 1, "too_long": 1},
            ),
        ):
            assert (await place.replay(wanted, dry_run=True)).sent == codes, wanted

    tried(broker, test)


def test_rows_go_through_a_mended_mapping(broker: str) -> None:
    good = "1,anna,2021-01-01T00:00,2021-01-01T01:00,6.31"
    other_order = "6.31,2,anna,2021-01-01T00:00,2021-01-01T01:00"
    as_json = '{"id": "3", "who": "bo", "start": "2021-01-01", "end": "2021-01-02", "energy": 5}'

    async def test(place: Place) -> None:
        await place.put(
            row(good),
            row(other_order, columns="energy,id,who,start,end"),
            row(as_json, file="a.jsonl", columns=""),
            row("4,anna,2021-01-01T00:00,2021-01-01T01:00,much"),
            row("5,anna"),
            row('6,"anna'),
            row("", columns="a,b"),
            row(good, columns=""),
            replace(row(good), headers=(*row(good).headers, ("bytes", "300000"))),
            refused(9),
        )
        assert (await place.replay(Wanted(code="row_bad_value"))).passed_over == {
            "needs_mapping": 8,
            "cut": 1,
        }
        plan = Plan(mapping=parse_mapping(MAPPING, origin="mine.toml"))
        totals = await place.replay(mapping=plan.mapping)
        assert totals.sent == {"row_bad_value": 3}
        assert totals.passed_over == {"still_unmapped": 4, "no_columns": 1, "cut": 1}
        reasons = " | ".join(reason for _, reason in totals.unmapped)
        for said in ("much", "2 columns, the header has 5", "broken quotes", "has no column 'id'"):
            assert said in reasons
        messages = await place.sent()
        assert ids(messages) == ["1", "2", "3"]
        assert {message.key for message in messages} == {b"anna", b"bo"}
        assert all(message.partition == partition_of(message.key, 4) for message in messages)
        fields = decode_one(messages[0].value)[1]
        assert fields["source"] == "mine"
        again = await place.replay(mapping=plan.mapping)
        assert (again.sent.total(), again.passed_over["sent_before"]) == (0, 3)

    tried(broker, test)


def test_each_reason_has_its_words() -> None:
    assert set(PASSED_OVER) == {
        *("sent_before", "attempts", "cut", "needs_mapping", "no_columns", "still_unmapped")
    }


def test_an_empty_topic_is_read_to_its_end(broker: str) -> None:
    async def test(place: Place) -> None:
        async with refusals_topic(place.settings) as topic:
            assert await topic.sent_again() == set()
            assert await topic.extent() == 0
        assert (await place.replay()).sent.total() == 0

    tried(broker, test)
