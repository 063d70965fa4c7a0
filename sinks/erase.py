"""Erase: what was told about one account leaves the store, what was booked for it stays.

    sessions, trips        the rows are deleted, from all parts of their tables
    refusals               of its records lose account, key, raw bytes and reason; code and place
                           stay. So do the rows that say such a refusal was sent again
    transfers, balances    stay: they are the books of the programme, too
    erasures               gets the place of each deleted row, so that `verify` counts as before

Places are written before rows are deleted, and only rows up to the places that were written are.
So an erasure cut off in the middle can be run again, and what comes in meanwhile waits for the
next. The server deletes by writing parts anew; it keeps the old ones for some minutes
(`old_parts_lifetime`), and the account's name in the list of its mutations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sinks.connect import Client, database_name
from sinks.positions import ACTIVITY_TOPICS, ActivityTopic, below

PLACES_MAX: Final = 1_000
"""Places that stand in one statement."""
_AT_ONCE: Final = {"mutations_sync": 2}  # It is done when the call returns, on all replicas.


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How many rows were erased now."""

    sessions: int
    trips: int
    refusals: int


def erase(client: Client, account_id: str, *, database: str = "carbonflow") -> Erased:
    """Erase the raw activities of an account and the raw bytes of its refusals.

    Args:
        client: A client that may write.
        account_id: Whose.
        database: Database of the tables, at the newest version.

    Raises:
        StoreError: The store cannot be asked, or refuses; what was not erased can be run again.
    """
    one = _Erasure(client, database_name(database), account_id)
    # First the refusals: some are found by the rows of their records.
    refusals = one.refusals()
    sessions, trips = (one.activities(where) for where in ACTIVITY_TOPICS)
    return Erased(sessions=sessions, trips=trips, refusals=refusals)


@dataclass(frozen=True, slots=True)
class _Erasure:
    client: Client
    database: str
    account_id: str

    def activities(self, where: ActivityTopic) -> int:
        """Delete the account's rows of one table; return how many."""
        found = self._rows(
            f"SELECT _partition, max(_offset) + 1, uniqExact(_offset) FROM {{db}}.{where.table} "
            "WHERE account_id = {account:String} GROUP BY _partition"
        )
        if not found:
            return 0
        reached = below({int(part): int(end) for part, end, _ in found}, "_partition", "_offset")
        these = f"account_id = {{account:String}} AND {reached}"
        self._run(
            "INSERT INTO {db}.erasures (topic, erased_at, _rekeyed_from, _partition, _offset) "
            f"SELECT DISTINCT '{where.topic}', now64(3), _rekeyed_from, _partition, _offset "
            f"FROM {{db}}.{where.table} WHERE {these}"
        )
        self._run(f"ALTER TABLE {{db}}.{where.table} DELETE WHERE {these}")
        return sum(int(count) for _, _, count in found)

    def refusals(self) -> int:
        """Blank the refusals of the account's records, and what tells of their replays.

        Returns:
            How many refusals; replays are not counted.
        """
        own = " OR ".join(
            f"(endsWith(topic, '{where.topic}') AND (assumeNotNull(partition), "
            f"assumeNotNull(offset)) IN (SELECT _partition, _offset FROM {{db}}.{where.table} "
            "WHERE account_id = {account:String}))"
            for where in ACTIVITY_TOPICS
        )
        found = self._rows(
            "SELECT DISTINCT _partition, _offset, origin FROM {db}.refusals "
            "WHERE origin IN ('worker', 'replay') "
            "AND (value != '' OR key IS NOT NULL OR account_id != '') "
            f"AND (key = {{account:String}} OR account_id = {{account:String}} OR {own}) "
            "ORDER BY _partition, _offset"
        )
        for places in _portions(found):
            listed = ", ".join(f"({int(part)}, {int(offset)})" for part, offset, _ in places)
            self._run(
                "ALTER TABLE {db}.refusals UPDATE account_id = '', key = NULL, value = '', "
                f"reason = 'erased' WHERE (_partition, _offset) IN ({listed})"
            )
        return sum(origin == "worker" for *_, origin in found)

    def _rows(self, sql: str) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = self.client.query(
            sql.replace("{db}", self.database), parameters={"account": self.account_id}
        ).result_rows
        return rows

    def _run(self, sql: str) -> None:
        self.client.command(
            sql.replace("{db}", self.database),
            parameters={"account": self.account_id},
            settings=_AT_ONCE,
        )


def _portions(places: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    for begin in range(0, len(places), PLACES_MAX):
        yield places[begin : begin + PLACES_MAX]
