"""`python -m tests.fuzz`: damaged records by the million; the last line says what came of it."""

from __future__ import annotations

import sys
import time

import click

from tests.fuzz.watched import run_slice_watched, run_watched


@click.command()
@click.option("--records", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--slice", "number", type=click.IntRange(0), help="Work this slice only.")
def main(records: int, seed: int, number: int | None) -> None:
    """Put mutated records through read, step, compose and apply, and check what becomes of each."""
    began = time.monotonic()
    if number is None:
        ran = run_watched(records, seed, click.echo)
    else:
        ran = run_slice_watched(number, seed, click.echo)
    click.echo(
        f"{ran.records:,} records in {ran.slices} slices of seed {seed}, "
        f"{time.monotonic() - began:.0f} s; {ran.memory}"
    )
    click.echo(f"{ran.passed} passed, {ran.failed} failed")
    sys.exit(bool(ran.failed))


if __name__ == "__main__":
    main()
