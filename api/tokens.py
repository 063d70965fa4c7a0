"""Tokens: who asks the API, told by a bearer token whose SHA-256 stands in a file.

    [[tokens]]
    name = "app of driver 7"
    scope = "account:driver-7"
    sha256 = "..."

A scope is `account:ID`, `programme:NAME`, `operator` or `send:SENDER`. A token is 256 random bits,
so that its plain SHA-256 tells nothing; the token itself is in no file of ours, no log and no
message.

Looking one up takes as long whoever asks: digests are known by a keyed hash of their own, with a
key that is made anew in each process, so that the time of a look-up says nothing about the digests
in the file; and what is found, or a digest that is nobody's, is compared in constant time.
"""

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from api.access import KINDS, Access

PREFIX: Final = "cf_"
"""Begins each token, so that scanners for leaked secrets can know it."""
RANDOM_BYTES: Final = 32

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = frozenset({"name", "scope", "sha256"})


class TokensError(ValueError):
    """The file of tokens cannot be read; the message says where, and shows no digest."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token that is let in.

    Attributes:
        name: Whose it is, for people.
        access: What it may see.
        digest: SHA-256 of the token.
    """

    name: str
    access: Access
    digest: bytes = field(repr=False)


class Tokens:
    """Tokens that are let in."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        """Take them; two of one digest or one name are refused.

        Raises:
            TokensError: Two are the same, or there are none.
        """
        self._key = secrets.token_bytes(32)
        self._tokens: dict[bytes, Token] = {}
        names = set[str]()
        for token in tokens:
            if token.name in names:
                raise TokensError(f"two tokens have the name {token.name!r}")
            names.add(token.name)
            if self._tokens.setdefault(self._place(token.digest), token) is not token:
                raise TokensError(f"the token of {token.name!r} is also another's")
        if not names:
            raise TokensError("there are no tokens")
        self._nobody = Token("", Access("account", "nobody"), secrets.token_bytes(32))

    def __len__(self) -> int:
        return len(self._tokens)

    def find(self, token: bytes) -> Token | None:
        """Return whose token it is, None if it is nobody's."""
        digest = hashlib.sha256(token).digest()
        found = self._tokens.get(self._place(digest), self._nobody)
        return found if hmac.compare_digest(found.digest, digest) else None

    def _place(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, digest_size=16, key=self._key).digest()


def new_token() -> str:
    """Return a token that nobody has."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def entry_of(token: str, *, name: str, scope: str) -> str:
    """Return the lines that let a token in.

    Raises:
        TokensError: There is no such scope, or the name is empty.
    """
    digest = hashlib.sha256(token.encode()).hexdigest()
    entry = {"name": name, "scope": scope, "sha256": digest}
    _token(entry)
    lines = (f"{key} = {_quoted(value)}\n" for key, value in entry.items())
    return "[[tokens]]\n" + "".join(lines)


def read_tokens(path: Path) -> Tokens:
    """Return the tokens of a file.

    Raises:
        TokensError: It cannot be read, or is no file of tokens.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TokensError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # UnicodeDecodeError and TOMLDecodeError are such.
        raise TokensError(f"{path} is no TOML: {error}") from error
    try:
        return Tokens(_entries(found))
    except TokensError as error:
        raise TokensError(f"{path}: {error}") from error


def access_in(scope: str) -> Access:
    """Return what a scope reaches.

    Raises:
        TokensError: There is no such scope.

    >>> access_in("account:driver-7")
    Access(kind='account', subject='driver-7')
    """
    word, _, subject = scope.partition(":")
    if scope == "operator":
        return Access("operator")
    for kind in KINDS:
        if word == kind != "operator" and subject:
            return Access(kind, subject)
    raise TokensError(f"{scope!r} is no scope: account:ID, programme:NAME, send:SENDER or operator")


def _entries(found: Mapping[str, Any]) -> Iterable[Token]:
    entries = found.get("tokens", [])
    if found.keys() - {"tokens"} or not isinstance(entries, list):
        raise TokensError("it holds [[tokens]] and nothing else")
    for number, entry in enumerate(entries, start=1):
        try:
            yield _token(entry)
        except TokensError as error:
            raise TokensError(f"token {number}: {error}") from error


def _token(entry: object) -> Token:
    if not isinstance(entry, dict) or entry.keys() != _KEYS:
        raise TokensError(f"it has {', '.join(sorted(_KEYS))} and nothing else")
    if not all(isinstance(value, str) and value.strip() for value in entry.values()):
        raise TokensError("its values are texts that are not empty")
    if not _DIGEST.fullmatch(entry["sha256"]):
        raise TokensError("sha256 is 64 hexadecimal digits in lower case")
    return Token(entry["name"], access_in(entry["scope"]), bytes.fromhex(entry["sha256"]))


def _quoted(text: str) -> str:
    """Return a text as a TOML string.

    >>> print(_quoted('a "b"'))
    "a \\"b\\""
    """
    escaped = "".join(
        f"\\{char}" if char in '"\\' else char if char.isprintable() else f"\\U{ord(char):08X}"
        for char in text
    )
    return f'"{escaped}"'
