"""The command `up`: the embedded stack until Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.inputs import RELEASE, factor_option, read_factors
from cli.parsing import Command, Failure, data_dir_option
from cli.programmes import read_programmes

if TYPE_CHECKING:
    from carbon.factors import Factor
    from embedded.progress import View
    from embedded.stack import StackSettings


F = TypeVar("F", bound=Callable[..., Any])


def _port_option(name: str, default: int, what: str) -> Callable[[F], F]:
    return click.option(
        name, type=click.IntRange(1, 65535), default=default, show_default=True, help=what
    )


@click.command(
    cls=Command,
    epilog="\b\nExamples:\n  carbonflow up\n  carbonflow up --broker-port 19092 --workers 2\n"
    "  carbonflow up --factors electricity-maps:US-CAL-CISO_2021_hourly.csv",
)
@data_dir_option
@factor_option
@_port_option("--broker-port", 9092, "Port of the broker (Kafka).")
@_port_option("--api-port", 8080, "Port of the API.")
@_port_option("--api-metrics-port", 8081, "Port of the API's metrics and health.")
@_port_option("--metrics-port", 9464, "Port of the first worker's metrics; others follow it.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Worker processes.",
)
def up(
    data_dir: Path,
    specs: tuple[str, ...],
    broker_port: int,
    api_port: int,
    api_metrics_port: int,
    metrics_port: int,
    workers: int,
) -> None:
    """Run the embedded stack until Ctrl-C: broker, workers, sink, API and metrics.

    Send events to the broker with any Kafka client or `carbonflow load`, and ask the API.
    """
    from rich.console import Console

    from embedded.broker import port_is_taken
    from embedded.faults import StackError
    from embedded.priority import BEHIND
    from embedded.progress import view
    from embedded.stack import StackSettings

    ports = [("--broker-port", broker_port), ("--api-port", api_port)]
    ports += [("--api-metrics-port", api_metrics_port)]
    ports += [("--metrics-port", metrics_port + number) for number in range(workers)]
    for option, port in ports:
        if port_is_taken(port):
            raise Failure(f"port {port} is taken; {option} gives another")
    factors = read_factors((RELEASE, *specs))
    read_programmes()  # What is wrong with them is said before anything starts.
    settings = StackSettings(
        data_dir=data_dir,
        what="carbonflow up",
        workers=workers,
        broker_port=broker_port,
        metrics_port=metrics_port,
        niceness=BEHIND,
    )
    with view(Console(stderr=True), quiet=False) as seen:
        try:
            _serve(settings, factors, (api_port, api_metrics_port), seen)
        except KeyboardInterrupt:
            seen.tell("stopped")
        except StackError as error:
            raise Failure(str(error)) from error


def _serve(
    settings: StackSettings,
    factors: list[Factor],
    api_ports: tuple[int, int],
    seen: View,
) -> None:
    from embedded.job import prepare
    from embedded.stack import TICK_S, running

    with running(settings, tell=seen.tell) as stack:
        prepare(stack, factors, view=seen)
        stack.start_workers()
        urls = {"bootstrap": stack.broker.bootstrap, "api": stack.start_api(*api_ports)}
        stack.ownership.tell({"what": settings.what, **urls})
        print(f"broker   {urls['bootstrap']}")
        print(f"console  {urls['api']}/console")
        print(f"api      {urls['api']}  (docs: {urls['api']}/docs)")
        ports = (api_ports[1], *stack.metrics_ports)
        print("metrics", *(f"http://127.0.0.1:{port}/metrics" for port in ports), sep="  ")
        print(f"data     {settings.data_dir}  (Ctrl-C stops)", flush=True)
        seen.stage("running")
        pause = threading.Event()
        while True:
            stack.check()
            seen.tick(stack.read())
            pause.wait(TICK_S)
