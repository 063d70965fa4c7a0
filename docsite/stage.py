"""The pages as the site has them: gathered in one folder, their links among each other.

A page in docs/ is written for the forge first: it links to code, schemas and pages at the root as
they lie in the repository. A site has none of these, and strict validation refuses a link that
leads out of it. So each file that a page links to becomes a page too: one that shows it. What a
page links to is therefore always there, in the version that the page is of, without a network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from docsite.shown import file_page, folder_page, is_shown

ROOT: Final = Path(__file__).resolve().parents[1]
ASSETS: Final = Path(__file__).parent / "assets"
# Pages that lie outside docs/, and where the site has them.
AT_ROOT: Final = {
    "README.md": "index.md",
    "README.zh.md": "index.zh.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "NOTICE.md": "notice.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
}
SHOWN: Final = PurePosixPath("source")
_FENCE: Final = re.compile(r"(?ms)^( *)(`{3,})[^\n]*\n.*?^\1\2 *$")
_SPAN: Final = re.compile(r"(?s)(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LINK: Final = re.compile(r"(?P<before>\]\(|\b(?:src|href)=\")(?P<target>[^)\"\s]+)(?=[)\"\s])")
_FOREIGN: Final = re.compile(r"[a-z][a-z+.-]*:", re.IGNORECASE)


class NowhereError(ValueError):
    """A page links to what is not in the repository."""


def home_of(path: PurePosixPath, root: Path) -> PurePosixPath:
    """Return where the site has a file or folder of the repository: a page, or the file itself.

    Args:
        path: Relative to the root.
        root: The root of the repository.
    """
    if str(path) in AT_ROOT:
        return PurePosixPath(AT_ROOT[str(path)])
    if (root / path).is_dir():
        return SHOWN / path / "index.md"
    if path.parts[0] == "docs":
        return path.relative_to("docs")
    return SHOWN / (path if path.suffix == ".md" or not is_shown(root / path) else f"{path}.md")


def written_pages(root: Path) -> list[PurePosixPath]:
    """Return the pages that are written for people, relative to the root."""
    inside = (path.relative_to(root) for path in (root / "docs").rglob("*.md"))
    there = {name for name in AT_ROOT if (root / name).is_file()}
    return [PurePosixPath(path) for path in sorted({*map(str, inside), *there})]


def links_of(text: str, change: Callable[[str], str]) -> str:
    """Return a page with each link target changed, but for what stands in code.

    >>> links_of("[a](b.md) `[c](d)` <img src=\\"e.png\\">", str.upper)
    '[a](B.MD) `[c](d)` <img src="E.PNG">'
    """
    code = [match.span() for match in _FENCE.finditer(text)]
    outside = re.sub(_FENCE, lambda match: "\0" * len(match[0]), text)
    code += [match.span() for match in _SPAN.finditer(outside)]

    def changed(match: re.Match[str]) -> str:
        if any(begin <= match.start() < end for begin, end in code):
            return match[0]
        return match["before"] + change(match["target"])

    return _LINK.sub(changed, text)


def stage(into: Path, root: Path = ROOT) -> dict[str, str]:
    """Fill a folder with all pages of the site.

    Args:
        into: An empty folder, or none yet.
        root: The root of the repository.

    Returns:
        For each page of the site the file or folder of the repository that it shows.

    Raises:
        NowhereError: A page links to what is not there.
    """
    waiting = [*written_pages(root), *_others(root)]
    staged: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        home = home_of(path, root)
        if str(home) in staged:
            continue
        staged[str(home)] = str(path)
        target = into / home
        target.parent.mkdir(parents=True, exist_ok=True)
        source = root / path
        if source.is_dir():
            text = folder_page(path, source)
        elif source.suffix == ".md":
            text = source.read_text("utf-8")
        elif home.suffix == ".md":
            text = file_page(path, source)
        else:
            target.write_bytes(source.read_bytes())
            continue
        linked, text = _moved(text, path if source.is_dir() else path.parent, home, root)
        waiting += linked
        target.write_text(_unsearched(text) if home.is_relative_to(SHOWN) else text, "utf-8")
    for asset in ASSETS.iterdir():
        (into / "assets").mkdir(exist_ok=True)
        (into / "assets" / asset.name).write_bytes(asset.read_bytes())
    return staged


def _others(root: Path) -> Iterable[PurePosixPath]:
    """Return what lies in docs/ and is no page: pictures and documents for machines."""
    for path in sorted((root / "docs").rglob("*")):
        if path.is_file() and path.suffix != ".md":
            yield PurePosixPath(path.relative_to(root))


def _moved(
    text: str, folder: PurePosixPath, home: PurePosixPath, root: Path
) -> tuple[list[PurePosixPath], str]:
    """Return what a page links to, and the page with links that lead there on the site."""
    linked: list[PurePosixPath] = []

    def change(target: str) -> str:
        file, mark, anchor = target.partition("#")
        if not file or _FOREIGN.match(file):
            return target
        there = PurePosixPath(os.path.normpath(folder / file))
        if there.parts[:1] == ("..",) or not (root / there).exists():
            raise NowhereError(f"{home} links to {target}, which is not there in {folder}")
        linked.append(there)
        return os.path.relpath(home_of(there, root), home.parent) + mark + anchor

    return linked, links_of(text, change)


def _unsearched(text: str) -> str:
    """Return a page that a search does not find: who searches wants what is said, not code."""
    return f"---\nsearch:\n  exclude: true\n---\n\n{text}"
