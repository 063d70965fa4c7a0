"""Names: what regions, energy carriers, vehicle classes and kinds of factors are called.

In English and Chinese, in the file that the page shows them from, so that what can be read can be
searched for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from sinks.overview import FactorWord

WORDS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Names:
    """Names by code: all that a code may be searched by, in one text in lower case."""

    regions: Mapping[str, str]
    subjects: Mapping[str, str]
    kinds: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the names of a file."""
        found = json.loads(path.read_text("utf-8"))
        return cls(*(_lowered(found[part]) for part in ("regions", "subjects", "kinds")))

    def words(self, text: str) -> tuple[FactorWord, ...]:
        """Return the words of a search, and what each may mean; WORDS_MAX at most."""
        return tuple(
            FactorWord(
                text=word,
                regions=_with(self.regions, word),
                subjects=_with(self.subjects, word),
                kinds=_with(self.kinds, word),
            )
            for word in text.lower().split()[:WORDS_MAX]
        )


def _lowered(names: Mapping[str, list[str]]) -> dict[str, str]:
    return {code: "\n".join([code, *known]).lower() for code, known in names.items()}


def _with(names: Mapping[str, str], word: str) -> list[str]:
    return [code for code, known in names.items() if word in known]
