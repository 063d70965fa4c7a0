"""What the console asks beyond the rest of the API, and gets."""

from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from api.access import Access
from api.console.pulse import Beat
from api.models import Balance, Instant
from sinks import overview


class Me(BaseModel):
    """What the console may be shown."""

    kind: str = Field(description="account, programme or operator.", examples=["operator"])
    subject: str = Field(description="The account or programme; empty for an operator.")
    needs_token: bool = Field(description="Whether a token was needed.")
    version: str = Field(description="Version of Carbonflow.", examples=["0.1.0"])


class ProgrammeSum(BaseModel):
    """What the balances of one programme add up to."""

    model_config = ConfigDict(from_attributes=True)

    programme: str
    accounts: int
    activities: int = Field(description="Sessions and trips booked.")
    duplicates: int = Field(description="Events recognised as repeats.")
    emissions_mg: int
    reduction_mg: int
    energy_wh: int
    transport_kg_km: int
    newest_at: Instant = Field(description="When its latest event came.")


class Freshness(BaseModel):
    """How old events were when their balances came to hand, over the last seconds."""

    p50_ms: int
    p99_ms: int
    count: int = Field(description="Balances that came.")


class PipelineBeat(BaseModel):
    """How the pipeline was at one moment; what a token may not see is null."""

    at_ms: int = Field(description="When [ms since 1970].")
    source: Literal["topic", "store"] = Field(description="Where sums come from.")
    sums: list[ProgrammeSum] | None = Field(description="Null while not known.")
    freshness: Freshness | None = Field(description="Null if nothing came, or not measured.")
    behind_ms: int | None = Field(
        description="From the latest event worked to the latest received [ms]; operators only."
    )
    lag_offsets: int | None = Field(description="Balances to be taken in yet; operators only.")
    received: int | None = Field(description="Activities stored, booked or not; operators only.")
    refused: dict[str, int] | None = Field(description="Refusals by code; operators only.")
    is_store_away: bool

    @classmethod
    def of(cls, beat: Beat, access: Access) -> Self:
        """Return what of a beat may be seen."""
        sees_all = access.kind == "operator"
        sums = beat.sums
        seen = None if sums is None else [s for s in sums if access.sees_programme(s.programme)]
        return cls(
            at_ms=beat.at_ms,
            source="topic" if beat.is_followed else "store",
            sums=None if seen is None else [ProgrammeSum.model_validate(each) for each in seen],
            freshness=_freshness(beat, access),
            behind_ms=_behind_ms(beat) if sees_all else None,
            lag_offsets=beat.lag_offsets if sees_all else None,
            received=beat.received.activities if sees_all and beat.received else None,
            refused=dict(beat.refused.by_code) if sees_all and beat.refused else None,
            is_store_away=beat.received is None or beat.refused is None,
        )


class Named(BaseModel):
    """A programme and its title, empty where it is not loaded here."""

    programme: str
    title: str


class Part(BaseModel):
    """Carbon of one programme in one region, vehicle class, month or day."""

    model_config = ConfigDict(from_attributes=True)

    programme: str
    name: str = Field(description="Region, class, or first day of the month or day, of UTC.")
    emissions_mg: int
    reduction_mg: int
    activities: int
    energy_wh: int
    transport_kg_km: int


class Carbon(BaseModel):
    """What was booked, in four ways; it is asked of the store now and then."""

    asked_at_ms: int
    programmes: list[Named]
    regions: list[Part]
    classes: list[Part]
    months: list[Part]
    days: list[Part] = Field(description="The latest ones.")

    @classmethod
    def of(
        cls, parts: tuple[overview.Part, ...], titles: dict[str, str], asked_at_ms: int, of: Access
    ) -> Self:
        """Return what may be seen."""
        seen = [part for part in parts if of.sees_programme(part.programme)]
        named = sorted({part.programme for part in seen})

        def by(what: str) -> list[Part]:
            return [Part.model_validate(part) for part in seen if part.of == what]

        return cls(
            asked_at_ms=asked_at_ms,
            programmes=[Named(programme=name, title=titles.get(name, "")) for name in named],
            regions=by("region"),
            classes=by("vehicle_class"),
            months=by("month"),
            days=by("day"),
        )


class Accounts(BaseModel):
    """Accounts whose name has the text in it, those with the latest events first."""

    accounts: list[Balance]


class RefusalCode(BaseModel):
    """A code of refusals: how often, what it means, what to do."""

    code: str
    count: int
    meaning: str
    remedy: str


class RefusalCodes(BaseModel):
    """Codes of refusals, the most frequent first."""

    codes: list[RefusalCode]


def _freshness(beat: Beat, access: Access) -> Freshness | None:
    seen = [ages for name, ages in beat.ages_ms.items() if access.sees_programme(name)]
    if not seen:
        return None
    ages = np.concatenate(seen)
    p50, p99 = np.percentile(ages, (50, 99)).tolist()
    return Freshness(p50_ms=round(p50), p99_ms=round(p99), count=len(ages))


def _behind_ms(beat: Beat) -> int | None:
    if beat.sums is None or beat.received is None or beat.refused is None:
        return None
    worked: list[int] = [each.newest_at for each in beat.sums]
    return max(0, beat.received.newest_ms - max([*worked, beat.refused.newest_ms]))
