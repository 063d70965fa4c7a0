"""The catalogue: which topics exist, which record each carries, and which id each schema has on the
wire.

It is data (`catalogue.json` and `avro/*.avsc`), read once when first asked for. A `Catalogue` is a
value, so a test or a deployment with more versions builds its own and passes it in; everything
that takes one uses the shipped one otherwise.

A schema registry chooses ids of its own. Where one is used the catalogue of a process (`used`) is
the shipped one `registered` under those: they are written, and read beside the shipped ones.

A published version never changes: its id and digest stay in the file. A new version is rolled out
in two releases. The first lists it and leaves `current` as it is, so every process can read it and
none writes it; the second moves `current`. Old and new processes then understand each other all
the way.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, NewType

Digest = NewType("Digest", str)

ACTIVITY_TOPICS: Final = ("charging-sessions", "freight-trips")
"""Topics whose records are activities. They are co-partitioned by account_id."""

LATE_OF: Final[Mapping[str, str]] = MappingProxyType(
    {topic: f"late-{topic}" for topic in ACTIVITY_TOPICS}
)
"""The late lane of each activity topic: its records that wait for a look into the store."""

LATE_FROM: Final = "late_from"
"""Header of a record of a late lane: partition, offset and timestamp of its original, `0:71:9`."""

_used: "list[Catalogue]" = []

TOPICS: Mapping[str, "Topic"]
"""Topics of the shipped catalogue by unprefixed name; read on first use, see `__getattr__`."""


class CatalogueError(ValueError):
    """The catalogue contradicts itself, or is asked for what it does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One header that records of a topic may have; its value is text."""

    name: str
    doc: str
    always: bool = False
    """Whether every record has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic: what it carries and how a broker should keep it."""

    name: str
    record: str | None
    """Record of its values; None where they are raw bytes."""
    key: str
    cleanup: str
    partitions: int
    retention_ms: int | None
    """How long a record is kept [ms]; -1 for ever; None where compaction decides."""
    writer: str
    doc: str
    headers: tuple[Header, ...] = ()

    @property
    def config(self) -> dict[str, str]:
        """Broker settings to create the topic with, as Kafka spells them."""
        config = {"cleanup.policy": self.cleanup}
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class AvroSchema:
    """One version of one record, with the id that frames carry."""

    record: str
    version: int
    schema_id: int
    text: str
    """The schema as JSON text."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Topics and schemas that belong together. Build one with `Catalogue.of`."""

    topics: Mapping[str, Topic]
    schemas: Mapping[int, AvroSchema]
    current: Mapping[str, AvroSchema]
    """The version of each record that is written, and that readers answer in."""
    aliases: Mapping[tuple[str, int], AvroSchema] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """What more is read of each record, by the ids that a registry has given."""

    @classmethod
    def of(
        cls, topics: Iterable[Topic], schemas: Iterable[AvroSchema], current: Mapping[str, int]
    ) -> "Catalogue":
        """Return the catalogue of these parts; `current` maps each record to a version.

        Raises:
            CatalogueError: An id or a version occurs twice, or something named does not exist.
        """
        topics, schemas = tuple(topics), tuple(schemas)
        by_version = {(schema.record, schema.version): schema for schema in schemas}
        by_id = {schema.schema_id: schema for schema in schemas}
        by_name = {topic.name: topic for topic in topics}
        if len(by_version) < len(schemas) or len(by_id) < len(schemas):
            raise CatalogueError("a schema id or a version is listed twice")
        if len(by_name) < len(topics):
            raise CatalogueError("a topic is listed twice")
        if missing := {record for record, _ in by_version} ^ set(current):
            raise CatalogueError(f"current and the schemas disagree about {sorted(missing)}")
        if missing := {topic.record for topic in topics if topic.record} - set(current):
            raise CatalogueError(f"topics carry records without a schema: {sorted(missing)}")
        if unlisted := current.items() - by_version.keys():
            raise CatalogueError(f"current versions that are not listed: {sorted(unlisted)}")
        chosen = {record: by_version[record, version] for record, version in current.items()}
        return cls(MappingProxyType(by_name), MappingProxyType(by_id), MappingProxyType(chosen))

    def writer(self, record: str, schema_id: int) -> AvroSchema | None:
        """Return the schema of a record that an id stands for, None where it stands for none."""
        alias = self.aliases.get((record, schema_id))
        if alias is not None:
            return alias
        schema = self.schemas.get(schema_id)
        return schema if schema is not None and schema.record == record else None

    def registered(self, ids: Mapping[AvroSchema, Sequence[int]]) -> "Catalogue":
        """Return the catalogue as a registry knows it.

        Args:
            ids: The ids of each schema there, oldest first; the last is written from now on.

        Raises:
            CatalogueError: A schema has no id, or an id stands for two versions of a record.
        """
        if missing := [schema for schema in self.schemas.values() if not ids.get(schema)]:
            named = ", ".join(f"{schema.record} v{schema.version}" for schema in missing)
            raise CatalogueError(f"the registry has no {named}")
        written = {schema: replace(schema, schema_id=ids[schema][-1]) for schema in ids}
        aliases: dict[tuple[str, int], AvroSchema] = {}
        for schema, known in ids.items():
            for schema_id in (schema.schema_id, *known):
                version = aliases.setdefault((schema.record, schema_id), written[schema])
                if version is not written[schema]:
                    raise CatalogueError(
                        f"{schema_id} is {schema.record} v{schema.version} to one of catalogue and "
                        f"registry, and v{version.version} to the other"
                    )
        current = {record: written[schema] for record, schema in self.current.items()}
        return replace(self, current=MappingProxyType(current), aliases=MappingProxyType(aliases))

    def extended(self, schema: AvroSchema, *, current: bool) -> "Catalogue":
        """Return a catalogue with one more version, written from now on if `current`."""
        versions = {record: chosen.version for record, chosen in self.current.items()}
        if current or schema.record not in versions:
            versions[schema.record] = schema.version
        return Catalogue.of(self.topics.values(), (*self.schemas.values(), schema), versions)

    def repartitioned(self, partitions: int) -> "Catalogue":
        """Return a catalogue whose topics have that many partitions, those of one aside.

        A topic of one partition has it for the order of all its records.
        """
        topics = (
            replace(topic, partitions=partitions) if topic.partitions > 1 else topic
            for topic in self.topics.values()
        )
        versions = {record: chosen.version for record, chosen in self.current.items()}
        return Catalogue.of(topics, self.schemas.values(), versions)

    def newest(self, record: str) -> AvroSchema:
        """Return the version of the record that is written.

        Raises:
            CatalogueError: There is no such record.
        """
        schema = self.current.get(record)
        if schema is None:
            raise CatalogueError(f"no record {record!r}; there are {sorted(self.current)}")
        return schema

    def schema_of(self, schema_id: int) -> AvroSchema:
        """Return the schema with that id.

        Raises:
            CatalogueError: There is no such id.
        """
        schema = self.schemas.get(schema_id)
        if schema is None:
            raise CatalogueError(f"no schema has the id {schema_id}")
        return schema


def full_name(prefix: str, name: str) -> str:
    """Return the name of a topic on the cluster.

    >>> full_name("pilot.", "transfers")
    'pilot.transfers'
    """
    return prefix + name


def digest(schema_text: str) -> Digest:
    """Return the SHA-256 of a schema, without its layout and its docs: words may be improved."""
    bare = json.dumps(_without_docs(json.loads(schema_text)), sort_keys=True)
    return Digest(hashlib.sha256(bare.encode()).hexdigest())


def published_digests() -> dict[int, Digest]:
    """Return the digest under which each shipped schema id was published."""
    return {entry["id"]: Digest(entry["digest"]) for entry in _data()["schemas"]}


@cache
def shipped() -> Catalogue:
    """Return the catalogue this release ships."""
    data = _data()
    avro = files("schemas").joinpath("avro")
    schemas = [
        AvroSchema(
            record=entry["record"],
            version=entry["version"],
            schema_id=entry["id"],
            text=avro.joinpath(f"{entry['record']}.v{entry['version']}.avsc").read_text("utf-8"),
        )
        for entry in data["schemas"]
    ]
    return Catalogue.of((_topic(**topic) for topic in data["topics"]), schemas, data["current"])


def used() -> Catalogue:
    """Return the catalogue of this process: the shipped one, unless `use` has said otherwise."""
    return _used[-1] if _used else shipped()


def use(catalogue: Catalogue | None) -> None:
    """Let this process write and read by a catalogue from now on; None is the shipped one.

    It is for the start of a process: what was encoded before keeps its ids.
    """
    _used[:] = [] if catalogue is None else [catalogue]


def schema_id(record: str) -> int:
    """Return the id of the record's current version in the shipped catalogue."""
    return shipped().newest(record).schema_id


def schema_of(schema_id: int) -> AvroSchema:
    """Return the schema with that id in the shipped catalogue."""
    return shipped().schema_of(schema_id)


def __getattr__(name: str) -> Mapping[str, Topic]:
    """Give `TOPICS` on first use: nothing is read at import."""
    if name == "TOPICS":
        return shipped().topics
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _data() -> dict[str, Any]:
    text = files("schemas").joinpath("catalogue.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def _topic(*, headers: Iterable[Mapping[str, Any]] = (), **said: Any) -> Topic:
    return Topic(headers=tuple(Header(**header) for header in headers), **said)


def _without_docs(node: object) -> object:
    if isinstance(node, dict):
        return {key: _without_docs(value) for key, value in node.items() if key != "doc"}
    if isinstance(node, list):
        return [_without_docs(item) for item in node]
    return node
