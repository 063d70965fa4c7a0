"""What the books must say, worked out from the log once more in another way.

No slices, no columns, no state that survives anything: each event of the whole log is decoded by
fastavro, rated by itself (`carbon.explain.rate_one`) and added up with plain integers.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from carbon.explain import rate_one
from carbon.factors import Factor, FactorTable
from carbon.programmes import Programme
from carbon.refusal import CODES
from schemas.framing import WireError
from schemas.singles import decode_one
from streams.states import SUMS

KINDS: Final = {
    "charging-sessions": ("charging", "charging_session", "session_id"),
    "freight-trips": ("freight", "freight_trip", "trip_id"),
}


@dataclass(slots=True)
class Books:
    """What follows from a log.

    Attributes:
        sums: The sums of each account.
        amounts: Signed amount of each transfer, by its id.
        refused: Number of refusals, by code.
        activities: Number of activities booked.
        duplicates: Number of repeats.
    """

    sums: dict[str, Counter[str]] = field(default_factory=dict)
    amounts: dict[str, int] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    activities: int = 0
    duplicates: int = 0


def books_of(
    logs: Mapping[str, Iterable[Any]],
    factors: Iterable[Factor],
    programmes: Mapping[str, Programme],
) -> Books:
    """Return the books of the activity topics' records, each topic by its name without prefix.

    The sample has no account in two programmes and no corrections, so the order does not matter.
    """
    table = FactorTable.of(factors)
    books = Books()
    for topic, log in logs.items():
        for message in log:
            _book(books, topic, message.value, table, programmes)
    return books


def _book(
    books: Books,
    topic: str,
    value: bytes,
    table: FactorTable,
    programmes: Mapping[str, Programme],
) -> None:
    kind, record, id_name = KINDS[topic]
    try:
        event: dict[str, Any] = decode_one(value, record=record)[1]
    except WireError as error:
        books.refused[error.code] += 1
        return
    programme = programmes.get(event["programme"])
    if programme is None:
        books.refused["programme_unknown"] += 1
        return
    rated = rate_one(kind, event, programme, table)
    if rated.refusal[0]:
        books.refused[CODES[rated.refusal[0]]] += 1
        return
    identity = f"{kind}:{event['source']}:{event[id_name]}:{event['revision']}"
    sums = books.sums.setdefault(event["account_id"], Counter(dict.fromkeys(SUMS, 0)))
    if f"{identity}:emission:0" in books.amounts:
        books.duplicates += 1
        sums["duplicate_count"] += 1
        return
    books.activities += 1
    books.amounts[f"{identity}:emission:0"] = int(rated.emissions_mg[0])
    reduces = bool(rated.reduces_row[0])
    if reduces:
        books.amounts[f"{identity}:reduction:0"] = int(rated.reduction_mg[0])
    charging = kind == "charging"
    added = {
        "reduction_mg": int(rated.reduction_mg[0]) if reduces else 0,
        "emissions_mg": int(rated.emissions_mg[0]),
        "energy_wh": event["energy_wh"] if charging else 0,
        "distance_m": 0 if charging else event["distance_m"],
        "transport_kg_km": int(rated.transport_kg_km[0]),
        "session_count": int(charging),
        "trip_count": int(not charging),
        "transfer_count": 1 + int(reduces),
    }
    for name, amount in added.items():
        sums[name] += amount
