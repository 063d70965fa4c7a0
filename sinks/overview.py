"""Overview: questions about the whole, for those who look at it rather than at one account.

What is asked once a second (`received`, `refused`, `sums`) costs little however much is stored:
counts and latest times of the partition key come from what the store knows of its parts, refusals
are few, and balances are one row an account. `carbon` reads the ledger; ask it seldom.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sinks.cursor import from_cursor
from sinks.queries import (
    SIGNED_MG,
    Queries,
    columns_of,
    held_limit,
    page_of,
    value_of,
)
from sinks.records import Balance, Page, ProgrammeSum, PublishedFactor

DAYS: Final = 62
"""How many of the latest days `carbon` tells one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Activities that are stored, booked or not, and when the latest came [ms]; 0 if none did."""

    activities: int
    newest_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Refusals by code, and when the latest record that was refused had come [ms]; 0 if none."""

    by_code: dict[str, int]
    newest_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Carbon of one programme in one region, vehicle class, month or day.

    Attributes:
        of: What it is a part by: region, vehicle_class, month or day.
        name: Which; months and days are those of UTC, as YYYY-MM-DD.
        emissions_mg: What was emitted [mg].
        reduction_mg: What was saved [mg], signed.
        activities: Activities behind it.
        energy_wh: Their electricity [Wh].
        transport_kg_km: Their transport activity [kg km].
    """

    of: str
    programme: str
    name: str
    emissions_mg: int
    reduction_mg: int
    activities: int
    energy_wh: int
    transport_kg_km: int


@dataclass(frozen=True, slots=True)
class FactorWord:
    """One word of a search for factors, and what it may mean beside its letters.

    Attributes:
        text: The word; it is looked for in ids, publishers, publications and licences.
        regions: Codes of regions that it names.
        subjects: Parts of subjects that it names: an energy carrier, a vehicle class.
        kinds: Kinds that it names.
    """

    text: str
    regions: Collection[str]
    subjects: Collection[str]
    kinds: Collection[str]


class Overview:
    """Questions about the whole of one store."""

    def __init__(self, queries: Queries) -> None:
        self._ask = queries.rows

    def received(self) -> Received:
        """Return how many activities are stored. A row inserted twice counts until it is merged."""
        sql = (
            "SELECT sum(n), toUnixTimestamp64Milli(max(newest)) FROM ("
            "SELECT count() AS n, max(_timestamp) AS newest FROM {db}.charging_sessions UNION ALL "
            "SELECT count() AS n, max(_timestamp) AS newest FROM {db}.freight_trips)"
        )
        ((activities, newest_ms),) = self._ask(sql)
        return Received(activities=int(activities), newest_ms=int(newest_ms))

    def refused(self) -> Refused:
        """Return what the workers refused, by code; what was sent again since among it."""
        sql = (
            "SELECT code, count(), ifNull(toUnixTimestamp64Milli(max(timestamp)), 0) "
            "FROM {db}.refusals WHERE origin = 'worker' GROUP BY code ORDER BY code"
        )
        rows = self._ask(sql)
        return Refused(
            by_code={code: int(n) for code, n, _ in rows},
            newest_ms=max((int(newest) for _, _, newest in rows), default=0),
        )

    def sums(self) -> tuple[ProgrammeSum, ...]:
        """Return what the balances of each programme add up to, by programme."""
        sql = (
            "SELECT programme, count(), sum(session_count + trip_count), sum(duplicate_count), "
            "sum(emissions_mg), sum(reduction_mg), sum(energy_wh), sum(transport_kg_km), "
            "toUnixTimestamp64Milli(max(updated_at)) "
            "FROM {db}.accounts GROUP BY programme ORDER BY programme"
        )
        return tuple(value_of(ProgrammeSum, row) for row in self._ask(sql))

    def carbon(self) -> tuple[Part, ...]:
        """Return what was booked, by programme and region, vehicle class, month and day."""
        sql = f"""
            SELECT
              multiIf(grouping(region) = 0, 'region', grouping(vehicle_class) = 0, 'vehicle_class',
                grouping(month) = 0, 'month', 'day') AS of,
              programme,
              multiIf(of = 'region', region, of = 'vehicle_class', vehicle_class,
                of = 'month', month, day) AS name,
              sumIf(signed_mg, is_emission), sumIf(signed_mg, NOT is_emission),
              countIf(is_emission), sumIf(energy_wh, is_emission), sumIf(transport, is_emission)
            FROM (
              SELECT toString(programme) AS programme, toString(region) AS region,
                toString(vehicle_class) AS vehicle_class,
                toString(toStartOfMonth(booked_at)) AS month,
                if(booked_at > newest - INTERVAL {DAYS} DAY,
                  toString(toDate(booked_at)), '') AS day,
                quantity = 'emission' AS is_emission, {SIGNED_MG} AS signed_mg, energy_wh,
                transport_kg_km AS transport
              FROM {{db}}.ledger, (SELECT max(booked_at) AS newest FROM {{db}}.transfers) AS latest
            )
            GROUP BY GROUPING SETS (
              (programme, region), (programme, vehicle_class), (programme, month), (programme, day)
            )
            HAVING of != 'day' OR name != '' ORDER BY of, programme, name
        """
        return tuple(value_of(Part, row) for row in self._ask(sql))

    def accounts(
        self, text: str, *, programme: str | None = None, limit: int = 20
    ) -> tuple[Balance, ...]:
        """Return accounts whose name has a text in it, those with the latest events first.

        Args:
            text: What to look for, whatever its case; empty finds all.
            programme: Only of this programme.
            limit: How many, 1 to LIMIT_MAX.
        """
        where, values = ["positionCaseInsensitiveUTF8(account_id, {text:String}) > 0"], {}
        if programme is not None:
            where.append("programme = {programme:String}")
            values["programme"] = programme
        sql = (
            f"SELECT {columns_of(Balance)} FROM {{db}}.accounts WHERE {' AND '.join(where)} "
            "ORDER BY account_id = {text:String} DESC, accounts.updated_at DESC, account_id "
            "LIMIT {limit:UInt32}"
        )
        rows = self._ask(sql, text=text, limit=held_limit(limit), **values)
        return tuple(value_of(Balance, row) for row in rows)

    def factors(
        self,
        words: Sequence[FactorWord],
        *,
        kind: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[PublishedFactor]:
        """Return factors that every word means, by release and id.

        Raises:
            CursorError: `cursor` is not one of this list.
        """
        where, values = ["true"], dict[str, Any]()
        if kind is not None:
            where.append("kind = {kind:String}")
            values["kind"] = kind
        for number, word in enumerate(words):
            where.append(
                f"(region IN {{regions_{number}:Array(String)}} "
                f"OR kind IN {{kinds_{number}:Array(String)}} "
                "OR hasAny(splitByChar('.', toString(subject)), "
                f"{{subjects_{number}:Array(String)}}) "
                "OR positionCaseInsensitiveUTF8(concat(factor_id, ' ', publisher, ' ', "
                f"publication, ' ', licence), {{text_{number}:String}}) > 0)"
            )
            values[f"text_{number}"] = word.text
            values[f"regions_{number}"] = list(word.regions)
            values[f"kinds_{number}"] = list(word.kinds)
            values[f"subjects_{number}"] = list(word.subjects)
        if cursor is not None:
            values["after_release"], values["after_id"] = from_cursor(cursor, str, str)
            where.append("(release, factor_id) > ({after_release:String}, {after_id:String})")
        sql = (
            f"SELECT {columns_of(PublishedFactor)} FROM {{db}}.published_factors "
            f"WHERE {' AND '.join(where)} ORDER BY release, factor_id LIMIT {{limit:UInt32}}"
        )
        rows = self._ask(sql, limit=held_limit(limit) + 1, **values)
        found = tuple(value_of(PublishedFactor, row) for row in rows)
        return page_of(found, limit, lambda row: (row.release, row.factor_id))
