"""Pages that show a file or a folder of the repository as it is."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

_LANGUAGES: Final = {
    ".avsc": "json",
    ".go": "go",
    ".java": "java",
    ".js": "javascript",
    ".json": "json",
    ".py": "python",
    ".sql": "sql",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
SHOWN_BYTES_MAX: Final = 200_000
_PICTURES: Final = {".png", ".svg", ".webp"}
_MADE: Final = {"__pycache__", "node_modules", "target"}


def is_shown(source: Path) -> bool:
    """Return whether a page can show a file: a text that is not too long to read, no picture."""
    content = source.read_bytes()
    if source.suffix in _PICTURES or len(content) > SHOWN_BYTES_MAX:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def file_page(path: PurePosixPath, source: Path) -> str:
    """Return the page that shows a text file.

    Args:
        path: Its name in the repository.
        source: Where it lies.

    Raises:
        UnicodeDecodeError: It is no text in UTF-8.
    """
    text = source.read_text("utf-8")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    language = _LANGUAGES.get(path.suffix, "text")
    return f"# {path.name}\n\n`{path}`\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"


def folder_page(path: PurePosixPath, source: Path) -> str:
    """Return the page that lists what is in a folder of the repository.

    Args:
        path: Its name in the repository.
        source: Where it lies.
    """
    inside = sorted(
        (each for each in source.iterdir() if each.name[0] not in "._" and each.name not in _MADE),
        key=lambda each: (each.is_file(), each.name),
    )
    lines = [f"* [`{each.name}{'' if each.is_file() else '/'}`]({each.name})" for each in inside]
    return f"# {path.name}\n\n`{path}/`\n\n" + "\n".join(lines) + "\n"
