"""Which Kafka a command speaks to, and under which ids its schemas go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from cli.parsing import Failure

if TYPE_CHECKING:
    from schemas.settings import BrokerSettings

T = TypeVar("T")
B = TypeVar("B", bound="BrokerSettings")


def settings_of(cls: type[T], instead: Mapping[str, str] | None = None) -> T:
    """Return the settings of a class from CARBONFLOW_*.

    Args:
        cls: The class.
        instead: Variables that an option of the command stands for.

    Raises:
        click.UsageError: A variable is missing or wrong.
    """
    from schemas.settings import SettingsError, read_settings

    try:
        return read_settings(cls, {**os.environ, **(instead or {})})
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def broker_settings(bootstrap: str | None, data_dir: Path) -> BrokerSettings:
    """Return how to reach the broker: as told, else a running stack's, else as CARBONFLOW_* says.

    Args:
        bootstrap: Brokers to ask, or None.
        data_dir: Folder whose running stack is meant where nothing else is said.
    """
    from embedded.ownership import running_owner
    from schemas.settings import BrokerSettings

    if bootstrap is not None:
        return use_registered(replace(settings_of(BrokerSettings), bootstrap=bootstrap))
    running = running_owner(data_dir).get("bootstrap")
    if isinstance(running, str):
        return BrokerSettings(bootstrap=running)
    if "CARBONFLOW_BOOTSTRAP" not in os.environ:
        raise Failure(
            f"no stack is running over {data_dir}: start `carbonflow up`, or give --bootstrap"
        )
    return use_registered(settings_of(BrokerSettings))


def use_registered(broker: B) -> B:
    """Let this process write and read by the ids of a schema registry, where one is set.

    Args:
        broker: Its prefix goes before every subject.

    Returns:
        The same.

    Raises:
        Failure: The registry cannot be used, or lacks a schema.
    """
    from schemas.settings import RegistrySettings

    settings = settings_of(RegistrySettings)
    if settings.schema_registry_url is not None:
        with registry_failing():
            from schemas.registry import use_registry

            use_registry(settings, broker.prefix)
    return broker


@contextmanager
def registry_failing() -> Iterator[None]:
    """Make what a schema registry raises a Failure.

    Raises:
        Failure: It is away, refuses or lacks a schema; or the extra is not installed.
    """
    from schemas.catalogue import CatalogueError

    try:
        from schemas.registry import RegistryError
    except ImportError as error:
        raise Failure(f"a schema registry needs the extra 'registry': {error}") from error
    try:
        yield
    except (RegistryError, CatalogueError) as error:
        raise Failure(str(error)) from error
