"""Schemas in a registry: `schemas register` and `schemas check`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.broker import registry_failing, settings_of
from cli.parsing import Failure, json_option
from cli.printing import print_json, print_table

if TYPE_CHECKING:
    from schemas.registry import Entry, Registry

_EPILOG = (
    "\b\nExample:\n  CARBONFLOW_SCHEMA_REGISTRY_URL=http://registry:8080/apis/ccompat/v7 "
    "carbonflow schemas {}\n\n\b\nCARBONFLOW_PREFIX goes before every subject."
)


@click.group()
def schemas() -> None:
    """Our Avro schemas in a schema registry, where one is used."""


@schemas.command(epilog=_EPILOG.format("register"))
@json_option
def register(as_json: bool) -> None:
    """Register what is not there yet, unless it is incompatible; safe to repeat."""
    with _registry() as registry:
        made = registry.register()
        _show(registry.entries(), made, as_json=as_json)


@schemas.command(epilog=_EPILOG.format("check"))
@json_option
def check(as_json: bool) -> None:
    """Say what is registered; status 1 if something is missing, and whether it could go in."""
    with _registry() as registry:
        entries = registry.entries()
        missing = [entry for entry in entries if not entry.ids]
        told = [
            registry.obstacle(entry) or f"{entry.subject} lacks {_version(entry)}"
            for entry in missing
        ]
        if not missing:
            registry.catalogue_of()
    _show(entries, [], as_json=as_json)
    for line in told:
        print(line, file=sys.stderr)
    if missing:
        raise Failure("not everything is registered; `carbonflow schemas register` does it")


@contextmanager
def _registry() -> Iterator[Registry]:
    from schemas.catalogue import shipped
    from schemas.settings import BrokerSettings, RegistrySettings

    broker, settings = settings_of(BrokerSettings), settings_of(RegistrySettings)
    if settings.schema_registry_url is None:
        raise click.UsageError("CARBONFLOW_SCHEMA_REGISTRY_URL is not set")
    with registry_failing():
        from schemas.registry import registry_at

        with registry_at(settings, shipped(), broker.prefix) as registry:
            yield registry


def _show(entries: list[Entry], made: list[Entry], *, as_json: bool) -> None:
    new = {(entry.subject, entry.schema) for entry in made}
    if as_json:
        print_json(
            [
                {
                    "subject": entry.subject,
                    "record": entry.schema.record,
                    "version": entry.schema.version,
                    "ids": list(entry.ids),
                    "made": (entry.subject, entry.schema) in new,
                }
                for entry in entries
            ]
        )
        return
    print_table(
        "Schemas",
        ("subject", "schema", "ids", "registered"),
        [
            (
                entry.subject,
                _version(entry),
                ", ".join(map(str, entry.ids)),
                "now" if (entry.subject, entry.schema) in new else "before" if entry.ids else "no",
            )
            for entry in entries
        ],
        left=4,
    )


def _version(entry: Entry) -> str:
    return f"{entry.schema.record} v{entry.schema.version}"
