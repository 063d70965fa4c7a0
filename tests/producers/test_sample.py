from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from producers.sample import SampleBatch, SamplePart, SampleRaw, sample
from producers.targets import topic_of
from schemas.columns import decode, encode

EVENTS = 40_000
ODD = pa.array(["hovercraft", "ox_cart"])


@pytest.fixture(scope="module")
def parts() -> list[SamplePart]:
    return list(sample(EVENTS, seed=7))


def batches(parts: list[SamplePart]) -> list[SampleBatch]:
    return [part for part in parts if isinstance(part, SampleBatch)]


def raws(parts: list[SamplePart]) -> list[SampleRaw]:
    return [part for part in parts if isinstance(part, SampleRaw)]


def column(parts: list[SamplePart], record: str, name: str) -> list[object]:
    return [
        value
        for part in batches(parts)
        if part.record == record
        for value in part.batch[name].to_pylist()
    ]


def test_the_same_seed_makes_the_same_sample(parts: list[SamplePart]) -> None:
    assert parts == list(sample(EVENTS, seed=7))


def test_another_seed_makes_another_sample(parts: list[SamplePart]) -> None:
    assert parts != list(sample(EVENTS, seed=8))


@pytest.mark.parametrize("events", [1, 7, 4_096, 4_097, 10_000])
def test_there_are_exactly_as_many_events_as_asked_for(events: int) -> None:
    made = list(sample(events))
    records = sum(part.batch.num_rows for part in batches(made))
    assert records + sum(len(part.messages) for part in raws(made)) == events


def test_every_batch_can_be_encoded(parts: list[SamplePart]) -> None:
    for part in batches(parts):
        decoded = decode(part.record, encode(part.record, part.batch))
        assert decoded.batch.num_rows == part.batch.num_rows


def test_no_reader_can_decode_the_raw_messages(parts: list[SamplePart]) -> None:
    for part in raws(parts):
        (record,) = (r for r in ("charging_session", "freight_trip") if topic_of(r) == part.topic)
        decoded = decode(record, [value for _, value in part.messages])
        assert decoded.batch.num_rows == 0


def test_about_one_event_in_a_hundred_is_a_repeat(parts: list[SamplePart]) -> None:
    ids = Counter(
        column(parts, "charging_session", "session_id") + column(parts, "freight_trip", "trip_id")
    )
    assert 0.007 < (ids.total() - len(ids)) / EVENTS < 0.013


def test_some_repeats_come_much_later(parts: list[SamplePart]) -> None:
    seen: dict[object, int] = {}
    gaps = [
        at - seen.setdefault(name, at)
        for at, name in enumerate(column(parts, "charging_session", "session_id"))
    ]
    assert max(gaps) > EVENTS // 5


def test_about_two_events_in_a_thousand_are_broken(parts: list[SamplePart]) -> None:
    broken = sum(len(part.messages) for part in raws(parts))
    for part in batches(parts):
        b, charging = part.batch, part.record == "charging_session"
        swapped = (
            pc.less(b["ended_at"], b["started_at"])
            if charging
            else pc.less(b["arrived_at"], b["departed_at"])
        )
        small = pc.less(b["energy_wh"], 0) if charging else pc.less_equal(b["distance_m"], 0)
        unknown = pc.equal(b["programme"], "nobody-knows")
        odd = pc.is_in(b["vehicle_class"], value_set=ODD)
        broken += sum(pc.sum(kind).as_py() or 0 for kind in (swapped, small, unknown, odd))
    assert 0.0012 < broken / EVENTS < 0.0035


def test_tibet_and_an_unknown_region_are_among_the_regions(parts: list[SamplePart]) -> None:
    regions = set(column(parts, "charging_session", "grid_region"))
    assert {"CN-XZ", "XX-00", "US-CAMX", "US-RFCE", "US"} <= regions


def test_the_busiest_tenth_of_the_accounts_has_most_of_the_events(parts: list[SamplePart]) -> None:
    counts = Counter(column(parts, "charging_session", "account_id"))
    busiest = sum(count for _, count in counts.most_common(len(counts) // 10))
    assert busiest / counts.total() > 0.4


def test_an_account_belongs_to_one_programme(parts: list[SamplePart]) -> None:
    programmes: dict[object, set[object]] = {}
    for record in ("charging_session", "freight_trip"):
        pairs = zip(
            column(parts, record, "account_id"), column(parts, record, "programme"), strict=True
        )
        for account, programme in pairs:
            programmes.setdefault(account, set()).add(programme)
    assert all(len(names - {"nobody-knows"}) <= 1 for names in programmes.values())


def test_electric_trucks_know_their_energy_because_no_default_exists(
    parts: list[SamplePart],
) -> None:
    carriers = column(parts, "freight_trip", "energy_carrier")
    used = column(parts, "freight_trip", "energy_used")
    assert all(u is not None for c, u in zip(carriers, used, strict=True) if c == "electricity")


def test_events_arrive_out_of_order(parts: list[SamplePart]) -> None:
    starts = column(parts, "charging_session", "started_at")
    assert starts != sorted(starts, key=str)
