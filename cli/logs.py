"""What a process says on standard error while it runs.

A command that ends says what went wrong itself, in one line; the libraries it used stay silent.
A process that runs on logs its start, its end and all between (`schemas.logs`). Where its log is
JSON, why it ended stands there alone; wrong use, before there is a log, is told in plain words.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.parsing import Failure

if TYPE_CHECKING:
    from schemas.log_events import Value
    from schemas.logs import LogSettings
    from schemas.tracing import Tracing, TracingSettings

CLIENTS: Final = ("aiokafka", "clickhouse_connect", "urllib3")
"""Each of these tells every failed attempt; what came of them stands in our own lines."""

log = logging.getLogger("carbonflow")


@contextmanager
def traced(process: str, settings: TracingSettings, instance: str = "") -> Iterator[Tracing | None]:
    """Record the traces of a process; None where they are off.

    Raises:
        Failure: The extra is not installed.
        click.UsageError: The share of traces is none.
    """
    from schemas.log_events import tell
    from schemas.settings import SettingsError
    from schemas.tracing import TracingError, share_of, tracing_of

    try:
        tracing = tracing_of(settings, process, instance or socket.gethostname(), os.environ)
    except TracingError as error:
        raise Failure(str(error)) from error
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    if tracing is None:
        yield None
        return
    endpoint = str(settings.otlp_endpoint)
    tell(log, "tracing_on", endpoint=endpoint, share=share_of(os.environ))
    try:
        yield tracing
    finally:
        tracing.close()


@contextmanager
def logged(
    settings: LogSettings,
    process: str,
    *read: Any,
    instance: str = "",
    quiet: Collection[str] = CLIENTS,
) -> Iterator[None]:
    """Log the start and the end of a process, and what it says meanwhile.

    Args:
        settings: Level and format.
        process: Which one.
        read: Its settings; those that are not at their defaults are told, and no secret.
        instance: Which of those processes; the host's name where not given.
        quiet: Loggers of libraries that say nothing.
    """
    from schemas.log_events import tell
    from schemas.logs import Speaker, log_to_stderr

    hidden = {*given_to_collector(os.environ), *(one for each in read for one in secrets_of(each))}
    speaker = Speaker(process, instance or socket.gethostname())
    log_to_stderr(settings, speaker, hidden=hidden, quiet=quiet)
    told = {name: value for each in read for name, value in shown(each).items()}
    tell(log, "process_started", version=version("carbonflow"), settings=told)
    began = time.monotonic()

    def stopped(reason: str, status: int) -> None:
        seconds = time.monotonic() - began
        tell(log, "process_stopped", reason=reason, status=status, seconds=seconds)

    try:
        yield
    except click.ClickException as failure:
        if not settings.is_json:
            raise
        reason = " ".join(failure.message.split())
        tell(log, "process_failed", reason=reason, status=failure.exit_code)
        sys.exit(failure.exit_code)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        stopped("asked to" if status == 0 else "see above", status)
        raise
    stopped("asked to", 0)


def given_to_collector(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what gives access to the collector of traces."""
    for name, value in environ.items():
        if re.fullmatch(r"OTEL_EXPORTER_OTLP_(TRACES_)?HEADERS", name):
            yield from (part.partition("=")[2].strip() for part in value.split(","))


def secrets_of(settings: Any) -> Iterator[str]:
    """Yield the secrets of some settings."""
    from schemas.settings import is_secret

    for each in fields(settings):
        value = getattr(settings, each.name)
        if is_secret(each) and value:
            yield value


def shown(settings: Any) -> dict[str, Value]:
    """Return the settings that are not at their defaults, without secrets."""
    from schemas.settings import is_secret

    found: dict[str, Value] = {}
    for each in fields(settings):
        value = getattr(settings, each.name)
        if value == each.default or is_secret(each):
            continue
        found[each.name] = str(value) if isinstance(value, Path) else value
    return found
