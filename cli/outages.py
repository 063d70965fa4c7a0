"""Outages in one line: which server a command needed, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from cli.parsing import Failure


@contextmanager
def store_at(url: str) -> Iterator[None]:
    """Make what the store at a URL raises a Failure that names it.

    Raises:
        Failure: The store is away or refuses.
    """
    from sinks.connect import StoreError, reason, shown

    try:
        yield
    except StoreError as error:
        raise Failure(f"ClickHouse at {shown(url)}: {reason(error)}") from error


@contextmanager
def broker_at(bootstrap: str) -> Iterator[None]:
    """Make what the broker raises a Failure that names it.

    Raises:
        click.UsageError: There is no broker in the list.
        Failure: The broker is away or refuses.
    """
    from aiokafka.conn import collect_hosts
    from aiokafka.errors import KafkaConnectionError, KafkaError

    from producers.topics import TopicsError

    try:
        collect_hosts(bootstrap)
    except ValueError as error:
        raise click.UsageError(f"{bootstrap!r} is no list of brokers, host:port") from error
    try:
        yield
    except KafkaConnectionError as error:
        raise Failure(f"the broker {bootstrap} does not answer") from error
    except (KafkaError, TopicsError) as error:
        raise Failure(f"the broker {bootstrap}: {error}") from error
    except TimeoutError as error:
        raise Failure(f"the broker {bootstrap} did not answer in time") from error
