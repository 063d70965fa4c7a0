"""What the console says: everything in both languages, and nothing that nobody says."""

from __future__ import annotations

import csv
import json
import re
from typing import Final

import pytest

from api.console.names import Names
from api.shipped import PACKAGE
from carbon.factors import ANNUAL_FOR_HOURLY, EARLIER_PERIOD, PARENT_REGION, how_name
from carbon.refusal import REFUSALS, REMEDIES
from carbon.regions import PARENT
from producers.programmes.load import load_programmes

STATIC: Final = PACKAGE / "console/static"
NAMES: Final = json.loads((STATIC / "names.json").read_text("utf-8"))
SCRIPTS: Final = "\n".join(
    path.read_text("utf-8") for path in [*STATIC.glob("*.js"), *(STATIC / "views").glob("*.js")]
)
HAN: Final = re.compile(r"[\u4e00-\u9fff]")


def messages(language: str) -> dict[str, str]:
    text = (STATIC / f"messages/{language}.js").read_text("utf-8")
    return {
        json.loads(f'"{key}"'): json.loads(f'"{value}"')
        for key, value in re.findall(r'^  "(.+?)": "(.*)",$', text, re.MULTILINE)
    }


EN, ZH = messages("en"), messages("zh")


def test_both_languages_say_the_same() -> None:
    assert len(EN) > 200
    assert EN.keys() == ZH.keys()
    for key, text in EN.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", ZH[key])), key
        assert not HAN.search(text) or key == "factors.placeholder"


def test_chinese_is_chinese() -> None:
    same = {key for key, text in ZH.items() if not HAN.search(text)}
    assert same == set()


def test_every_message_is_said_and_no_other() -> None:
    asked = set(re.findall(r"\bt\(\s*\"([\w.]+)\"", SCRIPTS))
    chosen = {
        key for pair in re.findall(r"\? \"([\w.]+)\" : \"([\w.]+)\"", SCRIPTS) for key in pair
    }
    begun = set(re.findall(r"(?:t|has)\(`([\w.]+\.)\$\{", SCRIPTS))
    assert asked <= EN.keys()
    unsaid = {
        key
        for key in EN.keys() - asked - chosen
        if not any(key.startswith(prefix) for prefix in begun)
    }
    assert unsaid == set()


def test_every_code_of_refusals_is_explained_in_chinese() -> None:
    text = (STATIC / "messages/refusals-zh.js").read_text("utf-8")
    meanings, remedies = text.split("export const REMEDIES")
    assert set(re.findall(r"^  (\w+):", meanings, re.MULTILINE)) == REFUSALS.keys()
    assert set(re.findall(r"^  (\w+):", remedies, re.MULTILINE)) == REMEDIES.keys()


@pytest.mark.parametrize("bits", [0, PARENT_REGION, EARLIER_PERIOD, ANNUAL_FOR_HOURLY])
def test_every_match_is_explained(bits: int) -> None:
    assert f"match.{how_name(bits)}" in EN


def shipped(column: str) -> set[str]:
    (path,) = (PACKAGE.parent / "producers/factors/releases").glob("*/factors.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return {row[column] for row in csv.DictReader(file)}


def test_every_region_has_a_name_in_both_languages() -> None:
    wanted = shipped("region") | PARENT.keys() | set(PARENT.values())
    assert wanted <= NAMES["regions"].keys()


def test_everything_a_factor_is_for_has_a_name() -> None:
    wanted = {part for subject in shipped("subject") for part in subject.split(".")}
    for programme in load_programmes([]).values():
        for rules in (programme.charging, programme.freight):
            wanted |= set(rules.classes if rules else ())
    assert wanted <= NAMES["subjects"].keys()
    assert shipped("kind") <= NAMES["kinds"].keys()


def test_every_programme_that_is_shipped_has_a_name() -> None:
    assert load_programmes([]).keys() <= NAMES["programmes"].keys()


@pytest.mark.parametrize("part", NAMES)
def test_names_are_a_pair(part: str) -> None:
    assert all(len(pair) == 2 and all(pair) for pair in NAMES[part].values())


def test_words_mean_what_they_name_in_either_language() -> None:
    names = Names.read(STATIC / "names.json")
    (beijing,) = names.words("北京")
    assert (beijing.regions, beijing.subjects, beijing.kinds) == (["CN-BJ"], [], [])
    north, diesel = names.words("NORTH diesel")
    assert {"CN-NORTH", "IN-NORTH"} <= set(north.regions)
    assert set(diesel.subjects) == {"diesel", "diesel_b6", "biodiesel"}
    assert len(names.words("a " * 100)) == 8
