"""What is wrong with a built site: links that lead nowhere, and what it would load from elsewhere.

The builder checks the links that pages are written with. This reads the pages as a browser gets
them, so that it also sees navigation, pictures and what the theme adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

# What a browser gets by itself, without a click.
_LOADED: Final = {
    ("script", "src"),
    ("img", "src"),
    ("source", "src"),
    ("iframe", "src"),
    ("video", "src"),
    ("audio", "src"),
    ("embed", "src"),
    ("object", "data"),
}
_LINKS_LOADED: Final = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch"}
_CSS_URL: Final = re.compile(r"(?:url\(|@import\s+)[\"']?(?=https?:|//)([^\"')\s;]+)")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and on which page."""

    page: str
    what: str

    def __str__(self) -> str:
        """Return it as a line for people."""
        return f"{self.page}: {self.what}"


@dataclass(slots=True)
class Seen:
    """What a page has: places to link to, links, and what is loaded with it."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.seen.ids |= {given[name] for name in ("id", "name") if name in given}
        kinds = set(given.get("rel", "").split()) if tag == "link" else set()
        if tag in {"a", "area"} and "href" in given:
            self.seen.links.append(given["href"])
        elif kinds & _LINKS_LOADED and "href" in given:
            self.seen.loaded.append(given["href"])
        self.seen.loaded += [
            value for name, value in given.items() if (tag, name) in _LOADED and value
        ]


def seen_in(html: str) -> Seen:
    """Return what a page has.

    >>> seen_in('<h2 id="a">A</h2><a href="#b">B</a><img src="c.png">')
    Seen(ids={'a'}, links=['#b'], loaded=['c.png'])
    """
    reader = _Reader()
    reader.feed(html)
    return reader.seen


def faults_of(site: Path) -> list[Fault]:
    """Return all that is wrong with the site in a folder."""
    pages = {
        path.relative_to(site).as_posix(): seen_in(path.read_text("utf-8"))
        for path in sorted(site.rglob("*.html"))
    }
    found = [Fault(page, what) for page in pages for what in _page_faults(page, pages, site)]
    for path in sorted(site.rglob("*.css")):
        away = _CSS_URL.findall(path.read_text("utf-8"))
        found += [Fault(path.relative_to(site).as_posix(), f"loads {url}") for url in away]
    return found


def _page_faults(page: str, pages: Mapping[str, Seen], site: Path) -> Iterator[str]:
    seen = pages[page]
    for url in seen.loaded:
        if urlsplit(url).netloc:
            yield f"loads {url}"
    for url in (*seen.links, *seen.loaded):
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        there = page if not parts.path else _resolved(page, unquote(parts.path), site)
        if there is None:
            yield f"links to {url}, which is not on the site"
        elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].ids:
            yield f"links to {url}, but {there} has no such place"


def _resolved(page: str, path: str, site: Path) -> str | None:
    """Return the file that a relative or absolute path means, or None where there is none."""
    start = site if path.startswith("/") else (site / page).parent
    target = (start / path.lstrip("/")).resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site.resolve()) or not target.is_file():
        return None
    return target.relative_to(site.resolve()).as_posix()
