"""Facts for tests of the store: rows as the writer leaves them, without Kafka and Avro in between.

`Facts` books activities as the worker would: one emission and perhaps one reduction each, and a
balance folded from them by plain arithmetic. Tests then bend single rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from clickhouse_connect.driver.client import Client

T0_MS = 1_609_459_200_000  # 2021-01-01
HOUR_MS = 3_600_000
PROGRAMME = "city"

INSTANTS = frozenset(
    {
        "booked_at",
        "recorded_at",
        "started_at",
        "ended_at",
        "departed_at",
        "arrived_at",
        "last_booked_at",
    }
    | {"updated_at", "valid_from", "valid_to", "timestamp", "_timestamp"}
)
INT32 = frozenset(
    {"revision", "source_partition", "_partition", "partition", "uncertainty_permille"}
)


def insert(client: Client, database: str, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows, as Arrow, the way the writer does."""
    client.insert_arrow(table, columns_of(rows), database=database, settings={"async_insert": 0})


def columns_of(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows of one table as Arrow."""
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name in INSTANTS:
            columns[name] = pa.array(values, pa.int64()).cast(pa.timestamp("ms", "UTC"))
        elif name in INT32:
            columns[name] = pa.array(values, pa.int32())
        elif name in ("reversal_of", "_rekeyed_from"):
            columns[name] = pa.array(values, pa.string())
        elif name in ("offset", "line", "energy_used"):
            columns[name] = pa.array(values, pa.int64())
        else:
            columns[name] = pa.array(values)
    return pa.table(columns)


def place(partition: int, offset: int) -> dict[str, Any]:
    """Return the columns that say where a row's message was."""
    return {"_partition": partition, "_offset": offset, "_timestamp": T0_MS + offset}


def session(
    number: int, *, account_id: str = "ann", partition: int = 0, **changes: Any
) -> dict[str, Any]:
    """Return a row of `charging_sessions` at offset `number`: an hour, `number` hours after T0."""
    return {
        "session_id": f"s{number}",
        "source": "cpo",
        "account_id": account_id,
        "programme": PROGRAMME,
        "vehicle_class": "car",
        "grid_region": "CN-BJ",
        "started_at": T0_MS + number * HOUR_MS,
        "ended_at": T0_MS + (number + 1) * HOUR_MS,
        "energy_wh": 10_000 + number,
        "meter_side": "grid",
        "current": "ac",
        "operator_id": "op",
        "evse_id": "e1",
        "reversal_of": None,
        "revision": 0,
        "_rekeyed_from": None,
        **place(partition, number),
        **changes,
    }


def trip(
    number: int, *, account_id: str = "fleet", partition: int = 0, **changes: Any
) -> dict[str, Any]:
    """Return a row of `freight_trips` at the offset `number`: 100 km with 10 t."""
    return {
        "trip_id": f"t{number}",
        "source": "tms",
        "account_id": account_id,
        "programme": PROGRAMME,
        "vehicle_id": "v1",
        "vehicle_class": "truck",
        "energy_carrier": "diesel",
        "departed_at": T0_MS + number * HOUR_MS,
        "arrived_at": T0_MS + (number + 2) * HOUR_MS,
        "distance_m": 100_000,
        "distance_basis": "actual",
        "cargo_kg": 10_000,
        "empty_distance_m": 0,
        "energy_used": None,
        "origin_region": "IN",
        "destination_region": "IN",
        "data_grade": "primary",
        "reversal_of": None,
        "revision": 0,
        "_rekeyed_from": None,
        **place(partition, number),
        **changes,
    }


def transfer(activity: Mapping[str, Any], quantity: str, amount_mg: int) -> dict[str, Any]:
    """Return a row of `transfers` for an activity's row; a negative amount debits the account."""
    charging = "session_id" in activity
    kind = "charging" if charging else "freight"
    identity = activity["session_id"] if charging else activity["trip_id"]
    event = f"{kind}:{activity['source']}:{identity}:{activity['revision']}"
    system = f"{activity['programme']}:{'issuance' if quantity == 'reduction' else 'emission'}"
    account = activity["account_id"]
    debit, credit = (system, account) if amount_mg >= 0 else (account, system)
    offset = 2 * activity["_offset"] + (quantity == "reduction")
    return {
        "transfer_id": f"{event}:{quantity}:0",
        "debit_account": debit,
        "credit_account": credit,
        "account_id": account,
        "amount_mg": abs(amount_mg),
        "kind": "accrual",
        "quantity": quantity,
        "activity": kind,
        "source": activity["source"],
        "activity_id": identity,
        "revision": activity["revision"],
        "programme": activity["programme"],
        "programme_digest": "d1",
        "region": activity["grid_region" if charging else "origin_region"],
        "vehicle_class": activity["vehicle_class"],
        "method": "charging-emission/1" if charging else "freight-emission/1",
        "baseline_mg": 0,
        "emissions_mg": abs(amount_mg),
        "energy_wh": activity["energy_wh"] if charging else 0,
        "distance_m": 0 if charging else activity["distance_m"],
        "transport_kg_km": 0 if charging else activity["distance_m"] * activity["cargo_kg"] // 1000,
        "factor_id": "grid:CN-BJ:2021" if charging else "freight:truck",
        "factor_release": "r1",
        "factor_value_mg": 568_800,
        "factor_match": "exact" if charging else "parent_region",
        "booked_at": activity["ended_at" if charging else "arrived_at"],
        "recorded_at": activity["_timestamp"],
        "source_topic": "charging-sessions" if charging else "freight-trips",
        "source_partition": activity["_partition"],
        "source_offset": activity["_offset"],
        **place(activity["_partition"], offset),
    }


def balance(transfers: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return the row of `balances` these transfers of one account add up to."""
    emissions = [row for row in transfers if row["quantity"] == "emission"]

    def signed(quantity: str) -> int:
        return sum(
            row["amount_mg"] if row["credit_account"] == row["account_id"] else -row["amount_mg"]
            for row in transfers
            if row["quantity"] == quantity
        )

    return {
        "account_id": transfers[0]["account_id"],
        "programme": transfers[0]["programme"],
        "reduction_mg": signed("reduction"),
        "emissions_mg": signed("emission"),
        "energy_wh": sum(row["energy_wh"] for row in emissions),
        "distance_m": sum(row["distance_m"] for row in emissions),
        "transport_kg_km": sum(row["transport_kg_km"] for row in emissions),
        "session_count": sum(row["activity"] == "charging" for row in emissions),
        "trip_count": sum(row["activity"] == "freight" for row in emissions),
        "transfer_count": len(transfers),
        "duplicate_count": 0,
        "last_booked_at": max(row["booked_at"] for row in transfers),
        "updated_at": max(row["recorded_at"] for row in transfers),
        **place(transfers[0]["_partition"], max(row["_offset"] for row in transfers)),
        **changes,
    }


def refusal(number: int, **changes: Any) -> dict[str, Any]:
    """Return a row of `refusals`: the worker refused a session at the offset `number`."""
    return {
        "code": "undecodable",
        "reason": "too short",
        "origin": "worker",
        "topic": "charging-sessions",
        "partition": 0,
        "offset": number,
        "timestamp": T0_MS + number,
        "file": "",
        "line": None,
        "key": b"ann",
        "value": b"\x00\xff\xfe",
        **place(0, number),
        **changes,
    }


def factor(number: int, **changes: Any) -> dict[str, Any]:
    """Return a row of `factors`: the hour `number` after T0 of an hourly series."""
    return {
        "factor_id": f"hour:US-CAL-CISO:{number:05}",
        "kind": "grid_hourly",
        "region": "US-CAL-CISO",
        "subject": "electricity",
        "boundary": "wtw",
        "gas": "co2e",
        "value_mg": 200_000 + number,
        "unit": "kwh",
        "valid_from": T0_MS + number * HOUR_MS,
        "valid_to": T0_MS + (number + 1) * HOUR_MS,
        "release": "r1",
        "publisher": "Electricity Maps",
        "publication": "2021 hourly",
        "url": "https://example.org",
        "licence": "ODbL",
        "evidence": "V1",
        "uncertainty_permille": None,
        **place(0, number),
        **changes,
    }


@dataclass
class Facts:
    """A database of a test, and what was put into it."""

    client: Client
    database: str
    transfers: list[dict[str, Any]] = field(default_factory=list)

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        """Insert rows into a table."""
        insert(self.client, self.database, table, list(rows))

    def sessions(self, count: int, *, account_id: str = "ann", first: int = 0) -> None:
        """Store sessions, each with an emission of 5 g and a reduction of 7 g; each third -2 g."""
        rows = [session(number, account_id=account_id) for number in range(first, first + count)]
        self.put("charging_sessions", *rows)
        for number, row in enumerate(rows):
            amounts = {"emission": 5_000, "reduction": -2_000 if number % 3 == 2 else 7_000}
            self.transfers += [transfer(row, quantity, mg) for quantity, mg in amounts.items()]

    def trips(self, count: int, *, account_id: str = "fleet", first: int = 0) -> None:
        """Store trips and an emission of 57 kg for each."""
        rows = [trip(number, account_id=account_id) for number in range(first, first + count)]
        self.put("freight_trips", *rows)
        self.transfers += [transfer(row, "emission", 57_000_000) for row in rows]

    def book(self, **changes: Any) -> None:
        """Store the transfers so far and the balances of their accounts, changed as given."""
        self.put("transfers", *self.transfers)
        for account in {row["account_id"] for row in self.transfers}:
            own = [row for row in self.transfers if row["account_id"] == account]
            self.put("balances", balance(own, **changes))
