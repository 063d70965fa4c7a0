"""Laws of the pure step, over streams of any events: where slices are cut makes no difference."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from carbon.explain import rate_one
from schemas.singles import decode_one
from streams.accounts import Accounts
from streams.states import SUMS, AccountStore
from tests.streams.scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    SESSIONS,
    TRIPS,
    Event,
    event,
    held,
    part_of,
    refused,
    restored,
    rules,
    session,
    shipped_factors,
    transfers,
    wire_balances,
    work,
)
from tests.streams.streams_of_events import ACCOUNTS, streams

LAW = settings(deadline=None, max_examples=60)  # The machine is shared: no time of ours is sure.
EVERYONE = (*ACCOUNTS, "emil")


@dataclass
class Books:
    """Accounts, and all that was delivered for them."""

    accounts: AccountStore = field(default_factory=Accounts)
    transfers: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[tuple[str, int, str]] = field(default_factory=list)
    balances: list[bytes] = field(default_factory=list)
    booked: int = 0
    duplicates: int = 0

    def work(self, topic: str, events: Sequence[Event], first_offset: int) -> None:
        outcome = work(
            self.accounts, part_of(events, topic=topic, first_offset=first_offset), rules()
        )
        self.transfers += transfers(outcome)
        self.refusals += [(topic, first_offset + at, code) for at, code in refused(outcome)]
        self.balances += wire_balances(outcome)
        self.booked += outcome.booked
        self.duplicates += outcome.duplicates

    def held(self) -> dict[str, tuple[Any, ...]]:
        return held(self.accounts, EVERYONE)

    def sums(self, name: str) -> dict[str, int]:
        return dict(zip(SUMS, self.held()[name][1], strict=False))


def worked(
    stream: Sequence[tuple[str, Event]], cuts: set[int], books: Books | None = None
) -> Books:
    """Work a stream, beginning a new slice at each cut and wherever the topic changes."""
    books = books or Books()
    offset: Counter[str] = Counter()
    waiting: list[Event] = []
    for index, (topic, one) in enumerate(stream):
        waiting.append(one)
        last = index + 1 == len(stream)
        if last or index + 1 in cuts or stream[index + 1][0] != topic:
            books.work(topic, waiting, offset[topic])
            offset[topic] += len(waiting)
            waiting = []
    return books


def by_id(books: Books) -> list[dict[str, Any]]:
    return sorted(books.transfers, key=lambda transfer: str(transfer["transfer_id"]))


@LAW
@given(streams(), st.sets(st.integers(1, 29)))
def test_cutting_the_same_records_differently_changes_nothing(
    stream: list[tuple[str, Event]], cuts: set[int]
) -> None:
    whole, cut = worked(stream, set()), worked(stream, cuts)
    assert cut.held() == whole.held()
    assert by_id(cut) == by_id(whole)
    assert sorted(cut.refusals) == sorted(whole.refusals)
    assert (cut.booked, cut.duplicates) == (whole.booked, whole.duplicates)


@LAW
@given(streams())
def test_a_slice_of_n_is_n_slices_of_one(stream: list[tuple[str, Event]]) -> None:
    whole, singles = worked(stream, set()), worked(stream, set(range(len(stream))))
    assert singles.held() == whole.held()
    assert by_id(singles) == by_id(whole)
    assert sorted(singles.refusals) == sorted(whole.refusals)


@LAW
@given(streams(), st.sets(st.integers(1, 29)))
def test_every_record_is_booked_a_repeat_or_refused(
    stream: list[tuple[str, Event]], cuts: set[int]
) -> None:
    books = worked(stream, cuts)
    assert len(stream) == books.booked + books.duplicates + len(books.refusals)
    assert books.duplicates == sum(books.sums(name)["duplicate_count"] for name in books.held())


@LAW
@given(streams())
def test_no_transfer_is_made_twice(stream: list[tuple[str, Event]]) -> None:
    made = Counter(one["transfer_id"] for one in worked([*stream, *stream], set()).transfers)
    assert set(made.values()) <= {1}


@LAW
@given(streams(), st.sets(st.integers(1, 29)))
def test_working_a_stream_again_changes_nothing_but_the_count_of_repeats(
    stream: list[tuple[str, Event]], cuts: set[int]
) -> None:
    books = worked(stream, cuts)
    before, made, refused_before = books.held(), len(books.transfers), len(books.refusals)
    worked(stream, set(), books)
    assert len(books.transfers) == made
    assert len(books.refusals) <= 2 * refused_before
    where = SUMS.index("duplicate_count")
    for name, (programme, state, seen, forgotten) in books.held().items():
        changed = [
            at
            for at, pair in enumerate(zip(state, before[name][1], strict=True))
            if pair[0] != pair[1]
        ]
        # updated_at is the latest timestamp of a booked event or a repeat, and may move as well.
        assert set(changed) <= {where, len(state) - 1}
        assert (programme, seen, forgotten) == (before[name][0], *before[name][2:])


ENERGIES = st.lists(st.integers(0, 10_000_000), min_size=1, max_size=12)


@LAW
@given(ENERGIES, st.randoms(use_true_random=False))
def test_the_order_of_distinct_events_does_not_change_the_sums(
    energies: list[int], random: Any
) -> None:
    stream = [
        (
            SESSIONS,
            event(
                session(
                    session_id=f"S{number}",
                    account_id=ACCOUNTS[number % 3],
                    energy_wh=energy,
                    ended_at=NOW_MS - number * HOUR_MS,
                    started_at=NOW_MS - (number + 1) * HOUR_MS,
                )
            ),
        )
        for number, energy in enumerate(energies)
    ]
    shuffled = list(stream)
    random.shuffle(shuffled)
    assert worked(shuffled, {3, 7}).held() == worked(stream, set()).held()


@LAW
@given(streams(), st.sets(st.integers(1, 29)))
def test_the_signed_transfers_of_each_account_are_its_balance(
    stream: list[tuple[str, Event]], cuts: set[int]
) -> None:
    books = worked(stream, cuts)
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in books.transfers:
        sign = 1 if one["credit_account"] == one["account_id"] else -1
        sums = found[one["account_id"]]
        name = {"reduction": "reduction_mg", "emission": "emissions_mg"}[one["quantity"]]
        sums[name] += sign * one["amount_mg"]
        sums["transfer_count"] += 1
        if one["quantity"] == "emission":
            for summed in ("energy_wh", "distance_m", "transport_kg_km"):
                sums[summed] += one[summed]
            sums["session_count" if one["activity"] == "charging" else "trip_count"] += 1
    for name in books.held():
        held_now = books.sums(name)
        assert {one: held_now[one] for one in SUMS[:-1]} == {
            one: found[name][one] for one in SUMS[:-1]
        }


@LAW
@given(streams())
def test_a_transfer_moves_between_its_account_and_one_of_its_programme(
    stream: list[tuple[str, Event]],
) -> None:
    total: Counter[str] = Counter()
    for one in worked(stream, set()).transfers:
        system = {"reduction": "issuance", "emission": "emission"}[one["quantity"]]
        assert one["amount_mg"] >= 0
        assert {one["debit_account"], one["credit_account"]} == {
            one["account_id"],
            f"{one['programme']}:{system}",
        }
        total[one["debit_account"]] -= one["amount_mg"]
        total[one["credit_account"]] += one["amount_mg"]
    assert sum(total.values()) == 0


@LAW
@given(streams(max_size=12))
def test_amounts_are_those_of_rating_each_activity_alone(stream: list[tuple[str, Event]]) -> None:
    books = worked(stream, set())
    values = {
        topic: [one.value for at, one in stream if at == topic] for topic in (SESSIONS, TRIPS)
    }
    for one in books.transfers:
        activity = decode_one(values[one["source_topic"]][one["source_offset"]])[1]
        programme = rules().programmes[one["programme"]]
        rated = rate_one(one["activity"], activity, programme, shipped_factors())
        sign = 1 if one["credit_account"] == one["account_id"] else -1
        amount = rated.reduction_mg if one["quantity"] == "reduction" else rated.emissions_mg
        assert sign * one["amount_mg"] == amount[0]
        assert (one["emissions_mg"], one["baseline_mg"]) == (
            rated.emissions_mg[0],
            rated.baseline_mg[0],
        )
        assert one["factor_id"] == shipped_factors().factors[rated.factor[0]].factor_id


@LAW
@given(streams(), st.sets(st.integers(1, 29)))
def test_accounts_restored_from_their_balances_are_those_in_memory_and_go_on_as_they_would(
    stream: list[tuple[str, Event]], cuts: set[int]
) -> None:
    books = worked(stream, cuts)
    again = Books(accounts=restored(books.balances))
    assert again.held() == books.held()
    made, booked = len(books.transfers), books.booked
    worked(stream, set(), again)
    worked(stream, set(), books)
    assert again.held() == books.held()
    assert (again.booked, len(again.transfers)) == (
        books.booked - booked,
        len(books.transfers) - made,
    )


DAYS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 36, 40])), min_size=3, max_size=20
)


@LAW
@example([(2, 0), (3, 36), (2, 36)], {1, 2})  # Its first ended the day after it was recorded.
@given(DAYS, st.just(set(range(20))) | st.sets(st.integers(1, 19)))
def test_nothing_is_booked_twice_however_much_time_lies_between_its_repeats(
    sent: list[tuple[int, int]], cuts: set[int]
) -> None:
    stream = [
        (
            SESSIONS,
            event(
                session(
                    session_id=f"S{number}",
                    ended_at=NOW_MS + number * DAY_MS // 3,
                    started_at=NOW_MS - HOUR_MS,
                ),
                NOW_MS + day * DAY_MS,
            ),
        )
        for number, day in sent
    ]
    books = worked(stream, cuts)
    assert len({one["transfer_id"] for one in books.transfers}) == len(books.transfers)
    assert len(stream) == books.booked + books.duplicates + len(books.refusals)


@LAW
@given(streams(), st.sets(st.integers(1, 29)))
def test_what_a_programme_gives_of_each_quantity_is_what_its_accounts_have(
    stream: list[tuple[str, Event]], cuts: set[int]
) -> None:
    books = worked(stream, cuts)
    given_by: Counter[tuple[str, str]] = Counter()
    for one in books.transfers:
        for side, sign in (("debit_account", 1), ("credit_account", -1)):
            if one[side] != one["account_id"]:
                given_by[one["programme"], one["quantity"]] += sign * one["amount_mg"]
    had: Counter[tuple[str, str]] = Counter()
    for name, (programme, *_) in books.held().items():
        sums = books.sums(name)
        had[programme, "reduction"] += sums["reduction_mg"]
        had[programme, "emission"] += sums["emissions_mg"]
    assert {key: mg for key, mg in given_by.items() if mg} == {
        key: mg for key, mg in had.items() if mg
    }


@LAW
@given(streams(), st.data())
def test_an_event_sent_twice_in_a_row_is_that_event_and_one_repeat_if_it_is_booked(
    stream: list[tuple[str, Event]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, max(len(stream) - 1, 0)))
    once = worked(stream, set())
    twice = worked([*stream[: place + 1], *stream[place:]], set())
    added = len(stream) > 0
    assert (twice.booked, len(twice.transfers)) == (once.booked, len(once.transfers))
    more = twice.duplicates - once.duplicates, len(twice.refusals) - len(once.refusals)
    assert more in ({(1, 0), (0, 1)} if added else {(0, 0)})
    skipped = SUMS.index("duplicate_count")
    for name, (programme, state, seen, forgotten) in once.held().items():
        again = twice.held()[name]
        assert (again[0], *again[2:]) == (programme, seen, forgotten)
        assert again[1][:skipped] == state[:skipped]
