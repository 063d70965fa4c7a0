"""What a folder holds after a run: every transfer, every balance and the refusals by code.

It is read by a process of its own (`python -m tests.end_to_end.held DIR`), because chDB opens one
path per process and other tests have theirs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.store import Store
from tests.end_to_end.command import REPO, environment

# Everything but where and when the record of the activity came to lie in Kafka.
_TRANSFER = (
    "transfer_id, debit_account, credit_account, account_id, amount_mg, kind, quantity, activity, "
    "source, activity_id, revision, programme, programme_digest, region, vehicle_class, method, "
    "baseline_mg, emissions_mg, energy_wh, distance_m, transport_kg_km, factor_id, factor_release, "
    "factor_value_mg, factor_match, toUnixTimestamp64Milli(booked_at) AS booked_ms"
)
# Everything but when it changed; duplicates are read apart, because repeats do move them.
_BALANCE = (
    "account_id, programme, reduction_mg, emissions_mg, energy_wh, distance_m, transport_kg_km, "
    "session_count, trip_count, transfer_count, "
    "toUnixTimestamp64Milli(last_booked_at) AS last_booked_ms"
)
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Held:
    """Transfers by id, balances by account, duplicates by account, refusals by code."""

    transfers: Rows
    balances: Rows
    duplicates: dict[str, int]
    refused: dict[str, int]


def held(data_dir: Path) -> Held:
    """Return what a folder holds whose stack has ended."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.held", str(data_dir)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPO,
        env=environment(),
        timeout=60,
    )
    return Held(**json.loads(done.stdout))


def _read(data_dir: Path) -> dict[str, object]:
    def rows(sql: str) -> list[dict[str, Any]]:
        return list(store.reader.query(sql).named_results())

    with Store.open(data_dir / "store") as store:
        transfers = rows(f"SELECT {_TRANSFER} FROM carbonflow.ledger")
        balances = rows(f"SELECT {_BALANCE} FROM carbonflow.accounts")
        repeats = rows("SELECT account_id, duplicate_count FROM carbonflow.accounts")
        refused = rows("SELECT code, count() AS events FROM carbonflow.refused GROUP BY code")
    return {
        "transfers": {row["transfer_id"]: row for row in transfers},
        "balances": {row["account_id"]: row for row in balances},
        "duplicates": {row["account_id"]: row["duplicate_count"] for row in repeats},
        "refused": {row["code"]: row["events"] for row in refused},
    }


if __name__ == "__main__":
    json.dump(_read(Path(sys.argv[1])), sys.stdout)
