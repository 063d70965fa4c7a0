"""`python -m tests.simulation`: bad days by the thousand, each decided by its seed.

The last line is `N passed, N failed`; exit status 1 if any failed. Before it stands, for each
failure, the command that repeats it. `--mutation` does one thing wrong on purpose: then seeds must
fail, and the status is 0 as soon as one does.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import Final

import click

from tests.simulation.days import results
from tests.simulation.mutations import MUTATIONS

SEEDS: Final = 2000
REPORTED_MAX: Final = 20


@click.command(help="Play bad days and check the books at their end.")
@click.option("--seeds", default=SEEDS, show_default=True, help="How many.")
@click.option("--seed", default=0, show_default=True, help="The first.")
@click.option("--processes", default=os.cpu_count() or 1, help="How many at a time.")
@click.option("--mutation", type=click.Choice(sorted(MUTATIONS)), help="Do this wrong.")
def main(seeds: int, seed: int, processes: int, mutation: str | None) -> None:
    began_s = time.monotonic()
    passed, failed, happened = 0, [], Counter[str]()
    for number, wrong, faults in results(range(seed, seed + seeds), mutation, processes):
        happened += faults
        if wrong is None:
            passed += 1
            continue
        failed.append(number)
        if len(failed) <= REPORTED_MAX:
            wanted = f" --mutation {mutation}" if mutation else ""
            click.echo(f"seed {number}: {wrong}")
            click.echo(f"  again: python -m tests.simulation --seeds 1 --seed {number}{wanted}")
    told = ", ".join(f"{name} {count}" for name, count in sorted(happened.items()))
    click.echo(f"{time.monotonic() - began_s:.0f} s; {told}")
    click.echo(f"{passed} passed, {len(failed)} failed")
    sys.exit(bool(failed) != bool(mutation))


if __name__ == "__main__":
    main()
