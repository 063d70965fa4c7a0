"""A carrier that speaks iLEAP: its transport activity data become trips, and its balance.

    python examples/tutorials/ileap_partner.py --examples ../shared/data/conf-ileap

The documents are the ten TADs of the iLEAP demo. A TAD names neither the carrier nor its truck: who
pulls it from a partner's endpoint knows whose it is, and a register says what it drives.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from running import carbonflow

from producers.adapters import ileap
from producers.adapters.outcome import Adapted, Sender
from producers.client.records import FreightTrip
from producers.vehicles import load_vehicles

HERE = Path(__file__).with_suffix("")
CARRIER = "carrier-7"


def main() -> None:
    """Send what the partner has, and ask for its balance."""
    parser = argparse.ArgumentParser(description="An iLEAP partner")
    parser.add_argument("--examples", type=Path, required=True, help="folder of iLEAP's examples")
    folder = parser.parse_args().examples

    # 1. The programme is of well to wheel, as iLEAP is, and the trucks are of one class.
    sender = Sender(
        source="ileap-demo",
        programme="eu-freight",
        vehicles=load_vehicles(HERE / "vehicles.csv"),
    )

    # 2. Each TAD is a trip, or a refusal that says where and why.
    document = json.loads((folder / "demo-data" / "tad.json").read_text("utf-8"))
    trips = []
    for outcome in ileap.tads(document, sender, CARRIER):
        if isinstance(outcome, Adapted):
            trips.append(FreightTrip(**outcome.fields))  # type: ignore[arg-type]
        else:
            print(f"{outcome.code} at {outcome.path}: {outcome.reason}")
    print(f"{len(trips)} trips of {trips[0].distance_m / 1000:.0f} km")

    # 3. None of them says how much fuel it took, so the intensity of the class is used. GLEC's
    #    tables may not be handed on: bring your own in place of `factors.csv`.
    with carbonflow(
        *("--factors", f"csv:{HERE / 'factors.csv'}"),
        CARBONFLOW_PROGRAMMES=str(HERE / "programme.toml"),
    ) as running:
        with running.client() as client:
            for trip in trips:
                client.send(trip)
            client.flush(s_max=30)
        running.balance(CARRIER, booked=len(trips))


if __name__ == "__main__":
    main()
