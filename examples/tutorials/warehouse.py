"""A warehouse: sessions in a database become balances, and what is new follows the next day.

    python examples/tutorials/warehouse.py \\
        --sessions ../shared/data/ev-acn-jpl/california_ev_sessions.csv \\
        --hours ../shared/data/ef-electricitymaps-hourly/US-CAL-CISO_2021_hourly.csv

The sessions are real: ACN-Data, at the Jet Propulsion Laboratory in California. Their CSV is put
into a SQLite database first, in two parts, as a warehouse fills. No program is written: `carbonflow
load` looks at the rows, sends them, and goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import sqlite3
from pathlib import Path

from running import carbonflow, command

BEGAN = "ChargingStartDateTime"
ACCOUNT = "acn-000005015"
"""As the mapping makes it of a UserID."""


def fill(database: Path, rows: list[dict[str, str]]) -> None:
    """Add rows to the table of sessions, which keeps in which order they came."""
    connection = sqlite3.connect(database)
    with connection:
        columns = ", ".join(f'"{name}"' for name in rows[0])
        connection.execute(f"CREATE TABLE IF NOT EXISTS sessions (came INTEGER, {columns})")
        (came,) = connection.execute("SELECT coalesce(max(came), 0) FROM sessions").fetchone()
        marks = ", ".join("?" * (1 + len(rows[0])))
        connection.executemany(
            f"INSERT INTO sessions VALUES ({marks})",
            [(came + number, *row.values()) for number, row in enumerate(rows, start=1)],
        )
    connection.close()


def main() -> None:
    """Load the warehouse twice, and ask for a driver's balance."""
    parser = argparse.ArgumentParser(description="A warehouse")
    parser.add_argument("--sessions", type=Path, required=True, help="ACN-Data's CSV")
    parser.add_argument("--hours", type=Path, required=True, help="factors of the hours of 2021")
    given = parser.parse_args()
    with given.sessions.open(encoding="utf-8", newline="") as file:
        # The factors are of 2021 alone.
        sessions = [row for row in csv.DictReader(file) if row[BEGAN].startswith("2021")]
    factors = f"electricity-maps:{given.hours}"

    with carbonflow("--factors", factors) as running:
        database, state = running.folder / "warehouse.db", running.folder / "state.jsonl"
        words = (
            *("load", "--query", "SELECT * FROM sessions", "--mapping", "acn-data"),
            *("--database", f"sqlite:///{database}", "--cursor", "came"),
        )
        into = ("--bootstrap", running.bootstrap, "--checkpoint", str(state))

        # 1. The warehouse has half of it. Nothing is sent before somebody has looked.
        half = len(sessions) // 2
        fill(database, sessions[:half])
        print(command(*words, "--dry-run", "--factors", factors))

        # 2. It is loaded.
        print(command(*words, *into))

        # 3. The next day the other half is there, and the same command takes what is new.
        fill(database, sessions[half:])
        print(command(*words, *into))

        running.balance(ACCOUNT, booked=sum(f"acn-{row['UserID']}" == ACCOUNT for row in sessions))


if __name__ == "__main__":
    main()
