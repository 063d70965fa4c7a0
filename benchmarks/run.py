"""`python -m benchmarks.run`: the job on Carbonflow and on its peers, in turns, on one broker.

On the embedded broker run our worker, plain Faust, Quix Streams, Bytewax and a consumer that does
nothing. `--full` runs all of them and Kafka Streams on a real Apache Kafka, too. Ours is timed over
the whole load, the others over fifteen seconds at most.

Prints medians, spread and ratios, and writes them to `benchmarks/RESULTS.md` and
`benchmarks/results.json`. Exit status 1 if a ratio is below its bar. `--quick`, `--only` and
`--bootstrap` only show: nothing is written and no bar holds.
"""

import tempfile
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from benchmarks.brokers import apache, embedded, given
from benchmarks.contestants import KAFKA_STREAMS, ON_ANY_BROKER, ON_KAFKA, OURS
from benchmarks.generate import Load
from benchmarks.measure import BenchmarkError
from benchmarks.report import Stage, below, merge_results, page, show, summary, write_section
from benchmarks.surroundings import machine, surroundings, versions
from benchmarks.trial import Trial, run
from tests.kafka.server import KafkaNodeError

EVENTS: Final = 2_000_000
"""A fetch from noida-db brings all that a partition has, and librdkafka takes 100 MB at most."""

QUICK_EVENTS: Final = 60_000
QUICK_WINDOW_S: Final = 4.0
WIDTH_MIN: Final = 120
SECTIONS: Final = {"embedded": "peers", "kafka": "peers-kafka"}


@click.command(help="Measure Carbonflow against its peers: same broker, same records.")
@click.option("--events", default=EVENTS, show_default=True, help="Records of one run.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each contestant.")
@click.option("--skew", default=0.5, show_default=True, help="Zipf exponent of the accounts.")
@click.option("--full", is_flag=True, help="On Apache Kafka, too.")
@click.option("--quick", is_flag=True, help="One small round, without a bar: does it run?")
@click.option("--bootstrap", help="A running Kafka instead of a broker of its own.")
@click.option(
    "--only", multiple=True, type=click.Choice([each.name for each in ON_KAFKA]), help="Only these."
)
def main(
    events: int,
    rounds: int,
    skew: float,
    full: bool,
    quick: bool,
    bootstrap: str | None,
    only: tuple[str, ...],
) -> None:
    if quick:
        events, rounds = min(events, QUICK_EVENTS), 1
    console = Console(width=max(Console().width, WIDTH_MIN))
    stages: dict[str, Stage] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for trial in trials(Load(events=events, skew=skew), full, bootstrap):
                asked = trial.only(only) if only else trial
                asked = asked.shortened(QUICK_WINDOW_S) if quick else asked
                if not asked.contestants:
                    continue
                stages[trial.key] = run(asked, rounds, Path(folder), console)
                show(stages[trial.key], console)
    except (BenchmarkError, KafkaNodeError) as error:
        raise click.ClickException(str(error)) from None
    console.print(surroundings(), highlight=False)
    if quick or only or bootstrap:
        return
    results = summary(stages, machine=machine(), versions=versions())
    merge_results(results)
    for key, stage in stages.items():
        write_section(SECTIONS[key], page(stage, surroundings()))
    if misses := below(results["ratios"]):
        raise click.ClickException("; ".join(misses))


def trials(load: Load, full: bool, bootstrap: str | None) -> list[Trial]:
    """Return what to run: on the given broker, or on those that we start."""
    if bootstrap is not None:
        return [
            Trial(
                key="given",
                broker=given(bootstrap),
                contestants=ON_KAFKA,
                load=load,
                judged=frozenset(),
            )
        ]
    quickly = Trial(
        key="embedded",
        broker=embedded,
        fresh=True,
        contestants=ON_ANY_BROKER,
        load=load,
        judged=frozenset(each.name for each in ON_ANY_BROKER) - {OURS.name},
    )
    fully = Trial(
        key="kafka",
        broker=apache,
        contestants=ON_KAFKA,
        load=load,
        judged=frozenset({KAFKA_STREAMS.name}),
    )
    return [quickly, fully] if full else [quickly]


if __name__ == "__main__":
    main()
