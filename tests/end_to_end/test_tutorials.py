"""Each tutorial runs as a newcomer runs it, and ends in the balance that its documents give."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from tests.end_to_end.command import DATA, HOURS, SESSIONS, environment
from tests.end_to_end.expected import Expected

ROOT: Final = Path(__file__).parents[2]
TUTORIALS: Final = ROOT / "examples" / "tutorials"
PAGE: Final = (ROOT / "docs" / "tutorials.md").read_text("utf-8")
RUN_S_MAX: Final = 240
ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "ocpi_network": ("--examples", str(DATA / "conf-ocpi")),
    "tcec_operator": (),
    "truck_fleet": (),
    "ileap_partner": ("--examples", str(DATA / "conf-ileap")),
    "warehouse": ("--sessions", str(SESSIONS), "--hours", str(HOURS)),
}


def ran(name: str) -> tuple[list[str], dict[str, Any]]:
    """Run a tutorial; return what it said, and the balance that it ended in."""
    with subprocess.Popen(
        [sys.executable, str(TUTORIALS / f"{name}.py"), *ARGUMENTS[name]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), "PYTHONUNBUFFERED": "1", "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
        start_new_session=True,  # With the stack that it starts, so that both can be ended.
    ) as script:
        try:
            stdout, stderr = script.communicate(timeout=RUN_S_MAX)
        except BaseException:
            os.killpg(script.pid, signal.SIGKILL)
            raise
    assert script.returncode == 0, f"{stdout}{stderr}"
    said, brace, balance = stdout.partition("\n{\n")
    return said.splitlines(), json.loads(brace + balance)


def factor_mg(path: Path) -> int:
    """Return the one factor of a file [mg]."""
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    return int(Fraction(row["value_kg"]) * 10**6)


def shipped_mg(factor_id: str) -> int:
    """Return a factor of the release [mg]."""
    path = ROOT / "producers" / "factors" / "releases" / "2026.1" / "factors.csv"
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["factor_id"] == factor_id)
    return int(row["value_mg"])


def test_every_tutorial_is_run_here_and_is_on_the_page() -> None:
    found = {path.stem for path in TUTORIALS.glob("*.py")} - {"running"}
    assert found == ARGUMENTS.keys()
    assert all(f"examples/tutorials/{name}.py" in PAGE for name in found)


def test_an_ocpi_network_has_the_balance_of_the_official_cdr() -> None:
    said, balance = ran("ocpi_network")
    assert balance["account_id"] == "DE8ACC12E46L89"
    assert (balance["session_count"], balance["duplicate_count"]) == (1, 1)
    assert balance["energy_wh"] == 15_342
    value_mg = factor_mg(TUTORIALS / "ocpi_network" / "factors.csv")
    assert balance["emissions_mg"] == round(Fraction(15_342 * value_mg, 1000))
    assert any("station_table" in line or "table" in line for line in said)


def test_a_tcec_operator_has_the_balance_of_a_customers_orders() -> None:
    said, balance = ran("tcec_operator")
    assert (balance["session_count"], balance["energy_wh"]) == (2, 69_650)
    value_mg = shipped_mg("cn-average:CN-SD:2022")
    assert balance["emissions_mg"] == sum(
        round(Fraction(energy_wh * value_mg, 1000)) for energy_wh in (31_250, 38_400)
    )
    assert balance["reduction_mg"] > 0
    assert sum("row_missing_value" in line for line in said) == 1
    assert not any("user-1" in line for line in said)


def test_a_truck_fleet_has_the_balance_of_a_drivers_waybills() -> None:
    said, balance = ran("truck_fleet")
    assert (balance["trip_count"], balance["programme"]) == (2, "cn-freight")
    # Of the second trip nobody measured the fuel: mass, shortest distance and intensity give it.
    measured_mg = round(Fraction(412_500 * shipped_mg("icct:CN:diesel:ttw"), 1000))
    shortest_m = Fraction(1_508_900 * 20, 21)
    default_mg = round(
        Fraction(7_200 * shortest_m * shipped_mg("gbt-51366:CN:truck_18t.diesel:ttw"), 10**6)
    )
    assert balance["emissions_mg"] == measured_mg + default_mg
    assert sum("row_missing_value" in line for line in said) == 1
    assert not any("11010519491231002X" in line for line in said)


def test_an_ileap_partner_has_the_balance_of_the_demo_tads() -> None:
    _, balance = ran("ileap_partner")
    assert (balance["account_id"], balance["trip_count"]) == ("carrier-7", 10)
    value_mg = factor_mg(TUTORIALS / "ileap_partner" / "factors.csv")
    # 1 t over 656 km driven, which is five per cent more than the shortest way.
    one_mg = Fraction(1_000 * 656_000, 10**6) * Fraction(20, 21) * value_mg
    assert balance["emissions_mg"] == 10 * round(one_mg)


def test_a_warehouse_has_the_balance_of_the_exact_calculation(
    california_expected: Expected,
) -> None:
    said, balance = ran("warehouse")
    wanted = california_expected.balances()[balance["account_id"]]
    assert balance["emissions_mg"] == wanted["emissions_mg"]
    assert balance["session_count"] == wanted["transfer_count"]
    loads = [line for line in said if line.startswith("acn-data: ") and "sent" in line]
    assert loads == [
        "acn-data: 2,667 rows, 2,667 sent, refused: none",
        "acn-data: 2,668 rows, 2,668 sent, refused: none",
    ]
