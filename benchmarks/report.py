"""What a benchmark says: a table for people, and `results.json` for programs."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

RATIO_MIN: Final = {"plain_faust": 25.0}
PACKAGES: Final = ("faust-streaming", "aiokafka", "pyruhvro", "pyarrow", "numpy", "fastavro")


def summary(
    rates: Mapping[str, Sequence[float]], *, ours: str, broker: str, events: int
) -> dict[str, Any]:
    """Return the results of the runs.

    Args:
        rates: Contestant to its events per second, one for each round.
        ours: The contestant that the others are compared with.
        broker: What it ran on.
        events: Events of one run.
    """
    fastest = median(rates[ours])
    return {
        "ratios": {
            name: round(fastest / median(runs), 2) for name, runs in rates.items() if name != ours
        },
        "events_per_s": {name: [round(run) for run in runs] for name, runs in rates.items()},
        "events": events,
        "broker": broker,
        "machine": machine(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
    }


def machine() -> str:
    """Return the processor, as the system names it, and how many of it there are."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{os.cpu_count()} x {name}"


def write(results: Mapping[str, Any], path: Path) -> None:
    """Write the results in place of those of an earlier run."""
    path.write_text(json.dumps(results, indent=2) + "\n")


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print the results: median, spread and ratio of each contestant."""
    table = Table(title=f"{results['events']:,} charging sessions, one worker each")
    for heading in ("", "events/s, median", "slowest to fastest", "ratio", "bar"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for name, runs in results["events_per_s"].items():
        ratio, least = results["ratios"].get(name), RATIO_MIN.get(name)
        table.add_row(
            name,
            f"{median(runs):,.0f}",
            f"{min(runs):,} to {max(runs):,}",
            "" if ratio is None else f"{ratio:.1f} x",
            "" if least is None else f"{least:.0f} x",
        )
    console.print(table)
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    console.print(f"{results['machine']}; {results['broker']}\n{versions}", highlight=False)


def below(results: Mapping[str, Any]) -> list[str]:
    """Return a sentence for every ratio that is below its bar."""
    return [
        f"{name}: {ratio:.1f} times is below the bar of {RATIO_MIN[name]:.0f}"
        for name, ratio in results["ratios"].items()
        if ratio < RATIO_MIN.get(name, 0.0)
    ]
