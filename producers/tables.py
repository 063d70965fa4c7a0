"""Tables: a table of a mapping's TOML that can say where it is wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn


class MappingError(ValueError):
    """The mapping can't be used; the message says where and why."""


def like(wrong: str, known: Iterable[str]) -> str:
    """Return a hint where the wrong word resembles a known one."""
    near = get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the TOML with the place it stands at, so that each complaint can name it."""

    values: Mapping[str, object]
    where: str

    def wrong(self, why: str) -> NoReturn:
        raise MappingError(f"{self.where}: {why}")

    def only(self, known: Iterable[str]) -> None:
        for key in self.values:
            if key not in known:
                self.wrong(f"unknown key {key!r}{like(key, known)}")

    def text(self, key: str, default: str) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            self.wrong(f"{key} must be a string")
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return a string or a list of strings as a tuple; never an empty one."""
        value = self.values.get(key, default)
        many = (value,) if isinstance(value, str) else value
        if not isinstance(many, list | tuple) or not many:
            self.wrong(f"{key} must be a string or a list of strings")
        if not all(isinstance(item, str) for item in many):
            self.wrong(f"{key} must hold strings only")
        return tuple(many)

    def truth(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            self.wrong(f"{key} must be true or false")
        return value
