"""A record is the schema's, its bytes are fastavro's, and what is refused the worker refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, get_args, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from carbon.limits import (
    CARGO_KG_MAX,
    DISTANCE_M_MAX,
    ENERGY_USED_MAX,
    ENERGY_WH_MAX,
    FOREVER_MS,
    FUTURE_MS_MAX,
    SESSION_MS_MAX,
    TEXT_BYTES_MAX,
)
from producers.client.records import (
    SCHEMA_ID_OF,
    Activity,
    ChargingSession,
    FreightTrip,
    RefusedError,
    instant_ms,
    written,
)
from schemas.catalogue import shipped
from schemas.fields import fields_of
from schemas.framing import VALUE_BYTES_MAX
from schemas.singles import encode_one
from streams.accounts import Accounts
from streams.read import read
from streams.step import step
from tests.producers.client.sent import charging, freight
from tests.streams.scene import NOW_MS, SESSIONS, TRIPS, Event, part_of, rules

RECORD: Final = {ChargingSession: "charging_session", FreightTrip: "freight_trip"}
TOPIC: Final = {ChargingSession: SESSIONS, FreightTrip: TRIPS}

CHECKED: Final = frozenset(
    {
        "identity_invalid",
        "identity_too_long",
        "timestamp_invalid",
        "revision_invalid",
        "ended_in_future",
        "energy_out_of_range",
        "time_invalid",
        "ended_before_started",
        "too_long",
        "distance_out_of_range",
        "cargo_out_of_range",
        "energy_used_out_of_range",
        "too_large",
    }
)
"""Codes that the client gives as the worker does; `undecodable` never gets to a worker."""

MAKE: Final[Mapping[type[Activity], Callable[..., Activity]]] = {
    ChargingSession: charging,
    FreightTrip: freight,
}
KINDS: Final = pytest.mark.parametrize("kind", [ChargingSession, FreightTrip])


@KINDS
def test_a_record_has_the_fields_of_its_schema(kind: type[Activity]) -> None:
    schema = shipped().schema_of(SCHEMA_ID_OF[kind])
    assert (schema.record, schema.version) == (RECORD[kind], 1)
    fields = fields_of(schema)
    assert kind._fields == tuple(field.name for field in fields)
    assert kind._field_defaults == {
        field.name: field.default for field in fields if field.name in ("reversal_of", "revision")
    }
    hints = get_type_hints(kind)
    for field in fields:
        python = {"string": str, "int": int, "long": int, "instant": int}.get(field.kind)
        if python is None:
            assert get_args(hints[field.name]) == field.symbols
        else:
            assert hints[field.name] == (python | None if field.nullable else python)


TEXTS: Final = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["x" * 63, "x" * 64, "é" * 32, "é" * 63, "京" * 64, "y" * 9000]),
)
LONGS: Final = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([sign * (1 << bits) + by for bits in range(62) for sign in (1, -1)
                     for by in (-1, 0, 1)]),
)  # fmt: skip


def any_record(kind: type[Activity]) -> st.SearchStrategy[dict[str, Any]]:
    """Return fields that a schema allows, whatever they mean."""
    values: dict[str, st.SearchStrategy[Any]] = {}
    for field in fields_of(shipped().schema_of(SCHEMA_ID_OF[kind])):
        made: st.SearchStrategy[Any] = {
            "string": TEXTS,
            "int": st.integers(-(1 << 31), (1 << 31) - 1),
            "enum": st.sampled_from(field.symbols or ("",)),
        }.get(field.kind, LONGS)
        values[field.name] = st.none() | made if field.nullable else made
    return st.fixed_dictionaries(values)


def sound(kind: type[Activity], fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with an identity and numbers that nobody refuses."""
    kept = {name for name, value in MAKE[kind]()._asdict().items() if type(value) is str}
    kept -= {"source", "session_id", "trip_id", "account_id"}
    return {name: value for name, value in fields.items() if name in kept}


@KINDS
@given(st.data())
def test_a_record_is_written_as_fastavro_writes_it(kind: type[Activity], data: Any) -> None:
    record = MAKE[kind](**sound(kind, data.draw(any_record(kind))))
    assert written(record, NOW_MS) == encode_one(RECORD[kind], record._asdict())


@given(LONGS.filter(lambda number: number != 0), TEXTS)
def test_numbers_of_any_size_are_written_as_fastavro_writes_them(number: int, text: str) -> None:
    clock = min(max(number, 0), FOREVER_MS - 1)
    started_at = max(clock - SESSION_MS_MAX, 0)
    record = charging(
        started_at=started_at,
        ended_at=clock,
        energy_wh=abs(number) % (ENERGY_WH_MAX + 1),
        reversal_of=text,
        revision=abs(number) % (1 << 31),
    )
    assert written(record, clock) == encode_one("charging_session", record._asdict())


def code_of_client(record: Activity, timestamp_ms: int) -> str:
    """Return the code the client refuses with, or ""."""
    try:
        written(record, timestamp_ms)
    except RefusedError as refused:
        return refused.code
    return ""


def code_of_worker(record: Activity, timestamp_ms: int) -> str:
    """Return the code a worker with the shipped programmes refuses with, or ""."""
    value = encode_one(RECORD[type(record)], record._asdict())
    event = Event(value, timestamp_ms, record.account_id.encode())
    part = part_of([event], topic=TOPIC[type(record)])
    outcome = step(read(part), Accounts(), rules())
    return outcome.refused[0].code if outcome.refused else ""


def near(*limits: int) -> st.SearchStrategy[int]:
    """Return numbers at limits and around them, or any."""
    return st.one_of(st.sampled_from([limit + by for limit in limits for by in (-1, 0, 1)]), LONGS)


NAMES: Final = st.sampled_from(
    ["anna", "", "a:b", "a\0b", "\0", ":", "x" * TEXT_BYTES_MAX, "x" * (TEXT_BYTES_MAX + 1),
     "é" * (TEXT_BYTES_MAX // 2), "é" * (TEXT_BYTES_MAX // 2) + "x", "北京"]
)  # fmt: skip
TIMES: Final = near(
    0, NOW_MS, NOW_MS + FUTURE_MS_MAX, NOW_MS - SESSION_MS_MAX, FOREVER_MS, FOREVER_MS - 1000
)
CLOCKS: Final = near(NOW_MS, 0, FOREVER_MS).filter(lambda ms: 0 <= ms + FUTURE_MS_MAX < 1 << 62)
REVISIONS: Final = st.sampled_from([0, 0, 0, -1, 1, -(1 << 31)])
ORIGINALS: Final = st.sampled_from([None, None, "S0"])


def maybe(kind: type[Activity], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Activity]:
    """Return records of which some fields are drawn and the others sound."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda drawn: MAKE[kind](**drawn))


RECORDS: Final[st.SearchStrategy[Activity]] = maybe(
    ChargingSession,
    session_id=NAMES, source=NAMES, account_id=NAMES, started_at=TIMES, ended_at=TIMES,
    energy_wh=near(0, ENERGY_WH_MAX), reversal_of=ORIGINALS, revision=REVISIONS,
) | maybe(
    FreightTrip,
    trip_id=NAMES, source=NAMES, account_id=NAMES, departed_at=TIMES, arrived_at=TIMES,
    distance_m=near(0, DISTANCE_M_MAX), empty_distance_m=near(0, DISTANCE_M_MAX),
    cargo_kg=near(0, CARGO_KG_MAX), energy_used=st.none() | near(0, -1, ENERGY_USED_MAX),
    reversal_of=ORIGINALS, revision=REVISIONS,
)  # fmt: skip


@given(RECORDS, CLOCKS)
@example(charging(source="a:b"), NOW_MS)
@example(charging(account_id="x" * 1001), NOW_MS)
@example(charging(), -1)
@example(charging(revision=-1), NOW_MS)
@example(charging(ended_at=NOW_MS + FUTURE_MS_MAX + 1), NOW_MS)
@example(charging(energy_wh=-1), NOW_MS)
@example(charging(started_at=-1), NOW_MS)
@example(charging(started_at=NOW_MS), NOW_MS)
@example(charging(started_at=NOW_MS - 33 * 86_400_000), NOW_MS)
@example(freight(distance_m=0), NOW_MS)
@example(freight(cargo_kg=0, energy_used=None), NOW_MS)
@example(freight(energy_used=-1), NOW_MS)
def test_the_client_refuses_what_the_worker_refuses_with_the_same_code(
    record: Activity, clock_ms: int
) -> None:
    client, worker = code_of_client(record, clock_ms), code_of_worker(record, clock_ms)
    if not client:
        assert written(record, clock_ms) == encode_one(RECORD[type(record)], record._asdict())
    if worker in CHECKED or not worker:
        assert client == worker
    else:
        # Only a worker can know it, and it may look before it looks at what follows.
        assert client in CHECKED | {""}


def test_every_code_that_is_checked_is_given_by_both() -> None:
    by_code: dict[str, tuple[Activity, int]] = {
        "identity_invalid": (charging(session_id=""), NOW_MS),
        "identity_too_long": (freight(trip_id="x" * 1001), NOW_MS),
        "timestamp_invalid": (charging(), -1),
        "revision_invalid": (freight(revision=-1), NOW_MS),
        "ended_in_future": (charging(ended_at=NOW_MS + FUTURE_MS_MAX + 1), NOW_MS),
        "energy_out_of_range": (charging(energy_wh=ENERGY_WH_MAX + 1), NOW_MS),
        "time_invalid": (freight(departed_at=-1), NOW_MS),
        "ended_before_started": (charging(started_at=NOW_MS), NOW_MS),
        "too_long": (freight(departed_at=NOW_MS - 33 * 86_400_000), NOW_MS),
        "distance_out_of_range": (freight(empty_distance_m=-1), NOW_MS),
        "cargo_out_of_range": (freight(cargo_kg=CARGO_KG_MAX + 1), NOW_MS),
        "energy_used_out_of_range": (freight(energy_used=-1), NOW_MS),
        "too_large": (charging(evse_id="x" * VALUE_BYTES_MAX), NOW_MS),
    }
    assert by_code.keys() == CHECKED
    for code, (record, clock_ms) in by_code.items():
        assert (code_of_client(record, clock_ms), code_of_worker(record, clock_ms)) == (code, code)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"energy_wh": 20.5}, "energy_wh is no long: it is of the type float"),
        ({"energy_wh": True}, "energy_wh is no long: it is of the type bool"),
        ({"energy_wh": None}, "energy_wh is no long: it is of the type NoneType"),
        ({"energy_wh": "20"}, "energy_wh is no long: it is of the type str"),
        ({"energy_wh": 1 << 63}, "energy_wh is no long: it is of the type int"),
        ({"started_at": datetime(2023, 7, 1, tzinfo=UTC)}, "started_at is no instant"),
        ({"revision": 1 << 31}, "revision is no int: it is of the type int"),
        ({"meter_side": "ac"}, "meter_side is no enum: it is of the type str"),
        ({"current": None}, "current is no enum: it is of the type NoneType"),
        ({"account_id": None}, "account_id is no string: it is of the type NoneType"),
        ({"account_id": b"anna"}, "account_id is no string: it is of the type bytes"),
        ({"programme": 7}, "programme is no string: it is of the type int"),
        ({"evse_id": ["e"]}, "evse_id is no string: it is of the type list"),
        ({"grid_region": b"CN-BJ"}, "grid_region is no string: it is of the type bytes"),
        ({"evse_id": "\ud800"}, "evse_id is no string: it is of the type str"),
        ({"reversal_of": 5}, "reversal_of is no string: it is of the type int"),
    ],
)
def test_a_value_of_another_type_is_refused_and_not_quoted(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        written(charging(**changes), NOW_MS)
    assert refused.value.code == "undecodable"
    assert refused.value.reason.startswith(said)


def test_what_is_no_record_is_a_bug_of_its_sender() -> None:
    with pytest.raises(TypeError, match="a dict is no record"):
        written({"session_id": "S1"}, NOW_MS)  # type: ignore[arg-type]


def test_a_datetime_becomes_an_instant_wherever_its_clock_hangs() -> None:
    noon = datetime(2023, 7, 1, 12, tzinfo=UTC)
    assert instant_ms(noon) == NOW_MS
    assert instant_ms(noon.astimezone(timezone(timedelta(hours=8)))) == NOW_MS
    with pytest.raises(ValueError, match="no time zone"):
        instant_ms(noon.replace(tzinfo=None))
