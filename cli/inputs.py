"""What a load is made of: files of two kinds, the mappings that read them, and factors.

Everything is read and checked before anything is started, so that a misspelt name costs a second
and not a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.parsing import Failure, Many
from cli.pseudonym import read_pseudonyms, told

if TYPE_CHECKING:
    from carbon.factors import Factor
    from producers.client.columns import CarbonflowProducer
    from producers.load import Progress
    from producers.pseudonyms import Pseudonyms
    from producers.rules import FileMapping

F = TypeVar("F", bound=Callable[..., Any])

RELEASE = "release:2026.1"
_RECORDS = {"charging_session": "charging", "freight_trip": "freight"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files of one kind, the mapping that reads them, and its pseudonyms if it has any."""

    paths: tuple[Path, ...]
    mapping: FileMapping
    pseudonyms: Pseudonyms | None


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
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Freight trips: CSV, JSON Lines or Parquet.",
        ),
        click.option(
            "--charging",
            cls=Many,
            multiple=True,
            metavar="FILE...",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Charging sessions: CSV, JSON Lines or Parquet.",
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
    charging: Sequence[Path], freight: Sequence[Path], mappings: Sequence[str]
) -> tuple[Inputs, ...]:
    """Return what is to be loaded.

    Raises:
        click.UsageError: Files lack a mapping, a mapping lacks files, a kind has two mappings, or
            there is no such mapping.
        Failure: A mapping cannot be read, a file not with its mapping, or keys are missing.
    """
    from producers.files import UnreadableFileError, check_file
    from producers.mapping import load_mapping
    from producers.tables import MappingError

    files = {"charging": tuple(charging), "freight": tuple(freight)}
    if not any(files.values()):
        raise click.UsageError("nothing to load: give --charging or --freight files")
    by_kind: dict[str, FileMapping] = {}
    for name in mappings:
        try:
            mapping = load_mapping(name)
        except (MappingError, OSError) as error:
            wrong = Failure if Path(name).is_file() else click.UsageError
            raise wrong(f"mapping {name}: {error}") from error
        kind = _RECORDS[mapping.record]
        if kind in by_kind:
            raise click.UsageError(f"two mappings for {kind} files: give one")
        if not files[kind]:
            raise click.UsageError(f"mapping {name} reads {kind} files, and there is no --{kind}")
        by_kind[kind] = mapping
    for kind, paths in files.items():
        if paths and kind not in by_kind:
            raise click.UsageError(f"--{kind} needs a --mapping that makes {kind} records")
    inputs = tuple(
        Inputs(files[kind], mapping, _pseudonyms_of(mapping)) for kind, mapping in by_kind.items()
    )
    for part in inputs:
        for path in part.paths:
            try:
                check_file(path, part.mapping, part.pseudonyms)
            except (UnreadableFileError, MappingError) as error:
                raise Failure(str(error)) from error
    return inputs


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
    inputs: Sequence[Inputs], producer: CarbonflowProducer, progress: Callable[[Progress], None]
) -> list[dict[str, Any]]:
    """Send all files; return for each kind what became of its rows.

    Raises:
        Failure: A file cannot be read.
    """
    from producers.files import UnreadableFileError
    from producers.load import load_files
    from producers.tables import MappingError

    results: list[dict[str, Any]] = []
    for part in inputs:
        try:
            loaded = await load_files(
                part.paths,
                mapping=part.mapping,
                producer=producer,
                progress=progress,
                pseudonyms=part.pseudonyms,
            )
        except (UnreadableFileError, MappingError, OSError) as error:
            raise Failure(str(error)) from error
        results.append(
            {
                "mapping": part.mapping.name,
                "rows": loaded.rows,
                "sent": loaded.sent,
                "refused": dict(loaded.refused),
            }
        )
    return results
