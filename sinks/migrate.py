"""Migrations: numbered SQL files, each applied once and never changed afterwards.

`migrate` brings a database to the newest version and may be run any number of times. Applied
versions are recorded with the digest of their text in `migrations`; a file that differs from what
was applied stops it before anything is done, and so does a database that is newer than the files.
Statements are written so that a migration cut off in the middle can be run again (`IF NOT EXISTS`,
`OR REPLACE`).

The files name plain `ReplacingMergeTree`. With `replicated` the replicated engine of the same
family is created; its path comes from the server's `default_replica_path`, and the database should
use the `Replicated` engine, which carries the statements to the other replicas.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template

from sinks.connect import Client, database_name

_NAME = re.compile(r"(\d{4})_[a-z_]+\.sql")
_ENGINE = "ENGINE = ReplacingMergeTree"
_REPLICATED = "ENGINE = ReplicatedReplacingMergeTree"
_RECORDS = """
CREATE TABLE IF NOT EXISTS ${database}.migrations
(version UInt32, name String, digest String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = ReplacingMergeTree ORDER BY version
"""


class MigrationError(Exception):
    """The files and the database disagree; a person has to look."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name and its text."""

    version: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text as it is written, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def shipped() -> tuple[Migration, ...]:
    """Return the migrations of this release, in order.

    Raises:
        MigrationError: A name is malformed, or the numbers are not 1, 2, 3, ...
    """
    found = []
    for entry in (resources.files("sinks") / "migrations").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(entry.name)
        if match is None:
            raise MigrationError(f"{entry.name}: a migration is named like 0001_what.sql")
        found.append(Migration(int(match[1]), entry.name, entry.read_text("utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError("migrations are not numbered 1, 2, 3, ... without a gap")
    return tuple(found)


def migrate(
    client: Client,
    *,
    database: str = "carbonflow",
    replicated: bool = False,
    migrations: Sequence[Migration] | None = None,
) -> tuple[int, ...]:
    """Bring `database` to the newest version; create it if it isn't there.

    Args:
        client: Client to the store.
        database: Name of the database.
        replicated: Create replicated tables.
        migrations: The migrations, by default those of this release.

    Returns:
        The versions applied now; empty if the database was up to date.

    Raises:
        MigrationError: An applied migration has changed, or the database is newer than the files.
    """
    files = shipped() if migrations is None else tuple(migrations)
    database_name(database)
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.command(rendered(_RECORDS, database=database, replicated=replicated))
    applied = _applied(client, database)
    _compare(files, applied)
    done = []
    for migration in files:
        if migration.version in applied:
            continue
        for statement in statements(migration.text):
            client.command(rendered(statement, database=database, replicated=replicated))
        client.command(
            f"INSERT INTO {database}.migrations (version, name, digest) "
            "SELECT {version:UInt32}, {name:String}, {digest:String}",
            parameters={
                "version": migration.version,
                "name": migration.name,
                "digest": migration.digest,
            },
        )
        done.append(migration.version)
    return tuple(done)


def pending(client: Client, *, database: str = "carbonflow") -> tuple[int, ...]:
    """Return the versions of this release that `database` still lacks.

    Raises:
        MigrationError: An applied migration has changed, or the database is newer than the files.
        StoreError: There is no such database.
    """
    files = shipped()
    applied = _applied(client, database_name(database))
    _compare(files, applied)
    return tuple(file.version for file in files if file.version not in applied)


def statements(text: str) -> tuple[str, ...]:
    """Return the statements of a migration, without comments; each ends with `;` at a line's end.

    >>> statements("-- why\\nCREATE TABLE a (x Int8);\\n\\nDROP TABLE b;\\n")
    ('CREATE TABLE a (x Int8)', 'DROP TABLE b')
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return tuple(
        part.strip() for part in re.split(r";\s*$", "\n".join(lines), flags=re.M) if part.strip()
    )


def rendered(statement: str, *, database: str, replicated: bool) -> str:
    """Return a statement of a migration as it is run."""
    sql = Template(statement).substitute(database=database)
    return sql.replace(_ENGINE, _REPLICATED) if replicated else sql


def _applied(client: Client, database: str) -> dict[int, str]:
    rows = client.query(
        f"SELECT version, digest FROM {database}.migrations FINAL ORDER BY version"
    ).result_rows
    return {int(version): str(digest) for version, digest in rows}


def _compare(files: Sequence[Migration], applied: dict[int, str]) -> None:
    for file in files:
        if file.version in applied and applied[file.version] != file.digest:
            raise MigrationError(
                f"{file.name} has changed since it was applied; "
                "put the old text back and write a new migration"
            )
    known = {file.version for file in files}
    newer = sorted(set(applied) - known)
    if newer:
        raise MigrationError(
            f"the database has migrations {newer} this release does not know; use a newer release"
        )
