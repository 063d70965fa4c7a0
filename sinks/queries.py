"""Queries: everything readers ask of the store, typed.

Values go in as parameters and come out as the frozen values of `records`. All of it reads the
views, which show each fact once however often it was inserted. Lists are paged by the key of the
last row (`cursor`), so a page neither skips nor repeats a row while others are written. A `Queries`
may be used from several threads.
"""

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Final, TypeVar, get_type_hints

from sinks.connect import Client, database_name
from sinks.cursor import from_cursor, to_cursor
from sinks.filters import (
    REPLAYED,
    FactorFilter,
    RefusalFilter,
    refusal_place,
    refusals_where,
)
from sinks.positions import ACTIVITY_TOPICS, source_events
from sinks.records import (
    Balance,
    ChargingSession,
    Counts,
    FreightTrip,
    Instant,
    Page,
    PublishedFactor,
    Refusal,
    RefusedRecord,
    Total,
    Transfer,
)

__all__ = ["FactorFilter", "Queries", "RefusalFilter"]

T = TypeVar("T")

SIGNED_MG: Final = "if(credit_account = account_id, amount_mg, -amount_mg)"
LIMIT_MAX: Final = 10_000

# Columns that are not simply the field of that name. Factor's instants are plain integers in
# `carbon`.
_EXPRESSIONS: Final = {
    "refusal_id": "concat(toString(_partition), '-', toString(_offset))",
    "refused_at": "toUnixTimestamp64Milli(_timestamp)",
    "is_replayed": f"CAST({REPLAYED}, 'Bool')",
    "valid_from": "toUnixTimestamp64Milli(valid_from)",
    "valid_to": "toUnixTimestamp64Milli(valid_to)",
    # Factors have one partition, so that there is one order.
    "published_order": "_offset",
}


class Queries:
    """Typed questions to one database."""

    def __init__(self, client: Client, *, database: str = "carbonflow") -> None:
        self._client = client
        self._database = database_name(database)

    def ping(self) -> bool:
        """Return whether the store answers and has its tables."""
        return bool(self._client.ping()) and bool(self.rows("EXISTS VIEW {db}.accounts")[0][0])

    def balance(self, account_id: str) -> Balance | None:
        """Return the balance of an account, None if nothing was ever booked for it."""
        found = self.balances([account_id])
        return found[0] if found else None

    def balances(self, account_ids: Sequence[str]) -> tuple[Balance, ...]:
        """Return the balances of those accounts that exist, by account.

        The one question that leaves the view aside, because it is asked most: FINAL merges the
        rows around an account too, which takes three times as long. Here the rows of an account,
        of which each part of the table has one at most, come as they are, and the latest wins.
        """
        sql = (
            f"SELECT {columns_of(Balance)}, _offset FROM {{db}}.balances "
            "WHERE account_id IN {ids:Array(String)}"
        )
        latest: dict[str, Sequence[Any]] = {}
        for row in self.rows(sql, ids=list(account_ids)):
            known = latest.get(row[0])
            if known is None or known[-1] < row[-1]:
                latest[row[0]] = row
        return tuple(value_of(Balance, latest[account_id][:-1]) for account_id in sorted(latest))

    def top_accounts(self, *, limit: int = 10) -> tuple[Balance, ...]:
        """Return the accounts with the largest net reduction; among equals, the most emissions."""
        sql = (
            f"SELECT {columns_of(Balance)} FROM {{db}}.accounts "
            "ORDER BY reduction_mg DESC, emissions_mg DESC, account_id LIMIT {limit:UInt32}"
        )
        return self._values(Balance, sql, limit=held_limit(limit))

    def statement(
        self,
        account_id: str,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Transfer]:
        """Return transfers of an account in the order they were booked for.

        Args:
            account_id: The account.
            from_ms: Earliest booked_at, inclusive [ms].
            to_ms: Latest booked_at, exclusive [ms].
            cursor: Where the last page ended.
            limit: Rows of a page, 1 to LIMIT_MAX.

        Raises:
            CursorError: `cursor` is not one of a statement.
        """
        where = ["account_id = {account:String}"]
        values: dict[str, Any] = {"account": account_id}
        if from_ms is not None:
            where.append("booked_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')")
            values["from_ms"] = from_ms
        if to_ms is not None:
            where.append("booked_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')")
            values["to_ms"] = to_ms
        if cursor is not None:
            values["after"], values["after_id"] = from_cursor(cursor, int, str)
            where.append(
                "(booked_at, transfer_id) > "
                "(fromUnixTimestamp64Milli({after:Int64}, 'UTC'), {after_id:String})"
            )
        sql = (
            f"SELECT {columns_of(Transfer)} FROM {{db}}.ledger WHERE {' AND '.join(where)} "
            "ORDER BY booked_at, transfer_id LIMIT {limit:UInt32}"
        )
        rows = self._values(Transfer, sql, limit=held_limit(limit) + 1, **values)
        return page_of(rows, limit, lambda row: (row.booked_at, row.transfer_id))

    def transfer(self, transfer_id: str) -> Transfer | None:
        """Return a transfer."""
        sql = (
            f"SELECT {columns_of(Transfer)} FROM {{db}}.ledger "
            "WHERE transfer_id = {id:String} LIMIT 1"
        )
        return _first(self._values(Transfer, sql, id=transfer_id))

    def activity(self, transfer: Transfer) -> ChargingSession | FreightTrip | None:
        """Return the activity behind a transfer as it was reported; None if it isn't stored."""
        place = {"partition": transfer.source_partition, "offset": transfer.source_offset}
        where = "WHERE _partition = {partition:Int32} AND _offset = {offset:Int64}"
        if transfer.activity == "charging":
            sessions = f"SELECT {columns_of(ChargingSession)} FROM {{db}}.sessions {where}"
            return _first(self._values(ChargingSession, sessions, **place))
        trips = f"SELECT {columns_of(FreightTrip)} FROM {{db}}.trips {where}"
        return _first(self._values(FreightTrip, trips, **place))

    def factor(self, release: str, factor_id: str) -> PublishedFactor | None:
        """Return a factor of a release."""
        sql = (
            f"SELECT {columns_of(PublishedFactor)} FROM {{db}}.published_factors "
            "WHERE release = {release:String} AND factor_id = {id:String}"
        )
        return _first(self._values(PublishedFactor, sql, release=release, id=factor_id))

    def factors(
        self, which: FactorFilter, *, cursor: str | None = None, limit: int = 100
    ) -> Page[PublishedFactor]:
        """Return factors by release and id.

        Raises:
            CursorError: `cursor` is not one of this list.
        """
        where, values = ["true"], dict[str, Any]()
        for name in ("release", "kind", "region", "subject", "boundary"):
            if (value := getattr(which, name)) is not None:
                where.append(f"{name} = {{{name}:String}}")
                values[name] = value
        if which.at is not None:
            where.append(
                "valid_from <= fromUnixTimestamp64Milli({at:Int64}, 'UTC') "
                "AND valid_to > fromUnixTimestamp64Milli({at:Int64}, 'UTC')"
            )
            values["at"] = which.at
        if cursor is not None:
            values["after_release"], values["after_id"] = from_cursor(cursor, str, str)
            where.append("(release, factor_id) > ({after_release:String}, {after_id:String})")
        sql = (
            f"SELECT {columns_of(PublishedFactor)} FROM {{db}}.published_factors "
            f"WHERE {' AND '.join(where)} "
            "ORDER BY release, factor_id LIMIT {limit:UInt32}"
        )
        rows = self._values(PublishedFactor, sql, limit=held_limit(limit) + 1, **values)
        return page_of(rows, limit, lambda row: (row.release, row.factor_id))

    def factors_behind(
        self, transfer: Transfer, activity: ChargingSession | FreightTrip | None
    ) -> tuple[PublishedFactor, ...]:
        """Return the factor a transfer names; if hourly, every hour that the session touches."""
        named = self.factor(transfer.factor_release, transfer.factor_id)
        if named is None:
            return ()
        if named.kind != "grid_hourly" or not isinstance(activity, ChargingSession):
            return (named,)
        sql = (
            f"SELECT {columns_of(PublishedFactor)} FROM {{db}}.published_factors "
            "WHERE release = {release:String} AND kind = {kind:String} "
            "AND region = {region:String} AND subject = {subject:String} "
            "AND boundary = {boundary:String} AND gas = {gas:String} AND unit = {unit:String} "
            "AND valid_from <= fromUnixTimestamp64Milli({last:Int64}, 'UTC') "
            "AND valid_to > fromUnixTimestamp64Milli({first:Int64}, 'UTC') ORDER BY valid_from"
        )
        series = {
            name: getattr(named, name)
            for name in ("release", "kind", "region", "subject", "boundary", "gas", "unit")
        }
        # The end of a session is exclusive, unless it has no length.
        last = max(activity.started_at, activity.ended_at - 1)
        hours = self._values(PublishedFactor, sql, first=activity.started_at, last=last, **series)
        return hours or (named,)

    def refusals(
        self,
        which: RefusalFilter,
        *,
        is_newest_first: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Refusal]:
        """Return refusals, without their bytes, by their place in the topic or the newest first.

        Raises:
            CursorError: `cursor` is not one of this list.
        """
        where, values = refusals_where(which)
        place, order, sign = "_partition, _offset", "_partition, _offset", ">"
        if is_newest_first:
            place = "toUnixTimestamp64Milli(_timestamp), _partition, _offset"
            order, sign = "_timestamp DESC, _partition DESC, _offset DESC", "<"
        if cursor is not None:
            after = from_cursor(cursor, *[int] * (place.count(",") + 1))
            values |= {f"after_{number}": part for number, part in enumerate(after)}
            names = ", ".join(f"{{after_{number}:Int64}}" for number in range(len(after)))
            where.append(f"({place}) {sign} ({names})")
        sql = (
            f"SELECT {columns_of(Refusal)} FROM {{db}}.refused WHERE {' AND '.join(where)} "
            f"ORDER BY {order} LIMIT {{limit:UInt32}}"
        )
        rows = self._values(Refusal, sql, limit=held_limit(limit) + 1, **values)
        return page_of(
            rows,
            limit,
            lambda row: (*[row.refused_at] * is_newest_first, *refusal_place(row.refusal_id)),
        )

    def refusal(self, refusal_id: str) -> RefusedRecord | None:
        """Return a refusal with its raw bytes."""
        try:
            partition, offset = refusal_place(refusal_id)
        except ValueError:
            return None
        sql = (
            f"SELECT {columns_of(Refusal)}, key AS raw_key, value AS raw_value FROM {{db}}.refused "
            "WHERE _partition = {partition:Int32} AND _offset = {offset:Int64}"
        )
        rows = self._client.query(
            sql.replace("{db}", self._database),
            parameters={"partition": partition, "offset": offset},
            column_formats={"raw_key": "bytes", "raw_value": "bytes"},
        ).result_rows
        if not rows:
            return None
        *plain, key, value = rows[0]
        return RefusedRecord(refusal=value_of(Refusal, plain), key=key, value=value)

    def totals(self) -> tuple[Total, ...]:
        """Return what was booked by programme, region and quantity."""
        sql = (
            f"SELECT programme, region, quantity, count(), sum({SIGNED_MG}), sum(energy_wh), "
            "sum(transport_kg_km) FROM {db}.ledger "
            "GROUP BY programme, region, quantity ORDER BY programme, region, quantity"
        )
        return self._values(Total, sql)

    def refusals_by_code(self, *, origin: str | None = None) -> dict[str, int]:
        """Return how many refusals of each code there are, the most frequent first.

        Args:
            origin: Only those of the `worker` or the `loader`.
        """
        where = "true" if origin is None else "origin = {origin:String}"
        values = {} if origin is None else {"origin": origin}
        sql = (
            f"SELECT code, count() AS n FROM {{db}}.refused WHERE {where} "
            "GROUP BY code ORDER BY n DESC, code"
        )
        return {code: int(n) for code, n in self.rows(sql, **values)}

    def factor_match(self) -> dict[str, int]:
        """Return how the factors of activities matched and how often, most frequent first."""
        sql = (
            "SELECT factor_match, count() AS n FROM {db}.ledger WHERE quantity = 'emission' "
            "GROUP BY factor_match ORDER BY n DESC, factor_match"
        )
        return {how: int(n) for how, n in self.rows(sql)}

    def counts(self) -> Counts:
        """Return how much there is; see `Counts`."""
        sql = f"""
            SELECT
              (SELECT count() FROM {{db}}.ledger WHERE quantity = 'emission'),
              (SELECT count() FROM {{db}}.ledger),
              (SELECT count() FROM {{db}}.accounts),
              (SELECT sum(duplicate_count) FROM {{db}}.accounts),
              (SELECT count() FROM {{db}}.refused WHERE origin = 'worker'),
              (SELECT count() FROM {{db}}.refused WHERE origin = 'loader'),
              {" + ".join(source_events(where) for where in ACTIVITY_TOPICS)}
        """
        return Counts(
            **dict(zip((f.name for f in fields(Counts)), map(int, self.rows(sql)[0]), strict=True))
        )

    def rows(self, sql: str, **values: Any) -> Sequence[Sequence[Any]]:
        """Return the rows of a question, in which {db} is the database."""
        rows: Sequence[Sequence[Any]] = self._client.query(
            sql.replace("{db}", self._database), parameters=values
        ).result_rows
        return rows

    def _values(self, cls: type[T], sql: str, **values: Any) -> tuple[T, ...]:
        return tuple(value_of(cls, row) for row in self.rows(sql, **values))


@cache
def columns_of(cls: type) -> str:
    """Return the columns that make a record of a class."""
    hints = get_type_hints(cls)
    instants = (Instant, Instant | None)
    return ", ".join(
        _EXPRESSIONS.get(field.name)
        or (
            f"toUnixTimestamp64Milli({field.name})" if hints[field.name] in instants else field.name
        )
        for field in fields(cls)
    )


def value_of(cls: type[T], row: Sequence[Any]) -> T:
    """Return the record that a row is."""
    return cls(**dict(zip((field.name for field in fields(cls)), row, strict=True)))  # type: ignore[arg-type]


def _first(values: Sequence[T]) -> T | None:
    return values[0] if values else None


def held_limit(limit: int) -> int:
    """Return the rows of a page, which are 1 to LIMIT_MAX."""
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"limit must be 1 to {LIMIT_MAX}, not {limit}")
    return limit


def page_of(rows: tuple[T, ...], limit: int, key: Any) -> Page[T]:
    """Return a page of rows that were asked for with one more than it takes."""
    if len(rows) <= limit:
        return Page(items=rows, next_cursor=None)
    return Page(items=rows[:limit], next_cursor=to_cursor(key(rows[limit - 1])))
