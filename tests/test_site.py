"""The site of docs/ builds without a warning, has every page, and loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest

from docsite.build import CONFIG, SiteError, build
from docsite.check import Fault, faults_of
from docsite.stage import ROOT, SHOWN, NowhereError, home_of, stage, written_pages
from tests.toolchains import need

PAGES: Final = [(page, str(home_of(page, ROOT))) for page in written_pages(ROOT)]
STARTED: Final = re.compile(r"(?:[*+-]|\d+\.) ")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("docs"))


def navigated(entries: Any) -> Iterator[str]:
    """Return the pages that a navigation leads to."""
    match entries:
        case str():
            yield entries
        case dict():
            for each in entries.values():
                yield from navigated(each)
        case _:
            for each in entries:
                yield from navigated(each)


NAVIGATED: Final = list(
    navigated(tomllib.loads((ROOT / CONFIG).read_text("utf-8"))["project"]["nav"])
)


# What is written


@pytest.mark.parametrize(("page", "home"), PAGES, ids=[home for _, home in PAGES])
def test_a_page_is_in_the_navigation(page: PurePosixPath, home: str) -> None:
    times = NAVIGATED.count(home)
    assert times == 1, (
        f'{page} is {times} times in the navigation: put one line "{home}" into `nav` of {CONFIG}'
    )


def test_the_navigation_leads_to_pages_that_there_are() -> None:
    assert set(NAVIGATED) <= {home for _, home in PAGES}


@pytest.mark.parametrize("page", [page for page, _ in PAGES], ids=str)
def test_a_page_reads_on_the_site_as_on_the_forge(page: PurePosixPath) -> None:
    """The site's Markdown wants an empty line before a list or a table; forges do without."""
    lines = (ROOT / page).read_text("utf-8").splitlines()
    fenced, before, wrong = False, "", []
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and before.strip() and not before.startswith("<!--"):
            begins_list = STARTED.match(line) and not (STARTED.match(before) or before[0] == " ")
            begins_table = line.startswith("|") and not before.startswith("|")
            if begins_list or begins_table:
                wrong.append(f"{page}:{number} needs an empty line before it: {line[:60]}")
        before = line
    assert not wrong, "\n".join(wrong)


# What is built


def test_every_page_is_on_the_site(site: Path) -> None:
    assert [home for _, home in PAGES if not (site / home).with_suffix(".html").is_file()] == []


def test_a_chinese_page_says_so(site: Path) -> None:
    assert '<html lang="zh-CN"' in (site / "index.zh.html").read_text("utf-8")
    assert '<html lang="en"' in (site / "index.html").read_text("utf-8")


def searched(site: Path, languages: str, *words: str) -> list[set[str]]:
    """Return the pages that the site's own search finds for each of some words."""
    need("node", "the search of the site")
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("site_search.js")), str(site), languages, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        {place.partition("#")[0] for place in json.loads(line)} for line in done.stdout.splitlines()
    ]


def test_the_search_finds_english_and_chinese_words(site: Path) -> None:
    index = json.loads((site / "search.json").read_text("utf-8"))
    languages = ",".join(index["config"]["lang"])
    english, inside, few = searched(site, languages, "gross-up", "因子", "周转量")
    assert "methods.html" in english
    assert {"tutorial.zh.html", "index.zh.html"} <= inside
    assert "glossary.zh.html" in few
    # Were Chinese not taken apart, a word within a sentence would not be found.
    (sentences,) = searched(site, "en", "因子")
    assert "tutorial.zh.html" not in sentences


def test_a_page_that_shows_code_is_not_searched(site: Path) -> None:
    index = json.loads((site / "search.json").read_text("utf-8"))
    found = {item["location"].partition("#")[0] for item in index["items"]}
    assert {"index.html", "reference.html"} <= found
    assert not any(location.startswith(str(SHOWN)) for location in found)


def test_what_a_page_links_to_outside_docs_is_shown_on_the_site(site: Path) -> None:
    schema = (site / "source/schemas/avro/transfer.v1.avsc.html").read_text("utf-8")
    assert "amount_mg" in schema
    listed = (site / "source/schemas/avro/index.html").read_text("utf-8")
    assert 'href="transfer.v1.avsc.html"' in listed


# What is refused


def repository(folder: Path, readme: str) -> Path:
    """Return a small repository with a page, and a site of it."""
    (folder / "docs").mkdir(parents=True)
    (folder / "docs/page.md").write_text("# Page\n\n## Here\n\n[Read](../README.md)\n")
    (folder / "README.md").write_text(readme)
    (folder / CONFIG).write_text(
        '[project]\nsite_name = "S"\ndocs_dir = "pages"\nsite_dir = "site"\n'
        "use_directory_urls = false\n[project.theme]\nfont = false\n"
    )
    return folder


def test_a_link_to_what_is_not_in_the_repository_is_refused(tmp_path: Path) -> None:
    root = repository(tmp_path / "root", "# Read\n\n[Gone](docs/gone.md)\n")
    with pytest.raises(NowhereError, match=r"index\.md links to docs/gone\.md"):
        stage(tmp_path / "pages", root)


def test_a_link_to_a_place_that_a_page_has_not_is_refused(tmp_path: Path) -> None:
    root = repository(tmp_path / "root", "# Read\n\n[Gone](docs/page.md#gone)\n")
    with pytest.raises(SiteError, match=r"anchor does not exist[\s\S]*index\.md:3"):
        build(tmp_path / "built", root)


def test_a_link_in_code_is_no_link(tmp_path: Path) -> None:
    text = "# Read\n\n`[a](gone.md)` [b](docs/page.md)\n\n```\n[c](gone.md)\n```\n"
    stage(tmp_path / "pages", repository(tmp_path / "root", text))
    staged = (tmp_path / "pages/index.md").read_text("utf-8")
    assert staged == text.replace("docs/page.md", "page.md")


def test_what_no_page_can_show_is_on_the_site_as_it_is(tmp_path: Path) -> None:
    root = repository(tmp_path / "root", '# Read\n\n[Files](files) [Tool](files/a.py "Title")\n')
    (root / "files").mkdir()
    (root / "files/a.py").write_text('"""Has ``` in it."""\n')
    (root / "files/b.bin").write_bytes(b"\xff\x00")
    (root / "files/c.csv").write_text("1,2\n" * 100_000)
    site = build(tmp_path / "built", root)
    assert "Has ``` in it." in (site / "source/files/a.py.html").read_text("utf-8")
    assert (site / "source/files/b.bin").read_bytes() == b"\xff\x00"
    listed = (site / "source/files/index.html").read_text("utf-8")
    assert all(f'href="{name}"' in listed for name in ("a.py.html", "b.bin", "c.csv"))
    assert 'href="source/files/a.py.html" title="Title"' in (site / "index.html").read_text()


@pytest.mark.parametrize(
    ("html", "what"),
    [
        ('<a href="gone.html">', "links to gone.html, which is not on the site"),
        ('<a href="b.html#gone">', "links to b.html#gone, but b.html has no such place"),
        ('<a href="#gone">', "links to #gone, but a.html has no such place"),
        ('<img src="../up.png">', "links to ../up.png, which is not on the site"),
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "loads //cdn.example/x.css"),
    ],
)
def test_a_fault_of_built_pages_is_found(tmp_path: Path, html: str, what: str) -> None:
    (tmp_path / "a.html").write_text(
        f'<a href="b.html#here"></a><a href="https://x.example"></a>{html}'
    )
    (tmp_path / "b.html").write_text('<h2 id="here">Here</h2>')
    assert faults_of(tmp_path) == [Fault("a.html", what)]


def test_a_font_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face{src:url(https://fonts.example/f.woff2)}")
    assert faults_of(tmp_path) == [Fault("a.css", "loads https://fonts.example/f.woff2")]
