"""What readers get: frozen values, with the names and units of the Avro records.

Instants are milliseconds since 1970 UTC, as everywhere between the wire and the edge. Two fields
named alike mean the same; an `Instant` field is how a query knows that a column has to be turned
into milliseconds.
"""

from dataclasses import dataclass, fields
from typing import Generic, NewType, TypeVar

from carbon.factors import Factor

__all__ = [
    "Balance",
    "ChargingSession",
    "Counts",
    "Factor",
    "FreightTrip",
    "Instant",
    "Page",
    "ProgrammeSum",
    "PublishedFactor",
    "Refusal",
    "RefusedRecord",
    "Total",
    "Transfer",
]

Instant = NewType("Instant", int)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows in order, and the cursor that asks for those after them; None at the end."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFactor(Factor):
    """A factor and its place in the order of publication.

    Of two factors for the same, the later published wins; one published again moves to the end.
    """

    published_order: int

    @property
    def plain(self) -> Factor:
        """The factor itself, which equals another with the same figures."""
        return Factor(**{each.name: getattr(self, each.name) for each in fields(Factor)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What one account adds up to."""

    account_id: str
    programme: str
    reduction_mg: int
    emissions_mg: int
    energy_wh: int
    distance_m: int
    transport_kg_km: int
    session_count: int
    trip_count: int
    transfer_count: int
    duplicate_count: int
    last_booked_at: Instant
    updated_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One movement of the ledger."""

    transfer_id: str
    debit_account: str
    credit_account: str
    account_id: str
    amount_mg: int
    kind: str
    quantity: str
    activity: str
    source: str
    activity_id: str
    revision: int
    programme: str
    programme_digest: str
    region: str
    vehicle_class: str
    method: str
    baseline_mg: int
    emissions_mg: int
    energy_wh: int
    distance_m: int
    transport_kg_km: int
    factor_id: str
    factor_release: str
    factor_value_mg: int
    factor_match: str
    booked_at: Instant
    recorded_at: Instant
    source_topic: str
    source_partition: int
    source_offset: int

    @property
    def signed_mg(self) -> int:
        """What it adds to the balance of `account_id` [mg]; negative if that account is debited."""
        return self.amount_mg if self.credit_account == self.account_id else -self.amount_mg


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingSession:
    """A charging session as it was reported."""

    session_id: str
    source: str
    account_id: str
    programme: str
    vehicle_class: str
    grid_region: str
    started_at: Instant
    ended_at: Instant
    energy_wh: int
    meter_side: str
    current: str
    operator_id: str
    evse_id: str
    reversal_of: str | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FreightTrip:
    """A freight trip as it was reported."""

    trip_id: str
    source: str
    account_id: str
    programme: str
    vehicle_id: str
    vehicle_class: str
    energy_carrier: str
    departed_at: Instant
    arrived_at: Instant
    distance_m: int
    distance_basis: str
    cargo_kg: int
    empty_distance_m: int
    energy_used: int | None
    origin_region: str
    destination_region: str
    data_grade: str
    reversal_of: str | None
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a record or a row was refused, and where it was.

    `refusal_id` is its place in the topic of refusals, `partition-offset`. A worker's refusal names
    topic, partition, offset and timestamp of the source record, a loader's file and line.

    `source` and `account_id` are those of the record as far as it can be read; else the account is
    the key. `attempt` is how often it had been sent again before it was refused, `value_bytes`
    its size where only its beginning is kept, `is_replayed` whether it was sent again since.
    """

    refusal_id: str
    code: str
    reason: str
    origin: str
    topic: str
    partition: int | None
    offset: int | None
    timestamp: Instant | None
    file: str
    line: int | None
    source: str
    account_id: str
    attempt: int
    value_bytes: int | None
    is_replayed: bool
    refused_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord:
    """A refusal with the bytes that were refused."""

    refusal: Refusal
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Transfers of one programme, region and quantity.

    `amount_mg` is signed: a transfer that debits the driver counts negative. Energy and transport
    activity are those of the activities behind the transfers, so they stand in the rows of both
    quantities and must not be added up over them.
    """

    programme: str
    region: str
    quantity: str
    activities: int
    amount_mg: int
    energy_wh: int
    transport_kg_km: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeSum:
    """What the balances of one programme add up to; `newest_at` is when its latest event came."""

    programme: str
    accounts: int
    activities: int
    duplicates: int
    emissions_mg: int
    reduction_mg: int
    energy_wh: int
    transport_kg_km: int
    newest_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there is.

    `source_events` are the records of the activity topics, each counted once wherever it was put;
    `activities + duplicates + refused` is the same number once all of them are worked. Rows a
    loader refused never became records and are counted apart.
    """

    activities: int
    transfers: int
    accounts: int
    duplicates: int
    refused: int
    refused_by_loader: int
    source_events: int
