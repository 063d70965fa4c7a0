"""A schema registry that speaks as Confluent's does: our schemas go in, its ids come out.

None is needed: the ids of the catalogue are fixed. Where one is used it chooses ids of its own, and
everybody who reads or writes by it needs those. `register` puts every version of every record
under the subject of each topic that carries it (`transfers-value`, as Confluent's serialisers name
it); `catalogue_of` gives the shipped catalogue under the ids found there.

A version is known again by its fields, not its words: a schema whose docs were improved is no new
one. What is not there yet may go in only where it and all versions before it can read each other.

    RegistryError      the registry is away, refuses, or lacks what was asked for
    CatalogueError     its ids contradict the catalogue's

Needs the extra `registry`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.catalogue import AvroSchema, Catalogue, Digest, digest, shipped, use
from schemas.settings import RegistrySettings

COMPATIBILITY: Final = "FULL_TRANSITIVE"
ANSWER_S_MAX: Final = 10
_NOT_FOUND: Final = 404


class RegistryError(RuntimeError):
    """The registry cannot be used, or does not have what it should."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a record under the subject of one topic.

    Attributes:
        subject: The subject.
        schema: The version, as the shipped catalogue has it.
        ids: Its ids there, oldest first; none where it is not registered.
    """

    subject: str
    schema: AvroSchema
    ids: tuple[int, ...]


class Registry:
    """One registry, asked for the schemas of one deployment.

    Args:
        client: How it is asked.
        catalogue: What should be there.
        prefix: What goes before the topics of the deployment.
    """

    def __init__(self, client: SchemaRegistryClient, catalogue: Catalogue, prefix: str) -> None:
        self._client = client
        self._catalogue = catalogue
        self._prefix = prefix

    def entries(self) -> list[Entry]:
        """Return what of the catalogue is registered, and what is not, by topic and version."""
        entries = []
        for topic in self._catalogue.topics.values():
            if topic.record is None:
                continue
            subject = f"{self._prefix}{topic.name}-value"
            known = self._versions(subject)
            for schema in self._versions_of(topic.record):
                mine = digest(schema.text)
                ids = tuple(schema_id for schema_id, each in known if each == mine)
                entries.append(Entry(subject, schema, ids))
        return entries

    def obstacle(self, entry: Entry) -> str | None:
        """Return why a version cannot be registered under its subject, None if it can."""
        if not self._versions(entry.subject):
            return None
        if self._client.test_compatibility_all_versions(entry.subject, _sent(entry.schema)):
            return None
        return f"{entry.subject} has versions that {_named(entry.schema)} cannot be read beside"

    def register(self) -> list[Entry]:
        """Register what is missing, oldest versions first, and return those entries with their ids.

        Raises:
            RegistryError: A version is not compatible; what was registered before it stays.
        """
        made = []
        for entry in self.entries():
            if entry.ids:
                continue
            told = self.obstacle(entry)
            if told is not None:
                raise RegistryError(told)
            is_new = not self._versions(entry.subject)
            schema_id = self._client.register_schema(entry.subject, _sent(entry.schema))
            if is_new:
                self._client.set_compatibility(entry.subject, COMPATIBILITY)
            made.append(Entry(entry.subject, entry.schema, (schema_id,)))
        return made

    def catalogue_of(self) -> Catalogue:
        """Return the catalogue under the registry's ids.

        Raises:
            RegistryError: A version is not registered.
            CatalogueError: An id stands for two versions of a record.
        """
        entries = self.entries()
        lacking = [f"{e.subject} lacks {_named(e.schema)}" for e in entries if not e.ids]
        if lacking:
            raise RegistryError(f"{', '.join(lacking)}: `carbonflow schemas register` adds them")
        ids: dict[AvroSchema, tuple[int, ...]] = {}
        # Backwards, so that the last id is that of a record's first topic, which is its own.
        for entry in reversed(entries):
            ids[entry.schema] = (*ids.get(entry.schema, ()), *entry.ids)
        return self._catalogue.registered(ids)

    def _versions_of(self, record: str) -> list[AvroSchema]:
        schemas = [each for each in self._catalogue.schemas.values() if each.record == record]
        return sorted(schemas, key=lambda each: each.version)

    def _versions(self, subject: str) -> list[tuple[int, Digest]]:
        """Return id and digest of each version of a subject, oldest first; none of an unknown."""
        try:
            numbers = self._client.get_versions(subject)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return []
            raise
        versions = []
        for number in sorted(numbers):
            found = self._client.get_version(subject, number)
            if found.schema_id is None or found.schema.schema_str is None:
                raise RegistryError(f"version {number} of {subject} comes without id or schema")
            versions.append((found.schema_id, digest(found.schema.schema_str)))
        return versions


@contextmanager
def registry_at(
    settings: RegistrySettings, catalogue: Catalogue, prefix: str
) -> Iterator[Registry]:
    """Give the registry that the settings name.

    Args:
        settings: Where it is; `schema_registry_url` must be set.
        catalogue: What should be there.
        prefix: What goes before the topics of the deployment.

    Raises:
        RegistryError: It is away or refuses.
    """
    where = f"the schema registry at {settings.schema_registry_url}"
    options: dict[str, Any] = {"url": settings.schema_registry_url, "timeout": ANSWER_S_MAX}
    if settings.schema_registry_username is not None:
        login = f"{settings.schema_registry_username}:{settings.schema_registry_password}"
        options["basic.auth.user.info"] = login
    if settings.schema_registry_cafile is not None:
        options["ssl.ca.location"] = str(settings.schema_registry_cafile)
    try:
        with SchemaRegistryClient(options) as client:
            yield Registry(client, catalogue, prefix)
    except SchemaRegistryError as error:
        raise RegistryError(f"{where} refuses: {error.error_message}") from error
    except httpx2.HTTPError as error:
        raise RegistryError(f"{where} does not answer: {error}") from error
    except ValueError as error:
        # Something else listens there: what it says is no JSON, or no schema.
        raise RegistryError(f"{where} answers as no registry does: {error}") from error


def use_registry(settings: RegistrySettings, prefix: str = "") -> None:
    """Let this process write and read by the ids of the registry, where one is set.

    Args:
        settings: Where it is.
        prefix: What goes before the topics of the deployment.

    Raises:
        RegistryError: It cannot be used, or lacks a schema.
        CatalogueError: An id stands for two versions of a record.
    """
    if settings.schema_registry_url is not None:
        with registry_at(settings, shipped(), prefix) as registry:
            use(registry.catalogue_of())


def _named(schema: AvroSchema) -> str:
    return f"{schema.record} v{schema.version}"


def _sent(schema: AvroSchema) -> Schema:
    return Schema(schema.text, "AVRO")
