"""The plain example of each record: a usual value, and the bytes it is on the wire.

They are the files `examples/<record>/plain.valid.json`, which every reader and writer is tested
with; documents and pages show them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from schemas.catalogue import shipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """One record as its fields, and framed."""

    why: str
    value: Mapping[str, Any]
    """Fields by name; bytes are written in hexadecimal, instants as int milliseconds."""
    wire: bytes


@cache
def plain_examples() -> Mapping[str, Plain]:
    """Return the example of each record of the shipped catalogue."""
    folder = files("schemas").joinpath("examples")
    return MappingProxyType(
        {
            record: _plain(folder.joinpath(record, "plain.valid.json").read_text("utf-8"))
            for record in shipped().current
        }
    )


def _plain(text: str) -> Plain:
    said = json.loads(text)
    return Plain(why=said["why"], value=said["value"], wire=bytes.fromhex(said["hex"]))
