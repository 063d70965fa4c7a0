"""Key file: the keys of pseudonyms, by programme, in a TOML that only its owner reads.

    [[cn-charging]]
    id = 1
    created = 2026-03-01
    secret = "<32 bytes in base64>"
    known = "keys.cn-charging.1.txt"     # once there is a newer key: the accounts of this one
    known_sha256 = "<of that file>"

    [[cn-charging]]
    id = 2
    created = 2027-03-01
    secret = "<32 bytes in base64>"

A list of known accounts lies beside the file, one pseudonym a line. Its digest is in the file,
because an account that is missing from it would become a second account of the same person.
A forgotten key keeps its id and has `forgotten`, a date, in place of its secret: ids of keys are
never used twice. `KeyFileError` says what is wrong and never shows a secret.

The file is replaced as a whole, so that a reader sees the old one or the new one. While a new one
is being written its name with `.new` is taken, so that two commands don't undo each other.
"""

import base64
import binascii
import hashlib
import json
import os
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from producers.pseudonyms import PSEUDONYM, SECRET_BYTES, Key

HEADER: Final = (
    "# Keys of pseudonyms, written by `carbonflow pseudonym`. Whoever has them can tell whose an\n"
    "# account is; whoever loses them can never add to one again. Keep a copy in another place.\n"
)
ENTRY_KEYS: Final = frozenset({"id", "created", "secret", "known", "known_sha256", "forgotten"})
MODE_FORBIDDEN: Final = stat.S_IWGRP | stat.S_IRWXO
"""A group may read: so Kubernetes hands a secret to a process that is not root."""


class KeyFileError(ValueError):
    """The file can't be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key as it stands in the file, its list of accounts not read yet."""

    number: int
    created: date
    secret: bytes | None
    known: str | None = None
    known_sha256: str | None = None
    forgotten: date | None = None


Entries = Mapping[str, tuple[Entry, ...]]


def read_keys(path: Path) -> dict[str, tuple[Key, ...]]:
    """Return the keys of each programme, the newest last.

    Raises:
        KeyFileError: The file can't be read, others may read it, or it is no key file.
    """
    return {
        programme: tuple(
            Key(
                number=entry.number,
                created=entry.created,
                secret=entry.secret,
                known=_known(path, entry),
            )
            for entry in entries
        )
        for programme, entries in read_entries(path).items()
    }


def read_entries(path: Path) -> Entries:
    """Return what stands in the file, checked.

    Raises:
        KeyFileError: As `read_keys`.
    """
    try:
        with path.open("rb") as file:
            _check_access(path, os.fstat(file.fileno()))
            values = tomllib.load(file)
    except OSError as wrong:
        raise KeyFileError(f"{path}: {wrong.strerror}") from wrong
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        # Not chained: a message about TOML could show the line with the secret.
        del wrong
        raise KeyFileError(f"{path}: it is not TOML") from None
    return {programme: _entries(f"{path}: {programme}", some) for programme, some in values.items()}


def with_new_key(
    path: Path, entries: Entries, *, programme: str, secret: bytes, created: date, known: list[str]
) -> int:
    """Give a programme a new key, and the one before it the list of its accounts.

    Args:
        path: The key file; made where missing.
        entries: What stands in it.
        programme: Whose key it is.
        secret: The key.
        created: Today.
        known: Pseudonyms that keep their keys, in any order; none for the first key.

    Returns:
        The number of the key.

    Raises:
        KeyFileError: A line is no pseudonym of a key the programme has, or the file can't be
            written.
    """
    old = entries.get(programme, ())
    lists: dict[int, set[str]] = {entry.number: set() for entry in old}
    for line, text in enumerate(known, start=1):
        found = PSEUDONYM.fullmatch(text)
        if found is None or int(found[1]) not in lists:
            raise KeyFileError(f"line {line} of the accounts is no pseudonym of {programme!r}")
        lists[int(found[1])].add(text)
    kept = list(old[:-1])
    if old:
        kept.append(_retired(path, programme, old[-1], lists[old[-1].number]))
    number = old[-1].number + 1 if old else 1
    entry = Entry(number=number, created=created, secret=secret)
    write_entries(path, {**entries, programme: (*kept, entry)})
    return number


def without_secret(
    path: Path, entries: Entries, *, programme: str, number: int, forgotten: date
) -> None:
    """Forget a key: its secret leaves the file.

    Raises:
        KeyFileError: There is no such key, or the file can't be written.
    """
    old = entries.get(programme, ())
    if number not in [entry.number for entry in old if entry.secret is not None]:
        raise KeyFileError(f"{path}: programme {programme!r} has no key {number}")
    kept = tuple(
        Entry(number=entry.number, created=entry.created, secret=None, forgotten=forgotten)
        if entry.number == number
        else entry
        for entry in old
    )
    write_entries(path, {**entries, programme: kept})


def write_entries(path: Path, entries: Entries) -> None:
    """Replace the file.

    Raises:
        KeyFileError: It can't be written, or is being written.
    """
    lines = [HEADER]
    for programme, some in entries.items():
        lines += [f"\n[[{json.dumps(programme)}]]\n{''.join(_lines(entry))}" for entry in some]
    _replace(path, "".join(lines))


def _lines(entry: Entry) -> Iterator[str]:
    yield f"id = {entry.number}\ncreated = {entry.created}\n"
    if entry.secret is not None:
        yield f'secret = "{base64.b64encode(entry.secret).decode()}"\n'
    for name in ("known", "known_sha256"):
        if (text := getattr(entry, name)) is not None:
            yield f"{name} = {json.dumps(text)}\n"
    if entry.forgotten is not None:
        yield f"forgotten = {entry.forgotten}\n"


def _retired(path: Path, programme: str, entry: Entry, known: Iterable[str]) -> Entry:
    """Write the list of a key's accounts beside the file, and return the entry that names it."""
    if entry.secret is None:
        return entry
    word = "".join(c if c.isalnum() or c in "-_" else "_" for c in programme)
    name = f"{path.stem}.{word}.{entry.number}.txt"
    text = "".join(f"{pseudonym}\n" for pseudonym in sorted(known))
    _replace(path.with_name(name), text)
    return Entry(
        number=entry.number,
        created=entry.created,
        secret=entry.secret,
        known=name,
        known_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except FileExistsError:
        raise KeyFileError(f"{new} is there: another command writes, or was cut off") from None
    except OSError as wrong:
        raise KeyFileError(f"{path}: {wrong.strerror}") from wrong


def _check_access(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise KeyFileError(f"{path}: it belongs to another user")
    if found.st_mode & MODE_FORBIDDEN:
        mode = stat.S_IMODE(found.st_mode)
        raise KeyFileError(f"{path}: others may use it (mode {mode:04o}); chmod 600 puts it right")


def _entries(where: str, some: object) -> tuple[Entry, ...]:
    if not isinstance(some, list) or not some:
        raise KeyFileError(f"{where}: keys are written [[programme]]")
    entries = tuple(_entry(where, values) for values in some)
    numbers = [entry.number for entry in entries]
    if numbers != sorted(set(numbers)):
        raise KeyFileError(f"{where}: ids must rise")
    for entry in entries[:-1]:
        if entry.secret is not None and entry.known is None:
            raise KeyFileError(f"{where}: key {entry.number} is retired and lacks `known`")
    if entries[-1].known is not None:
        raise KeyFileError(f"{where}: the newest key can't have `known`")
    return entries


def _entry(where: str, values: object) -> Entry:
    if not isinstance(values, dict) or not values.keys() <= ENTRY_KEYS:
        raise KeyFileError(f"{where}: a key has {', '.join(sorted(ENTRY_KEYS))} and nothing else")
    number, created, forgotten = (values.get(name) for name in ("id", "created", "forgotten"))
    if type(number) is not int or number < 1:
        raise KeyFileError(f"{where}: id must be a whole number above 0")
    known, known_sha256 = values.get("known"), values.get("known_sha256")
    texts = [text for text in (known, known_sha256) if isinstance(text, str)]
    if type(created) is not date or not (forgotten is None or type(forgotten) is date):
        raise KeyFileError(f"{where}: created and forgotten must be dates such as 2026-03-01")
    if len(texts) != 2 * (known is not None or known_sha256 is not None):
        raise KeyFileError(f"{where}: known and known_sha256 must be texts, both of them")
    if texts and Path(texts[0]).name != texts[0]:
        raise KeyFileError(f"{where}: known must be the name of a file beside this one")
    if ("secret" in values) == (forgotten is not None):
        raise KeyFileError(f"{where}: key {number} needs its secret, or the day it was forgotten")
    return Entry(
        number=number,
        created=created,
        secret=_secret(where, values["secret"]) if "secret" in values else None,
        known=known,
        known_sha256=known_sha256,
        forgotten=forgotten,
    )


def _secret(where: str, text: object) -> bytes:
    try:
        secret = base64.b64decode(str(text), validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise KeyFileError(f"{where}: a secret is {SECRET_BYTES} bytes in base64")
    return secret


def _known(path: Path, entry: Entry) -> frozenset[str] | None:
    if entry.known is None or entry.secret is None:
        return None
    file = path.with_name(entry.known)
    try:
        text = file.read_bytes()
    except OSError as wrong:
        raise KeyFileError(f"{file}: {wrong.strerror}") from wrong
    if hashlib.sha256(text).hexdigest() != entry.known_sha256:
        raise KeyFileError(f"{file}: it is not the list that key {entry.number} was retired with")
    return frozenset(text.decode("ascii").split())
