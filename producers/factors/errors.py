"""What can be wrong with a source of factors.

    ValueError
    └── FactorSourceError
        ├── FactorFileError    lines of a file are not factors; says which and why
        ├── FactorSpecError    the words that name a source are not understood
        └── ReleaseError       a shipped release is unknown or is not what its digest says

    UserWarning
    └── FactorGap              hours are missing from an hourly file; they get no factor

A source with an error yields no factor at all: half a table would shift matches to fallbacks
without a word.
"""

from dataclasses import dataclass
from typing import Final

LINES_SHOWN_MAX: Final = 20


class FactorSourceError(ValueError):
    """No factors come from this source."""


@dataclass(eq=False)
class FactorFileError(FactorSourceError):
    """Lines of a file are not factors.

    Attributes:
        file: Name of the file.
        lines: Line number and reason of each; line 0 is the file as a whole.
    """

    file: str
    lines: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        """Return one sentence a line, at most LINES_SHOWN_MAX of them."""
        shown = [
            f"{self.file}, line {line}: {reason}" if line else f"{self.file}: {reason}"
            for line, reason in self.lines[:LINES_SHOWN_MAX]
        ]
        if len(self.lines) > LINES_SHOWN_MAX:
            shown.append(f"... and {len(self.lines) - LINES_SHOWN_MAX} more")
        return "\n".join(shown)


class FactorSpecError(FactorSourceError):
    """The words that name a source are not understood."""


class ReleaseError(FactorSourceError):
    """A shipped release is unknown or is not what its digest says."""


class FactorGap(UserWarning):
    """Hours are missing from an hourly file; they get no factor."""
