"""What the API answers: the records of the store with instants as RFC 3339 and their meaning in
OpenAPI.

Amounts are integers in milligrams, and every name ends with its unit. A model is made from a record
by `from_attributes`, so a field that is missing here is missing on purpose.
"""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sinks import records

# Undated tables hold from 1970 to the year 10000; to a reader they are open.
_OPEN_FROM_MS = 0
_OPEN_TO_MS = 253_402_300_800_000


def _instant(value: object) -> object:
    """Turn milliseconds since 1970 into a time; anything else is for pydantic to judge."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value // 1000, UTC).replace(microsecond=value % 1000 * 1000)
    return value


Instant = Annotated[datetime, BeforeValidator(_instant)]


class _Record(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)

    @classmethod
    def of(cls, record: object) -> Self:
        """Return the model of a stored record."""
        return cls.model_validate(record)


class Balance(_Record):
    """What one account adds up to."""

    account_id: str = Field(description="The account.", examples=["driver-7"])
    programme: str = Field(description="The scheme it belongs to.", examples=["cn-charging"])
    reduction_mg: int = Field(
        description="Net reduction [mg]; negative if more was emitted than the baseline.",
        examples=[10_408_000],
    )
    emissions_mg: int = Field(description="Emissions [mg].", examples=[14_240_000])
    energy_wh: int = Field(description="Electricity charged [Wh].", examples=[20_000])
    distance_m: int = Field(description="Freight distance [m].", examples=[0])
    transport_kg_km: int = Field(description="Transport activity [kg km].", examples=[0])
    session_count: int = Field(description="Charging sessions booked.", examples=[1])
    trip_count: int = Field(description="Freight trips booked.", examples=[0])
    transfer_count: int = Field(description="Transfers booked.", examples=[2])
    duplicate_count: int = Field(
        description="Events recognised as repeats and not booked.", examples=[0]
    )
    last_booked_at: Instant = Field(description="When the latest activity ended.")
    updated_at: Instant = Field(description="When the latest event was received.")


class BalancesRequest(BaseModel):
    """Accounts whose balances are wanted."""

    account_ids: list[str] = Field(
        min_length=1, description="The accounts.", examples=[["driver-7", "driver-8"]]
    )


class Balances(BaseModel):
    """Balances of those accounts that exist and may be seen, by account, and the other accounts."""

    balances: list[Balance]
    unknown: list[str] = Field(
        description="Accounts for which nothing was ever booked, or that the token may not see."
    )


class Transfer(_Record):
    """One movement of the ledger; immutable."""

    transfer_id: str = Field(
        description="Identity, the same on every replay.",
        examples=["charging:cpo-a:4711:0:reduction:0"],
    )
    debit_account: str = Field(
        description="The account that gives.", examples=["cn-charging:issuance"]
    )
    credit_account: str = Field(description="The account that receives.", examples=["driver-7"])
    account_id: str = Field(
        description="The one of the two whose balance it changes.", examples=["driver-7"]
    )
    amount_mg: int = Field(ge=0, description="Amount [mg].", examples=[10_408_000])
    signed_mg: int = Field(
        description="What it adds to the balance of account_id [mg].", examples=[10_408_000]
    )
    kind: str = Field(description="accrual, reversal or adjustment.", examples=["accrual"])
    quantity: str = Field(description="reduction or emission.", examples=["reduction"])
    activity: str = Field(description="charging or freight.", examples=["charging"])
    source: str = Field(description="Who reported the activity.", examples=["cpo-a"])
    activity_id: str = Field(description="Its id within source.", examples=["4711"])
    revision: int = Field(description="Its revision.", examples=[0])
    programme: str = Field(description="The scheme.", examples=["cn-charging"])
    programme_digest: str = Field(description="Digest of the scheme's parameters in force.")
    region: str = Field(description="Grid region, or region of departure.", examples=["CN-BJ"])
    vehicle_class: str = Field(description="Class of the vehicle.", examples=["car"])
    method: str = Field(description="Method and its version.", examples=["charging-reduction/1"])
    baseline_mg: int = Field(
        description="What the baseline would have emitted [mg].", examples=[24_648_000]
    )
    emissions_mg: int = Field(description="What was emitted [mg].", examples=[14_240_000])
    energy_wh: int = Field(description="Electricity [Wh].", examples=[20_000])
    distance_m: int = Field(description="Distance [m].", examples=[0])
    transport_kg_km: int = Field(description="Transport activity [kg km].", examples=[0])
    factor_id: str = Field(description="Factor of the emissions.")
    factor_release: str = Field(description="Its release.")
    factor_value_mg: int = Field(
        description="Its value [mg per unit]; an hourly factor's mean over the session.",
        examples=[712_000],
    )
    factor_match: str = Field(
        description="How it matched: exact, or which fallback in place or time.",
        examples=["exact"],
    )
    booked_at: Instant = Field(description="When the activity ended.")
    recorded_at: Instant = Field(description="When its record was received.")
    source_topic: str = Field(description="Topic of its record.")
    source_partition: int = Field(description="Partition of its record.")
    source_offset: int = Field(description="Offset of its record.")


class Statement(BaseModel):
    """Transfers of one account in the order they were booked for."""

    account_id: str
    transfers: list[Transfer]
    next_cursor: str | None = Field(
        description="Pass it as `cursor` for the next page; null at the end."
    )


class ChargingSession(_Record):
    """A charging session as it was reported."""

    session_id: str
    source: str
    account_id: str
    programme: str
    vehicle_class: str
    grid_region: str
    started_at: Instant
    ended_at: Instant
    energy_wh: int = Field(description="Energy delivered [Wh].")
    meter_side: str = Field(description="grid or dispenser.")
    current: str = Field(description="ac or dc.")
    operator_id: str
    evse_id: str
    reversal_of: str | None
    revision: int


class FreightTrip(_Record):
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
    distance_m: int = Field(description="Loaded distance [m].")
    distance_basis: str = Field(description="actual, sfd or gcd (GLEC).")
    cargo_kg: int = Field(description="Freight mass [kg].")
    empty_distance_m: int = Field(description="Empty distance that belongs to the trip [m].")
    energy_used: int | None = Field(description="Energy carrier used [ml, g or Wh].")
    origin_region: str
    destination_region: str
    data_grade: str = Field(description="primary, modelled or default (GLEC).")
    reversal_of: str | None
    revision: int


class Factor(_Record):
    """An emission factor or intensity, with where it comes from."""

    factor_id: str
    release: str = Field(description="The immutable set it belongs to.")
    kind: str = Field(description="grid_average, grid_hourly, fuel or freight_intensity.")
    region: str = Field(examples=["CN-BJ"])
    subject: str = Field(
        description="electricity, an energy carrier, or vehicle_class.energy_carrier."
    )
    boundary: str = Field(description="ttw or wtw.")
    gas: str = Field(description="co2 or co2e.")
    value_mg: int = Field(description="Milligrams of the gas per unit.", examples=[568_800])
    unit: str = Field(description="kwh, l, kg or tkm.")
    valid_from: Instant | None = Field(description="Start, inclusive; null if open.")
    valid_to: Instant | None = Field(description="End, exclusive; null if open.")
    publisher: str
    publication: str
    url: str
    licence: str
    evidence: str = Field(description="How the figure was checked: V1, V2, V3, C or user.")
    uncertainty_permille: int | None
    published_order: int = Field(
        description="Place in the order of publication: of two for the same, the later wins."
    )

    @classmethod
    def of(cls, record: object) -> Self:
        """Return the model of a factor; the ends of an undated table become open."""
        assert isinstance(record, records.PublishedFactor)
        values: dict[str, Any] = {name: getattr(record, name) for name in cls.model_fields}
        if record.valid_from <= _OPEN_FROM_MS:
            values["valid_from"] = None
        if record.valid_to >= _OPEN_TO_MS:
            values["valid_to"] = None
        return cls(**values)


class Term(_Record):
    """One number of a formula."""

    what: str = Field(description="What it is, in a stable word.", examples=["grid_factor"])
    value: str = Field(description="A whole number or a fraction.", examples=["712000"])
    unit: str = Field(description="Its unit; empty if it has none.", examples=["mg/kWh"])


class Step(_Record):
    """One line of a formula."""

    what: str = Field(description="emissions, baseline or reduction.", examples=["emissions"])
    terms: list[Term] = Field(
        description="What is multiplied; of a reduction (baseline - emissions) x share."
    )
    divisor: int = Field(description="What the product is divided by.", examples=[1000])
    amount_mg: int = Field(description="The amount [mg].", examples=[14_240_000])


class Explanation(BaseModel):
    """How a transfer's amount came to be."""

    transfer: Transfer
    activity: ChargingSession | FreightTrip = Field(description="What was reported.")
    factors: list[Factor] = Field(
        description="The factor it names; for an hourly one all hours the session touches."
    )
    lines: list[str] = Field(description="Inputs and formula with its numbers, line by line.")
    steps: list[Step] = Field(
        description="The formula with its numbers, as data; empty if it can't be recomputed."
    )
    recomputed_mg: int | None = Field(
        description="What the method gives for the same inputs [mg], signed; null if it can't."
    )
    agrees: bool | None = Field(
        description="Whether that is the booked amount; null if it can't be recomputed."
    )


class Factors(BaseModel):
    """Factors by release and id."""

    factors: list[Factor]
    next_cursor: str | None = Field(
        description="Pass it as `cursor` for the next page; null at the end."
    )


class Total(_Record):
    """Transfers of one programme, region and quantity."""

    programme: str
    region: str
    quantity: str = Field(description="reduction or emission.")
    activities: int = Field(description="Activities behind it.")
    amount_mg: int = Field(description="Signed sum [mg]: what debits a driver counts negative.")
    energy_wh: int = Field(
        description="Electricity of those activities [Wh]; stands in both quantities."
    )
    transport_kg_km: int = Field(
        description="Transport activity of those activities [kg km]; stands in both quantities."
    )


class Totals(BaseModel):
    """What was booked, by programme, region and quantity."""

    totals: list[Total]


class Refusal(_Record):
    """Why a record or a row was refused, and where it was."""

    refusal_id: str = Field(examples=["3-1200"])
    code: str = Field(description="Stable code of the reason.", examples=["undecodable"])
    reason: str = Field(description="The reason in words.")
    origin: str = Field(description="worker or loader.")
    topic: str = Field(description="Topic of the record; empty for a loader.")
    partition: int | None
    offset: int | None
    timestamp: Instant | None = Field(description="When the record was received.")
    file: str = Field(description="File of the row; empty for a worker.")
    line: int | None
    source: str = Field(description="Source of the record; empty where it cannot be read.")
    account_id: str = Field(description="Its account, or its key where it cannot be read.")
    attempt: int = Field(description="How often it had been sent again before this refusal.")
    value_bytes: int | None = Field(description="Its size where only its beginning is kept [byte].")
    is_replayed: bool = Field(description="Whether it was sent again since.")
    refused_at: Instant


class Refusals(BaseModel):
    """Refusals by their place in the topic of refusals."""

    refusals: list[Refusal]
    next_cursor: str | None = Field(
        description="Pass it as `cursor` for the next page; null at the end."
    )


class RefusedRecord(BaseModel):
    """A refusal with the bytes that were refused."""

    refusal: Refusal
    key_base64: str | None = Field(description="Key of the record, base64.")
    value_base64: str = Field(description="Value of the record or text of the row, base64.")

    @classmethod
    def of(cls, record: records.RefusedRecord) -> Self:
        """Return the model of a refused record."""
        return cls(
            refusal=Refusal.of(record.refusal),
            key_base64=None if record.key is None else base64.b64encode(record.key).decode(),
            value_base64=base64.b64encode(record.value).decode(),
        )
