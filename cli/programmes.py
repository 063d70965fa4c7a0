"""Which programmes are loaded here: the shipped ones and the files of CARBONFLOW_PROGRAMMES."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.broker import settings_of
from cli.parsing import Failure

if TYPE_CHECKING:
    from carbon.programmes import Programme


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeSettings:
    """Files of programmes beside the shipped ones, as the workers have them."""

    programmes: tuple[str, ...] = ()


def read_programmes() -> Mapping[str, Programme]:
    """Return the programmes by name.

    Raises:
        Failure: A file cannot be read, or is no programme.
    """
    from carbon.programmes import ProgrammeError
    from producers.programmes.load import load_programmes

    files = settings_of(ProgrammeSettings).programmes
    try:
        return load_programmes([Path(name) for name in files])
    except (ProgrammeError, OSError, UnicodeDecodeError) as error:
        raise Failure(f"CARBONFLOW_PROGRAMMES: {error}") from error
