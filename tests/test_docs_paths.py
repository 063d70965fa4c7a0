"""The tests that pages name are there: a guarantee is worth what shows it."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = (*sorted((ROOT / "docs").glob("*.md")), ROOT / "ARCHITECTURE.md")
NAMED: Final = sorted(
    {
        (page.name, path)
        for page in PAGES
        for path in re.findall(r"\btests/\w[\w/]*(?:\.\w+)?", page.read_text("utf-8"))
    }
)


@pytest.mark.parametrize(("page", "path"), NAMED)
def test_a_test_that_a_page_names_is_there(page: str, path: str) -> None:
    assert (ROOT / path).exists(), f"{page} names {path}"


def test_guarantees_are_among_the_pages_and_name_tests() -> None:
    assert ("guarantees.md", "tests/streams/test_laws.py") in NAMED
