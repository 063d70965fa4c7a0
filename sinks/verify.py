"""Verify: do source, ledger and balances agree? All in SQL, so that millions of rows stay where
they are.

    balance        an account's field is not what its transfers add up to
    programme      transfers of one account belong to several programmes
    transfer       one transfer_id stands for several transfers, or was repeated with other content
    leg            a transfer is negative, or not between its account and a system account
    conservation   what the accounts of a programme hold is not what left its system account
    events         records worked are not activities booked + duplicates + refusals + those that
                   wait in the late lanes
    rekeyed        a re-keyed record names an original that isn't there

`events` compares what the sink has stored with the offsets the worker has committed: run it when
the sink has caught up with the worker, or the difference is merely what is under way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sinks.connect import Client, database_name
from sinks.positions import ACTIVITY_TOPICS, ActivityTopic, below, rekeyed_places, source_events

DRIFT_MAX: Final = 100
KINDS: Final = ("balance", "programme", "transfer", "leg", "conservation", "events", "rekeyed")
"""The kinds of drift."""

_SIGNED = "if(credit_account = account_id, amount_mg, -amount_mg)"
_EMISSION = "quantity = 'emission'"

# What each field of a balance is, as an aggregate over the transfers of its account.
# `duplicate_count` and `updated_at` also move with events that are not booked, so the ledger can't
# tell them.
FOLDS: Final[Mapping[str, str]] = {
    "reduction_mg": f"sumIf({_SIGNED}, quantity = 'reduction')",
    "emissions_mg": f"sumIf({_SIGNED}, {_EMISSION})",
    "energy_wh": f"sumIf(energy_wh, {_EMISSION})",
    "distance_m": f"sumIf(distance_m, {_EMISSION})",
    "transport_kg_km": f"sumIf(transport_kg_km, {_EMISSION})",
    "session_count": f"toInt64(countIf({_EMISSION} AND activity = 'charging'))",
    "trip_count": f"toInt64(countIf({_EMISSION} AND activity = 'freight'))",
    "transfer_count": "toInt64(count())",
    "last_booked_at": "max(toUnixTimestamp64Milli(booked_at))",
}
_KEPT = {"last_booked_at": "toUnixTimestamp64Milli(last_booked_at)"}

_CONTENT = (
    "transfer_id, debit_account, credit_account, account_id, amount_mg, kind, quantity, activity, "
    "source, activity_id, revision, programme, programme_digest, region, vehicle_class, method, "
    "baseline_mg, emissions_mg, energy_wh, distance_m, transport_kg_km, factor_id, factor_release, "
    "factor_value_mg, factor_match, booked_at, recorded_at, source_topic, source_partition, "
    "source_offset"
)
_SETTINGS: Final = {
    # Grouping goes to disk rather than out of memory.
    "max_bytes_before_external_group_by": 1_000_000_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One disagreement: its kind, where, what follows from the facts and what was found."""

    kind: str
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`ok`, or what drifted; at most DRIFT_MAX lines of each kind.

    `waiting` is how many late events wait for the store, neither booked nor lost.
    """

    ok: bool
    drift: tuple[Drift, ...]
    waiting: int = 0


def verify(
    client: Client,
    worked: Mapping[tuple[str, int], int],
    *,
    waiting: int = 0,
    database: str = "carbonflow",
) -> Verdict:
    """Compare source, ledger and balances.

    Args:
        client: Client to the store.
        worked: Next offset the worker will work, by topic (prefixed or not) and partition.
        waiting: How many records the late lanes hold that are not worked yet.
        database: Database of the tables.

    Raises:
        StoreError: The store cannot be asked.
    """
    check = _Check(client, database_name(database))
    by_topic = {where: _worked(worked, where) for where in ACTIVITY_TOPICS}
    drift = (
        *check.balances(),
        *check.programmes(),
        *check.transfers(),
        *check.legs(),
        *check.conservation(),
        *check.events(by_topic, waiting),
        *check.rekeyed(),
    )
    return Verdict(ok=not drift, drift=drift, waiting=waiting)


def _worked(worked: Mapping[tuple[str, int], int], where: ActivityTopic) -> dict[int, int]:
    return {
        partition: end for (topic, partition), end in worked.items() if topic.endswith(where.topic)
    }


@dataclass(frozen=True, slots=True)
class _Check:
    client: Client
    database: str

    def balances(self) -> Iterator[Drift]:
        """Compare folds and balances in one grouping, which can go to disk as a join could not."""
        folds = ", ".join(
            f"{fold} AS f_{field}, toInt64(0) AS k_{field}" for field, fold in FOLDS.items()
        )
        kept = ", ".join(
            f"toInt64(0) AS f_{field}, {_KEPT.get(field, field)} AS k_{field}" for field in FOLDS
        )
        sums = ", ".join(
            f"sum(f_{field}) AS f_{field}_, sum(k_{field}) AS k_{field}_" for field in FOLDS
        )
        differs = " OR ".join(f"f_{field}_ != k_{field}_" for field in FOLDS)
        rows = self._rows(f"""
            SELECT account_id, {sums} FROM
            (
                SELECT account_id, {folds} FROM {{db}}.ledger GROUP BY account_id
                UNION ALL
                SELECT account_id, {kept} FROM {{db}}.accounts
            )
            GROUP BY account_id HAVING {differs} ORDER BY account_id LIMIT {DRIFT_MAX}
        """)
        for account, *values in rows:
            for field, expected, found in zip(FOLDS, values[::2], values[1::2], strict=True):
                if expected != found:
                    yield Drift(
                        kind="balance",
                        where=f"{account} {field}",
                        expected=str(expected),
                        found=str(found),
                    )

    def programmes(self) -> Iterator[Drift]:
        """An account belongs to one programme, in the ledger and in its balance."""
        rows = self._rows(f"""
            SELECT account_id, arraySort(groupUniqArray(10)(programme)) AS programmes FROM
            (
                SELECT account_id, programme FROM {{db}}.ledger GROUP BY account_id, programme
                UNION ALL
                SELECT account_id, programme FROM {{db}}.accounts
            )
            GROUP BY account_id HAVING length(programmes) > 1 ORDER BY account_id LIMIT {DRIFT_MAX}
        """)
        for account, programmes in rows:
            yield Drift(
                kind="programme",
                where=account,
                expected="one programme",
                found=", ".join(programmes),
            )

    def transfers(self) -> Iterator[Drift]:
        """Look at every insert: in the view, a repeat with other content has replaced the first."""
        rows = self._rows(f"""
            SELECT transfer_id FROM {{db}}.transfers
            WHERE sipHash128(transfer_id) IN
            (
                SELECT sipHash128(transfer_id) AS id FROM {{db}}.transfers
                GROUP BY id HAVING count() > 1
            )
            GROUP BY transfer_id HAVING uniqExact(sipHash128({_CONTENT})) > 1
            ORDER BY transfer_id LIMIT {DRIFT_MAX}
        """)
        for (transfer_id,) in rows:
            yield Drift(
                kind="transfer",
                where=transfer_id,
                expected="one content",
                found="several contents",
            )

    def legs(self) -> Iterator[Drift]:
        """A transfer is between its account and the system account of programme and quantity."""
        system = _system("quantity")
        rows = self._rows(f"""
            SELECT transfer_id, debit_account, credit_account, amount_mg, account_id, {system}
            FROM {{db}}.ledger WHERE amount_mg < 0 OR NOT (
                (credit_account = account_id AND debit_account = {system})
                OR (debit_account = account_id AND credit_account = {system}))
            ORDER BY transfer_id LIMIT {DRIFT_MAX}
        """)
        for transfer_id, debit, credit, amount, account, other in rows:
            yield Drift(
                kind="leg",
                where=transfer_id,
                expected=f"{account} and {other}, at least 0 mg",
                found=f"{debit} to {credit}, {amount} mg",
            )

    def conservation(self) -> Iterator[Drift]:
        """What left a programme's system accounts is what its accounts hold."""
        for quantity, field in (("reduction", "reduction_mg"), ("emission", "emissions_mg")):
            system = _system(f"'{quantity}'")
            rows = self._rows(f"""
                SELECT programme, sum(given) AS given_, sum(held) AS held_ FROM
                (
                    SELECT programme,
                        sumIf(amount_mg, debit_account = {system})
                            - sumIf(amount_mg, credit_account = {system}) AS given,
                        toInt64(0) AS held
                    FROM {{db}}.ledger GROUP BY programme
                    UNION ALL
                    SELECT programme, toInt64(0) AS given, sum({field}) AS held FROM {{db}}.accounts
                    GROUP BY programme
                )
                GROUP BY programme HAVING given_ != held_ ORDER BY programme LIMIT {DRIFT_MAX}
            """)
            for programme, given, held in rows:
                yield Drift(
                    kind="conservation",
                    where=f"{programme} {quantity}",
                    expected=f"{given} mg",
                    found=f"{held} mg",
                )

    def events(
        self, worked: Mapping[ActivityTopic, Mapping[int, int]], waiting: int
    ) -> Iterator[Drift]:
        """Count records, and what became of them; duplicates are only known over both topics."""
        (duplicates,) = self._rows("SELECT sum(duplicate_count) FROM {db}.accounts")[0]
        records, accounted, parts = 0, int(duplicates) + waiting, []
        for where, offsets in worked.items():
            (events, booked, refused) = self._rows(f"""
                SELECT
                    {source_events(where, offsets)},
                    (SELECT count() FROM {{db}}.ledger
                        WHERE {_EMISSION} AND activity = '{where.activity}'
                        AND {below(offsets, "source_partition", "source_offset")}),
                    (SELECT count() FROM {{db}}.refused
                        WHERE origin = 'worker' AND endsWith(topic, '{where.topic}')
                        AND {below(offsets, "assumeNotNull(partition)", "assumeNotNull(offset)")})
            """)[0]
            records += int(events)
            accounted += int(booked) + int(refused)
            parts.append(f"{where.topic} {booked} booked + {refused} refused")
            if int(booked) + int(refused) > int(events):
                yield Drift(
                    kind="events",
                    where=where.topic,
                    expected=f"at most {events} records worked",
                    found=f"{booked} booked + {refused} refused",
                )
        if records != accounted:
            yield Drift(
                kind="events",
                where="all activity topics",
                expected=f"{records} records worked",
                found=f"{accounted}: {'; '.join(parts)}; {duplicates} duplicates"
                + (f"; {waiting} wait in the late lanes" if waiting else ""),
            )

    def rekeyed(self) -> Iterator[Drift]:
        """An original may itself be a copy, but it must be there."""
        for where in ACTIVITY_TOPICS:
            rows = self._rows(f"""
                SELECT p, o FROM ({rekeyed_places(where)})
                WHERE (p, o) NOT IN (SELECT _partition, _offset FROM {{db}}.{where.places})
                ORDER BY p, o LIMIT {DRIFT_MAX}
            """)
            for partition, offset in rows:
                yield Drift(
                    kind="rekeyed",
                    where=f"{where.topic} {partition}:{offset}",
                    expected="the original of a re-keyed record",
                    found="nothing",
                )

    def _rows(self, sql: str) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = self.client.query(
            sql.replace("{db}", self.database), settings=_SETTINGS
        ).result_rows
        return rows


def _system(quantity: str) -> str:
    return f"concat(programme, if({quantity} = 'reduction', ':issuance', ':emission'))"
