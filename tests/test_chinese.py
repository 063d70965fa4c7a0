"""Chinese pages say what the English ones say: the same sections, code, names and numbers.

Under each Chinese heading a comment has the English one that it translates, so that a section that
is new in English can be told by its name. In each section the blocks of code are the same, and so
are what stands in backticks, and numbers in digits. What words say no test can compare.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

import pytest

from docsite.stage import ROOT

PAIRS: Final = [
    ("README.md", "README.zh.md"),
    ("docs/tutorial.md", "docs/tutorial.zh.md"),
    ("docs/methods.md", "docs/methods.zh.md"),
]
_BLOCK: Final = re.compile(r"(?ms)^```\w*\n.*?^```$")
_HEADING: Final = re.compile(r"(#+) (.+)")
_OF: Final = re.compile(r"<!-- (.+) -->")
_SPAN: Final = re.compile(r"(?s)(?<!`)`([^`]+)`(?!`)")
_LINK: Final = re.compile(r"\]\([^)]*\)|<[^>]*>")
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")


@dataclass(frozen=True, slots=True)
class Section:
    """A section up to the next heading of any level, under its English title."""

    level: int
    title: str
    blocks: tuple[str, ...]
    names: Counter[str]
    numbers: Counter[str]

    @property
    def heading(self) -> str:
        return f"{'#' * self.level} {self.title}"


def sections_of(name: str, text: str, *, translated: bool) -> list[Section]:
    """Return the sections of a page.

    Raises:
        AssertionError: A translated heading does not say what it translates.
    """
    blocks: list[str] = _BLOCK.findall(text)
    found: list[Section] = []
    for part in re.split(r"(?m)^(?=#+ )", _BLOCK.sub("\0", text)):
        heading, _, body = part.partition("\n")
        match = _HEADING.fullmatch(heading)
        if match is None:
            assert not part.strip(), f"{name} begins without a heading"
            continue
        title = match[2]
        if translated:
            comment, _, body = body.partition("\n")
            of = _OF.fullmatch(comment)
            assert of is not None, (
                f"{name}: under {heading!r} must stand <!-- the heading that it translates -->"
            )
            title = of[1]
        mine = tuple(blocks.pop(0) for _ in range(body.count("\0")))
        prose = _LINK.sub("", _SPAN.sub("", body))
        found.append(
            Section(
                len(match[1]),
                title,
                mine,
                Counter(" ".join(span.split()) for span in _SPAN.findall(body)),
                Counter(_NUMBER.findall(prose)),
            )
        )
    return found


def differences(english: str, chinese: str, names: tuple[str, str]) -> list[str]:
    """Return what a Chinese page lacks or has too much, a sentence for each."""
    first = sections_of(names[0], english, translated=False)
    second = sections_of(names[1], chinese, translated=True)
    of_title = {section.title: section for section in second}
    found = [
        f"{names[1]} lacks the section {one.heading!r}: translate it, and put "
        f"<!-- {one.title} --> under its heading"
        for one in first
        if one.title not in of_title
    ]
    there = {section.title for section in first}
    found += [
        f"{names[1]} has a section of {one.heading!r}, which {names[0]} has not"
        for one in second
        if one.title not in there
    ]
    if not found and [one.heading for one in first] != [one.heading for one in second]:
        found.append(f"{names[1]} has its sections in another order or on other levels")
    for one in first:
        if (two := of_title.get(one.title)) is not None:
            found += [f"{names[1]}, {one.heading!r}: {each}" for each in _inside(one, two)]
    return found


def _inside(one: Section, two: Section) -> list[str]:
    found = [f"lacks this code block:\n{each}" for each in one.blocks if each not in two.blocks]
    found += [
        f"has a code block of its own:\n{each}" for each in two.blocks if each not in one.blocks
    ]
    if not found and one.blocks != two.blocks:
        found.append("has its code blocks in another order, or one of them twice")
    for what, wanted, had in (
        ("`{}`", one.names, two.names),
        ("the number {}", one.numbers, two.numbers),
    ):
        found += [f"lacks {what.format(each)}" for each in sorted(wanted.keys() - had.keys())]
        found += [f"has {what.format(each)} too much" for each in sorted(had.keys() - wanted)]
    return found


@pytest.mark.parametrize("names", PAIRS, ids=[name for name, _ in PAIRS])
def test_a_chinese_page_is_in_step(names: tuple[str, str]) -> None:
    english, chinese = ((ROOT / name).read_text("utf-8") for name in names)
    found = differences(english, chinese, names)
    assert not found, "\n".join(found)


def test_each_page_leads_to_the_other() -> None:
    for one, two in (("README.md", "README.zh.md"), ("README.zh.md", "README.md")):
        assert f"]({two})" in (ROOT / one).read_text("utf-8").partition("\n## ")[0]


@pytest.mark.parametrize(
    ("english", "chinese", "said"),
    [
        ("# A\n## B\n", "# 甲\n<!-- A -->\n", "lacks the section '## B'"),
        ("# A\n", "# 甲\n<!-- A -->\n## 乙\n<!-- B -->\n", "a section of '## B', which"),
        ("# A\n## B\n", "# 甲\n<!-- A -->\n### 乙\n<!-- B -->\n", "on other levels"),
        ("# A\n```sh\nls\n```\n", "# 甲\n<!-- A -->\n", "'# A': lacks this code block:\n```sh\nls"),
        ("# A\n", "# 甲\n<!-- A -->\n```sh\nls\n```\n", "'# A': has a code block of its own"),
        ("# A\nRun `x y`.\n", "# 甲\n<!-- A -->\n", "'# A': lacks `x y`"),
        ("# A\n7 of them.\n", "# 甲\n<!-- A -->\n8 个。\n", "'# A': lacks the number 7"),
    ],
)
def test_what_is_out_of_step_is_said_by_name(english: str, chinese: str, said: str) -> None:
    assert any(said in each for each in differences(english, chinese, ("en.md", "zh.md")))


def test_a_chinese_heading_has_to_say_what_it_translates() -> None:
    with pytest.raises(AssertionError, match="the heading that it translates"):
        differences("# A\n", "# 甲\n\n<!-- A -->\n", ("en.md", "zh.md"))
