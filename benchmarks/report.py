"""What a benchmark says: tables for people and `results.json` for programs.

`RESULTS.md` and `results.json` are shared by all benchmarks. Each owns one section, between the
markers `<!-- name -->` and `<!-- /name -->`, and keys of its own, and leaves the others alone.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measured

HERE: Final = Path(__file__).resolve().parent
PAGE: Final = HERE / "RESULTS.md"
RESULTS: Final = HERE / "results.json"
TITLE: Final = "# What was measured\n\nWritten by the benchmarks; a section is one of them.\n"

RATIO_MIN: Final = {
    "plain_faust": 50.0,
    "quix_streams": 7.0,
    "bytewax": 15.0,
    "aiokafka_raw": 0.25,
    "kafka_streams": 1.0,
}
PER_CPU: Final = frozenset({"kafka_streams"})
"""Compared by what a core does: a JVM has threads beside its one stream thread."""

HEADINGS: Final = (
    "",
    "events/s",
    "slowest to fastest",
    "events per CPU s",
    "least to most",
    "ratio",
    "bar",
)
Runs = Mapping[str, Sequence[Measured]]
"""Contestant to its runs, one for each round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """All that ran on one broker.

    Attributes:
        broker: Its name and version.
        events: Events of the whole load.
        ours: The contestant that the others are compared with.
        runs: What was measured.
        judged: Contestants whose ratio here is the one that counts.
    """

    broker: str
    events: int
    ours: str
    runs: Runs
    judged: frozenset[str]

    @property
    def ratios(self) -> dict[str, float]:
        """How many times as fast as a contestant ours is, by medians; none if ours did not run."""
        if self.ours not in self.runs:
            return {}
        return {
            name: _median(self.runs[self.ours], name in PER_CPU) / _median(runs, name in PER_CPU)
            for name, runs in self.runs.items()
            if name != self.ours
        }


def _median(runs: Sequence[Measured], per_cpu: bool) -> float:
    return median(run.events_per_cpu_s if per_cpu else run.events_per_s for run in runs)


def summary(stages: Mapping[str, Stage], *, machine: str, versions: Mapping[str, str]) -> Any:
    """Return what the runs add to `results.json`."""
    return {
        "ratios": {
            name: round(ratio, 2)
            for stage in stages.values()
            for name, ratio in stage.ratios.items()
            if name in stage.judged
        },
        "peers": {
            key: {
                "broker": stage.broker,
                "events": stage.events,
                "events_per_s": {
                    name: [round(run.events_per_s) for run in runs]
                    for name, runs in stage.runs.items()
                },
                "events_per_cpu_s": {
                    name: [round(run.events_per_cpu_s) for run in runs]
                    for name, runs in stage.runs.items()
                },
                "machine": machine,
                "versions": dict(versions),
            }
            for key, stage in stages.items()
        },
    }


def below(ratios: Mapping[str, float]) -> list[str]:
    """Return a sentence for every ratio that is below its bar."""
    return [
        f"{name}: {ratio:.2f} times is below the bar of {RATIO_MIN[name]:g}"
        for name, ratio in ratios.items()
        if ratio < RATIO_MIN.get(name, 0.0)
    ]


def rows(stage: Stage) -> list[tuple[str, ...]]:
    """Return a row of the table for each contestant, in the columns of HEADINGS."""
    return [_row(stage, name, runs, stage.ratios.get(name)) for name, runs in stage.runs.items()]


def _row(stage: Stage, name: str, runs: Sequence[Measured], ratio: float | None) -> tuple[str, ...]:
    by_time = [run.events_per_s for run in runs]
    by_cpu = [run.events_per_cpu_s for run in runs]
    per = " per CPU s" if name in PER_CPU else ""
    return (
        name,
        f"{median(by_time):,.0f}",
        f"{min(by_time):,.0f} to {max(by_time):,.0f}",
        f"{median(by_cpu):,.0f}",
        f"{min(by_cpu):,.0f} to {max(by_cpu):,.0f}",
        "" if ratio is None else f"{ratio:.2f}{per}",
        f"{RATIO_MIN[name]:g}{per}" if name in stage.judged else "",
    )


def show(stage: Stage, console: Console) -> None:
    """Print the table of a stage."""
    table = Table(title=_title(stage), box=SIMPLE_HEAD)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "" else "right", no_wrap=True)
    for row in rows(stage):
        table.add_row(*row)
    console.print(table)


def page(stage: Stage, surroundings: str) -> str:
    """Return the section of RESULTS.md about a stage, in Markdown."""
    return "\n\n".join(
        [
            f"## One worker and its peers on {stage.broker}",
            f"{_title(stage)}. Each run in its turn, over fresh topics with the same records; "
            "`benchmarks/peers/` says what each peer is asked for less and more. A ratio is ours "
            "divided by the peer's, of medians.",
            _markdown(rows(stage)),
            surroundings,
        ]
    )


def _title(stage: Stage) -> str:
    rounds = max(len(runs) for runs in stage.runs.values())
    return f"{stage.events:,} charging sessions on {stage.broker}, rounds: {rounds}"


def _markdown(table: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(HEADINGS) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEADINGS, rule, *table))


def with_section(text: str, name: str, markdown: str) -> str:
    """Return a page with a section put in place of its former self, or at the end.

    >>> with_section("# Page\\n", "a", "One.")
    '# Page\\n\\n<!-- a -->\\nOne.\\n<!-- /a -->\\n'
    """
    section = f"<!-- {name} -->\n{markdown.strip()}\n<!-- /{name} -->"
    former = re.compile(
        f"<!-- {re.escape(name)} -->.*?<!-- /{re.escape(name)} -->", flags=re.DOTALL
    )
    if former.search(text):
        return former.sub(lambda _: section, text, count=1)
    return f"{text.rstrip()}\n\n{section}\n"


def write_section(name: str, markdown: str, path: Path = PAGE) -> None:
    """Write a section of RESULTS.md and leave the others as they are."""
    text = path.read_text("utf-8") if path.exists() else TITLE
    path.write_text(with_section(text, name, markdown), "utf-8")


def merge_results(key_values: Mapping[str, Any], path: Path = RESULTS) -> None:
    """Put keys into `results.json` and leave the others as they are.

    Where a key holds an object already, such as `ratios`, the given object's keys are put into it.
    """
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for key, value in key_values.items():
        known = results.get(key)
        if isinstance(known, dict) and isinstance(value, Mapping):
            known.update(value)
        else:
            results[key] = value
    path.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
