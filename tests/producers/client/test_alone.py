"""The client needs its extra and nothing else: no Faust, ClickHouse, Arrow, numba, FastAPI."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parents[3]
OURS: Final = ("carbon", "schemas", "producers")

USES: Final = """
import sys
from pathlib import Path
from producers.client.asynchronous import AsyncClient
from producers.client.delivery import Delivery, NotDeliveredError
from producers.client.records import ChargingSession, FreightTrip, RefusedError, instant_ms
from producers.client.settings import ClientSettings
from producers.client.sync import Client
from producers.keyfile import read_keys
from producers.pseudonyms import Pseudonyms
from schemas.settings import BrokerSettings, read_settings

settings = read_settings(
    ClientSettings,
    {"CARBONFLOW_BOOTSTRAP": "127.0.0.1:9", "CARBONFLOW_CLIENT_SPOOL": sys.argv[1],
     "CARBONFLOW_CLIENT_CLOSE_S_MAX": "0"},
)
with Client(settings, clock_ms=lambda: 1_700_000_000_000) as client:
    session = ChargingSession(
        session_id="S1", source="s", account_id="a", programme="p", vehicle_class="c",
        grid_region="CN-BJ", started_at=1, ended_at=2, energy_wh=3, meter_side="grid",
        current="ac", operator_id="o", evse_id="e",
    )
    print(client.send(session).report().state)
outside = {name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(*sorted(name for name in outside if getattr(sys.modules.get(name), "__file__", None)))
"""


def extra() -> list[str]:
    """Return the packages that the extra `client` brings, those that they need among them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [*project["dependencies"], *project["optional-dependencies"]["client"]]
    names = [pin.split("==")[0] for pin in pins]
    for name in names:
        needs = map(Requirement, distribution(name).requires or ())
        names += [
            each.name for each in needs if not each.marker or each.marker.evaluate({"extra": ""})
        ]
    return names


def test_the_extra_has_few_packages() -> None:
    assert sorted(extra()) == ["confluent-kafka", "numpy"]


def test_it_sends_where_only_the_packages_of_its_extra_are_installed(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in extra():
        files = distribution(name).files
        assert files, f"{name} does not say what it installed"
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    for name in OURS:
        (site / name).symlink_to(ROOT / name)
    code = f"import sys; sys.path.append({str(site)!r})\n{USES}"
    # -S: no site-packages, -I: nothing of the environment; what is not in the folder is not there.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(tmp_path / "spool")],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    state, modules = done.stdout.splitlines()
    assert state == "spooled"
    assert set(modules.split()) == {*OURS, "confluent_kafka", "numpy"}
