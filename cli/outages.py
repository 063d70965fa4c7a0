"""Outages in one line: which server a command needed, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.parsing import Failure

if TYPE_CHECKING:
    from schemas.settings import BrokerSettings
    from sinks.connect import StoreSettings


@contextmanager
def store_at(settings: StoreSettings) -> Iterator[None]:
    """Make what the store raises a Failure that names it.

    Raises:
        Failure: The store is away or refuses.
    """
    from sinks.connect import StoreError, reason

    try:
        yield
    except StoreError as error:
        raise Failure(f"ClickHouse at {settings.clickhouse_url}: {reason(error)}") from error


@contextmanager
def broker_at(settings: BrokerSettings) -> Iterator[None]:
    """Make what the broker raises a Failure that names it.

    Raises:
        click.UsageError: There is no broker in the list.
        Failure: The broker is away or refuses.
    """
    from aiokafka.conn import collect_hosts
    from aiokafka.errors import KafkaConnectionError, KafkaError

    from producers.topics import TopicsError
    from schemas.reaching import denied, obstacle

    bootstrap = settings.bootstrap
    try:
        collect_hosts(bootstrap)
    except ValueError as error:
        raise click.UsageError(f"{bootstrap!r} is no list of brokers, host:port") from error
    try:
        yield
    except KafkaConnectionError as error:
        raise Failure(f"the broker {bootstrap} {asyncio.run(obstacle(settings))}") from error
    except (KafkaError, TopicsError) as error:
        told = denied(error)
        raise Failure(f"the broker {bootstrap}{f' {told}' if told else f': {error}'}") from error
    except TimeoutError as error:
        raise Failure(f"the broker {bootstrap} did not answer in time") from error
