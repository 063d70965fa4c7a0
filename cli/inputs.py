"""What a load is made of: files of two kinds or a query, the mappings that read them, and factors.

Everything is read and checked before anything is started, so that a misspelt name costs a second
and not a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.parsing import Failure, Many
from cli.pseudonym import read_pseudonyms, told

if TYPE_CHECKING:
    from carbon.factors import Factor
    from producers.checkpoint import Checkpoint
    from producers.client.columns import CarbonflowProducer
    from producers.load import Feed, Progress
    from producers.pseudonyms import Pseudonyms
    from producers.rules import FileMapping

F = TypeVar("F", bound=Callable[..., Any])

RELEASE = "release:2026.1"
CHECKED_MAX = 100
"""So many files of a kind are looked into before anything is started; a bucket may have more."""
_RECORDS = {"charging_session": "charging", "freight_trip": "freight"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files of one kind or a query, the mapping that reads it, and its pseudonyms if any."""

    feeds: tuple[Feed, ...]
    mapping: FileMapping
    pseudonyms: Pseudonyms | None


class Place(click.ParamType):
    """A file, a folder, a pattern or an address; of a file that is not there it says so at once."""

    name = "file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word, or say what is wrong with it."""
        from producers.locations import PATTERN, is_url

        if not is_url(value) and not PATTERN.search(value) and not Path(value).exists():
            self.fail(f"File {value!r} does not exist.", param, ctx)
        return value


PLACE = Place()


def file_options(function: F) -> F:
    """Add `--charging`, `--freight` and `--mapping`."""
    for option in (
        click.option(
            "--mapping",
            "mappings",
            cls=Many,
            multiple=True,
            metavar="NAME|FILE...",
            help="How to read them: acn-data, india-hcv or TOML files; one for each kind.",
        ),
        click.option(
            "--freight",
            cls=Many,
            multiple=True,
            metavar="FILE...",
            type=PLACE,
            help="Freight trips: CSV, JSON Lines or Parquet; folders, patterns, s3:// too.",
        ),
        click.option(
            "--charging",
            cls=Many,
            multiple=True,
            metavar="FILE...",
            type=PLACE,
            help="Charging sessions: CSV, JSON Lines or Parquet; folders, patterns, s3:// too.",
        ),
    ):
        function = option(function)
    return function


def factor_option(function: F) -> F:
    """Add `--factors`."""
    return click.option(
        "--factors",
        "specs",
        cls=Many,
        multiple=True,
        metavar="SPEC...",
        help="Factors beside release 2026.1: electricity-maps:FILE, csv:FILE or release:NAME.",
    )(function)


def read_inputs(
    charging: Sequence[str], freight: Sequence[str], mappings: Sequence[str]
) -> tuple[Inputs, ...]:
    """Return what is to be loaded from files.

    Raises:
        click.UsageError: Files lack a mapping, a mapping lacks files, a kind has two mappings, or
            there is no such mapping.
        Failure: A mapping cannot be read, a file not with its mapping, or keys are missing.
    """
    from producers.files import UnreadableFileError, check_file
    from producers.load import FileFeed
    from producers.locations import LocationError, found
    from producers.tables import MappingError

    files = {"charging": tuple(charging), "freight": tuple(freight)}
    if not any(files.values()):
        raise click.UsageError("nothing to load: give --charging or --freight files")
    by_kind: dict[str, FileMapping] = {}
    for name in mappings:
        mapping = read_mapping(name)
        kind = _RECORDS[mapping.record]
        if kind in by_kind:
            raise click.UsageError(f"two mappings for {kind} files: give one")
        if not files[kind]:
            raise click.UsageError(f"mapping {name} reads {kind} files, and there is no --{kind}")
        by_kind[kind] = mapping
    for kind, words in files.items():
        if words and kind not in by_kind:
            raise click.UsageError(f"--{kind} needs a --mapping that makes {kind} records")
    inputs = []
    for kind, mapping in by_kind.items():
        pseudonyms = _pseudonyms_of(mapping)
        try:
            sources = {one.name: one for word in files[kind] for one in found(word)}.values()
            for source in islice(sources, CHECKED_MAX):
                check_file(source, mapping, pseudonyms)
        except (LocationError, UnreadableFileError, MappingError) as error:
            raise Failure(str(error)) from error
        inputs.append(Inputs(tuple(map(FileFeed, sources)), mapping, pseudonyms))
    return tuple(inputs)


def read_query(address: str, query: str, cursor: str, mappings: Sequence[str]) -> Inputs:
    """Return a query that is to be loaded.

    Args:
        address: Of the database.
        query: The query, or a file that ends in .sql and has it.
        cursor: A column that only grows, or nothing.
        mappings: One.

    Raises:
        click.UsageError: There is not one mapping, or it is not known.
        Failure: The file cannot be read, the database not asked, or keys are missing.
    """
    from producers.queries import QueryError, QueryFeed
    from producers.tables import MappingError

    if len(mappings) != 1:
        raise click.UsageError("--query needs one --mapping, which says what its rows become")
    mapping = read_mapping(mappings[0])
    name = f"{mapping.name}.sql"
    if query.endswith(".sql"):
        name = query
        try:
            query = Path(query).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{name}: {error}") from error
    feed = QueryFeed(address, query, name, cursor)
    try:
        feed.check(mapping)
    except (QueryError, MappingError) as error:
        raise Failure(str(error)) from error
    return Inputs((feed,), mapping, _pseudonyms_of(mapping))


def read_mapping(name: str) -> FileMapping:
    """Return a mapping that is shipped, or that of a file.

    Raises:
        click.UsageError: There is none.
        Failure: It cannot be used.
    """
    from producers.mapping import load_mapping
    from producers.tables import MappingError

    try:
        return load_mapping(name)
    except (MappingError, OSError) as error:
        wrong = Failure if Path(name).is_file() else click.UsageError
        raise wrong(f"mapping {name}: {error}") from error


def _pseudonyms_of(mapping: FileMapping) -> Pseudonyms | None:
    """Return what replaces the natural ids of a mapping, None where it has none.

    Raises:
        Failure: The keys cannot be read, or the programme that the mapping names has none.
    """
    if not mapping.natural_columns:
        return None
    pseudonyms = read_pseudonyms()
    (programme,) = (field for field in mapping.fields if field.target.name == "programme")
    if not programme.columns:
        with told():
            pseudonyms.check(str(programme.rules[0].constant))
    return pseudonyms


def read_factors(specs: Sequence[str]) -> list[Factor]:
    """Return the factors of some specs, in their order.

    Raises:
        click.UsageError: A spec has none of the known forms.
        Failure: Its file cannot be read.
    """
    from producers.factors.errors import FactorSourceError, FactorSpecError
    from producers.factors.spec import load_factors

    factors: list[Factor] = []
    for spec in specs:
        try:
            factors += load_factors(spec)
        except FactorSpecError as error:
            raise click.UsageError(str(error)) from error
        except (FactorSourceError, OSError) as error:
            raise Failure(str(error)) from error
    return factors


async def send_files(
    inputs: Sequence[Inputs],
    producer: CarbonflowProducer,
    progress: Callable[[Progress], None],
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, Any]]:
    """Send all rows; return for each kind what became of them.

    Raises:
        Failure: A file cannot be read, or a database not asked.
    """
    from producers.checkpoint import CheckpointError
    from producers.files import UnreadableFileError
    from producers.load import load
    from producers.queries import QueryError
    from producers.tables import MappingError

    results: list[dict[str, Any]] = []
    for part in inputs:
        try:
            loaded = await load(
                part.feeds,
                mapping=part.mapping,
                producer=producer,
                progress=progress,
                pseudonyms=part.pseudonyms,
                checkpoint=checkpoint,
            )
        except (
            *(UnreadableFileError, MappingError, QueryError, CheckpointError, OSError),
        ) as error:
            raise Failure(str(error)) from error
        result: dict[str, Any] = {
            "mapping": part.mapping.name,
            "rows": loaded.rows,
            "sent": loaded.sent,
            "refused": dict(loaded.refused),
        }
        if checkpoint is not None:
            result |= {"done_before": loaded.done_before, "gone_on": loaded.gone_on}
        results.append(result)
    return results
