"""The installed command, run as a user runs it: a process of its own over a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[2]
DATA = REPO.parent / "shared" / "data"
SESSIONS = DATA / "ev-acn-jpl" / "california_ev_sessions.csv"
HOURS = DATA / "ef-electricitymaps-hourly" / "US-CAL-CISO_2021_hourly.csv"
TRIPS = DATA / "freight-india-hcv" / "master_data.redacted.slice.csv"
INTENSITIES = DATA / "ef-india-open" / "emission_factors_v1_2.json"

CARBONFLOW = str(Path(sys.executable).with_name("carbonflow"))
HOURLY_SPEC = f"electricity-maps:{HOURS}"
RUN_S_MAX = 180.0

CALIFORNIA = ("--charging", str(SESSIONS), "--mapping", "acn-data", "--factors", HOURLY_SPEC)
INDIA = ("--freight", str(TRIPS), "--mapping", "india-hcv")
BOTH = (
    *("--charging", str(SESSIONS), "--freight", str(TRIPS)),
    *("--mapping", "acn-data", "india-hcv", "--factors", HOURLY_SPEC),
)


def environment(**settings: str) -> dict[str, str]:
    """Return an environment without settings of Carbonflow but these."""
    kept = {name: value for name, value in os.environ.items() if "CARBONFLOW_" not in name}
    return {**kept, **settings}


def call(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `carbonflow` to its end, whatever it is."""
    return subprocess.run(
        [CARBONFLOW, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment(),
        timeout=RUN_S_MAX,
    )


def asked(*words: str, data_dir: Path) -> dict[str, Any]:
    """Run a command that succeeds without a word beside its one JSON object, and return that."""
    done = call(*words, "--data-dir", str(data_dir), "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def refused(summary: Mapping[str, Any]) -> int:
    """Return how many events a run refused."""
    return sum(summary["refused"].values())
