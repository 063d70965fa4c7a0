"""Which factors to use, said in one word: what `--factors` takes.

release:2026.1             a shipped release
electricity-maps:FILE      a yearly CSV of Electricity Maps
csv:FILE                   a table of one's own; a bare path that ends in .csv is one too
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from carbon.factors import Factor
from producers.factors.electricity_maps import read_electricity_maps
from producers.factors.errors import FactorSpecError
from producers.factors.release import load_release
from producers.factors.table import read_table

FORMS: Final = "release:NAME, electricity-maps:FILE, csv:FILE or a path ending in .csv"
# A misspelt scheme must not be taken for the name of a file.
_SCHEME: Final = re.compile(r"[a-z-]{2,}:")


_READERS: Final[Mapping[str, Callable[[str], list[Factor]]]] = {
    "release": lambda name: list(load_release(name).factors),
    "electricity-maps": lambda file: read_electricity_maps(Path(file)),
    "csv": lambda file: read_table(Path(file)),
}


def load_factors(spec: str) -> list[Factor]:
    """Return the factors that a spec names.

    Raises:
        FactorSpecError: The spec has none of the known forms.
        ReleaseError: There is no such release, or it is damaged.
        FactorFileError: The file is not what the spec says it is.

    >>> load_factors("release:2026.1")[0].region
    'CN'
    >>> load_factors("excel:factors.xls")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    producers.factors.errors.FactorSpecError: 'excel:factors.xls' is no source of factors; use ...
    """
    scheme, colon, rest = spec.partition(":")
    if colon and rest and scheme in _READERS:
        return _READERS[scheme](rest)
    if spec.lower().endswith(".csv") and not _SCHEME.match(spec):
        return read_table(Path(spec))
    raise FactorSpecError(f"{spec!r} is no source of factors; use {FORMS}")
