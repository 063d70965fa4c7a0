"""The command `carbonflow`: what its commands are, and how it ends.

Heavy packages are imported inside the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import click

from cli import (
    accounts,
    asyncapi,
    erase,
    factors,
    gateway,
    ingest,
    load,
    processes,
    pseudonym,
    refusals,
    registry,
    serve,
    tokens,
    verify,
)
from cli.parsing import run

EPILOG = """\b
Examples:
  carbonflow demo
  carbonflow run --charging sessions.csv --mapping my-chargers.toml
  carbonflow balance acn-000005015
  carbonflow up
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="carbonflow", message="carbonflow %(version)s")
def carbonflow() -> None:
    """Carbon accounts of charging sessions and freight trips, while they happen."""


for command in (
    ingest.run,
    ingest.demo,
    load.load,
    serve.up,
    accounts.balance,
    accounts.statement,
    accounts.explain,
    refusals.refusals,
    factors.factors,
    verify.verify,
    pseudonym.pseudonym,
    erase.erase,
    processes.worker,
    processes.sink,
    processes.api,
    gateway.gateway,
    gateway.pull,
    tokens.api_token,
    processes.migrate,
    processes.topics,
    registry.schemas,
    asyncapi.asyncapi,
):
    carbonflow.add_command(command)


def main() -> None:
    """Run `carbonflow` with the arguments of this process."""
    run(carbonflow)


if __name__ == "__main__":
    main()
