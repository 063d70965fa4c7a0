"""Commands about pseudonyms of accounts: their keys, and the pseudonym of one natural id."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from cli.broker import settings_of
from cli.parsing import Failure

if TYPE_CHECKING:
    from producers.pseudonyms import Pseudonyms

programme_option = click.option(
    "--programme", required=True, metavar="NAME", help="Programme whose key it is."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudonymSettings:
    """Where the keys are."""

    pseudonym_keys: Path | None = None


def key_file() -> Path:
    """Return the file of keys.

    Raises:
        Failure: The environment names none.
    """
    path = settings_of(PseudonymSettings).pseudonym_keys
    if path is None:
        raise Failure("CARBONFLOW_PSEUDONYM_KEYS names no key file")
    return path


def read_pseudonyms() -> Pseudonyms:
    """Return the pseudonyms of the keys there are.

    Raises:
        Failure: The key file cannot be used.
    """
    from producers.keyfile import read_keys
    from producers.pseudonyms import Pseudonyms

    with told():
        return Pseudonyms(read_keys(key_file()))


@contextmanager
def told() -> Iterator[None]:
    """Make a Failure of what is wrong with keys."""
    from producers.keyfile import KeyFileError
    from producers.pseudonyms import NoKeyError

    try:
        yield
    except (KeyFileError, NoKeyError) as error:
        raise Failure(str(error)) from error


@click.group()
def pseudonym() -> None:
    """Keys of pseudonyms, and the pseudonym of a natural id."""


@pseudonym.command(
    epilog="\b\nExamples:\n  carbonflow pseudonym new-key --programme cn-charging\n"
    "  carbonflow pseudonym new-key --programme cn-charging --known accounts.txt"
)
@programme_option
@click.option(
    "--known",
    type=click.File("r", lazy=True),
    metavar="FILE",
    help="Accounts that keep their key, one a line; - reads standard input. Needed from the second "
    "key on.",
)
def new_key(programme: str, known: TextIO | None) -> None:
    """Make a programme's first key, or replace its newest one.

    The accounts in FILE keep their pseudonyms, all others get one of the new key. FILE must have
    every account of the programme: stop its loads and wait until everything is booked, then list
    them from the store.
    """
    from producers.keyfile import read_entries, with_new_key
    from producers.pseudonyms import SECRET_BYTES

    path = key_file()
    with told():
        entries = read_entries(path) if path.exists() else {}
        if programme in entries and known is None:
            raise click.UsageError(
                f"{programme} has a key already: --known FILE says which accounts keep it"
            )
        if programme not in entries and known is not None:
            raise click.UsageError(f"--known: {programme} has no key yet that could be kept")
        number = with_new_key(
            path,
            entries,
            programme=programme,
            secret=secrets.token_bytes(SECRET_BYTES),
            created=datetime.now(UTC).date(),
            known=known.read().split() if known is not None else [],
        )
    print(f"{path}: key {number} of {programme}; keep a copy of the file in another place")


@pseudonym.command(
    epilog="\b\nExamples:\n  carbonflow pseudonym of --programme cn-charging DE-ABC-C12345678-9\n"
    "  carbonflow pseudonym of --programme cn-charging -"
)
@programme_option
@click.argument("natural_id")
def of(programme: str, natural_id: str) -> None:
    """Print the pseudonym of a natural id; - reads it from standard input.

    What is typed as an argument stays in the history of the shell, and other users of this machine
    can see it while the command runs.
    """
    if natural_id == "-":
        natural_id = sys.stdin.readline()
    natural_id = natural_id.strip()
    if not natural_id:
        raise click.UsageError("the natural id is empty")
    with told():
        print(read_pseudonyms().of(programme, natural_id))


@pseudonym.command(
    epilog="\b\nExample:\n  carbonflow pseudonym forget-key --programme cn-charging --key 1"
)
@programme_option
@click.option("--key", "number", required=True, type=click.IntRange(1), help="Number of the key.")
def forget_key(programme: str, number: int) -> None:
    """Forget a key for good: nobody can tell any more whose its accounts are.

    That is so once all copies of the file are gone, too. Who comes again gets a new account.
    """
    from producers.keyfile import read_entries, without_secret

    path = key_file()
    with told():
        without_secret(
            path,
            read_entries(path),
            programme=programme,
            number=number,
            forgotten=datetime.now(UTC).date(),
        )
    print(f"{path}: key {number} of {programme} is forgotten; destroy its copies, too")
