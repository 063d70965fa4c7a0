"""A charging network that speaks OCPI: its CDRs become sessions, and a driver's balance.

    python examples/tutorials/ocpi_network.py --examples ../shared/data/conf-ocpi

The documents are OCPI's official examples of a CDR, in two versions of the protocol. They are of
the same charge, as if a network had moved from one version to the other and sent it again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from running import carbonflow

from producers.adapters import ocpi
from producers.adapters.outcome import Adapted, Sender
from producers.client.records import ChargingSession
from producers.regions import Regions
from producers.stations import load_stations
from producers.vehicles import load_vehicles

HERE = Path(__file__).with_suffix("")
CDRS: dict[ocpi.Version, str] = {
    "2.2.1": "2.2.1/cdr_example.json",
    "2.3.0": "2.3.0/cdr_example.json",
}


def main() -> None:
    """Send what the network has, and ask what came of it."""
    parser = argparse.ArgumentParser(description="An OCPI network")
    parser.add_argument("--examples", type=Path, required=True, help="folder of OCPI's examples")
    folder = parser.parse_args().examples

    # 1. What the documents do not say: where stations are, and which cars drivers have. No keys
    #    here, so that the balance can be asked by contract; a network gives `pseudonyms`, too.
    sender = Sender(
        source="bec-network",
        programme="belgium",
        regions=Regions(load_stations(HERE / "stations.csv")),
        vehicles=load_vehicles(HERE / "vehicles.csv"),
    )

    # 2. Each document is a record, or a refusal that says where and why.
    sessions = []
    for version, name in CDRS.items():
        document = json.loads((folder / name).read_text("utf-8"))
        outcome = ocpi.cdr(document, sender, version)
        if not isinstance(outcome, Adapted):
            raise SystemExit(f"{name}: {outcome.code} at {outcome.path}: {outcome.reason}")
        print(f"{name}: session {outcome.fields['session_id']}")
        for note in outcome.notes:
            print(f"  {note}")
        sessions.append(ChargingSession(**outcome.fields))  # type: ignore[arg-type]

    # 3. The network's programme and factor are its own: see the files beside this one.
    with carbonflow(
        *("--factors", f"csv:{HERE / 'factors.csv'}"),
        CARBONFLOW_PROGRAMMES=str(HERE / "programme.toml"),
    ) as running:
        with running.client() as client:
            for delivery in [client.send(session) for session in sessions]:
                print(delivery.result(timeout_s=30))

        # 4. The same charge came twice, and is booked once.
        running.balance(sessions[0].account_id, booked=1, repeated=1)


if __name__ == "__main__":
    main()
