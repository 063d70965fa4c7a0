"""A freight platform in China: waybills and what telematics measured become trips, and a balance.

    python examples/tutorials/truck_fleet.py

A waybill says what was carried, by whom, from where to where, and neither how far nor with how much
fuel. `drives.csv` has what the trucks measured. Drivers and plates get pseudonyms before anything
leaves this machine. The waybills are made up; their fields are those of the MOT's platform.
"""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

from running import carbonflow, command

from producers.adapters.outcome import Adapted, Sender
from producers.adapters.waybill import Drive, waybill
from producers.client.records import FreightTrip
from producers.keyfile import read_keys
from producers.pseudonyms import Pseudonyms
from producers.vehicles import load_vehicles

HERE = Path(__file__).with_suffix("")
PROGRAMME = "cn-freight"
DRIVER = "11010519491231002X"


def drives() -> dict[str, Drive]:
    """Return what was measured, by shipping note."""
    with (HERE / "drives.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["shippingNoteNumber"]: Drive(
                distance_m=int(row["distance_m"]),
                distance_basis="actual",
                empty_distance_m=int(row["empty_distance_m"]),
                energy_used=int(row["fuel_ml"]) if row["fuel_ml"] else None,
            )
            for row in csv.DictReader(file)
        }


def main() -> None:
    """Send the trips, and ask for a driver's balance."""
    with tempfile.TemporaryDirectory(prefix="carbonflow-keys-") as folder:
        # 1. A driving licence has the number of the identity card: waybills need a key.
        keys = Path(folder, "keys.toml")
        words = ("pseudonym", "new-key", "--programme", PROGRAMME)
        print(command(*words, CARBONFLOW_PSEUDONYM_KEYS=str(keys)), end="")
        pseudonyms = Pseudonyms(read_keys(keys))
        sender = Sender(
            source="freight-platform",
            programme=PROGRAMME,
            vehicles=load_vehicles(HERE / "vehicles.csv"),
            pseudonyms=pseudonyms,
        )

    # 2. Each waybill with its drive is a trip, or a refusal that says where and why.
    trips, measured = [], drives()
    for document in json.loads((HERE / "waybills.json").read_text("utf-8")):
        number = document["shippingNoteNumber"]
        outcome = waybill(document, sender, measured.get(number))
        if isinstance(outcome, Adapted):
            print(f"{number}: {outcome.fields['data_grade']}; {'; '.join(outcome.notes)}")
            trips.append(FreightTrip(**outcome.fields))  # type: ignore[arg-type]
        else:
            print(f"{number}: {outcome.code} at {outcome.path}: {outcome.reason}")

    # 3. With fuel a trip is calculated from it, without from the intensity of its class.
    with carbonflow() as running:
        with running.client() as client:
            for trip in trips:
                client.send(trip)
            client.flush(s_max=30)
        account = pseudonyms.of(PROGRAMME, DRIVER)
        running.balance(account, booked=sum(trip.account_id == account for trip in trips))


if __name__ == "__main__":
    main()
