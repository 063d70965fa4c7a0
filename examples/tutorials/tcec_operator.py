"""An operator of charging points in China: orders of T/CEC 102 become sessions, and a balance.

    python examples/tutorials/tcec_operator.py

An order names no customer, no place and no kind of current: the operator's tables do. Customers
get pseudonyms before anything leaves this machine. The orders are made up; their fields and their
spelling are the standard's.
"""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

from running import carbonflow, command

from producers.adapters import tcec
from producers.adapters.outcome import Adapted, Sender
from producers.client.records import ChargingSession
from producers.keyfile import read_keys
from producers.pseudonyms import Pseudonyms
from producers.regions import Regions
from producers.stations import load_stations
from producers.vehicles import load_vehicles

HERE = Path(__file__).with_suffix("")
PROGRAMME = "cn-charging"
CUSTOMER = "user-1"


def main() -> None:
    """Send the orders, and ask for a customer's balance."""
    with tempfile.TemporaryDirectory(prefix="carbonflow-keys-") as folder:
        # 1. A key makes pseudonyms of natural ids. Whoever has it can tell whose an account is.
        keys = Path(folder, "keys.toml")
        words = ("pseudonym", "new-key", "--programme", PROGRAMME)
        print(command(*words, CARBONFLOW_PSEUDONYM_KEYS=str(keys)), end="")
        pseudonyms = Pseudonyms(read_keys(keys))

        # 2. The operator's tables: stations by connector, cars by customer, customers by order.
        sender = Sender(
            source="qd-charging",
            programme=PROGRAMME,
            operator_id="MA5DA0053",
            regions=Regions(load_stations(HERE / "stations.csv")),
            vehicles=load_vehicles(HERE / "vehicles.csv"),
            pseudonyms=pseudonyms,
        )
        with (HERE / "accounts.csv").open(encoding="utf-8", newline="") as file:
            accounts = {row["StartChargeSeq"]: row["customer"] for row in csv.DictReader(file)}

    # 3. Each order is a session, or a refusal that says where and why.
    sessions = []
    for number, order in enumerate(json.loads((HERE / "orders.json").read_text("utf-8"))):
        outcome = tcec.charge_order(order, sender, accounts)
        if isinstance(outcome, Adapted):
            print(f"order {number}: {'; '.join(outcome.notes)}")
            sessions.append(ChargingSession(**outcome.fields))  # type: ignore[arg-type]
        else:
            print(f"order {number}: {outcome.code} at {outcome.path}: {outcome.reason}")

    with carbonflow() as running:
        with running.client() as client:
            for session in sessions:
                client.send(session)
            client.flush(s_max=30)

        # 4. Only who has the key can ask for a person: the ledger knows pseudonyms.
        account = pseudonyms.of(PROGRAMME, CUSTOMER)
        booked = sum(session.account_id == account for session in sessions)
        running.balance(account, booked=booked)


if __name__ == "__main__":
    main()
