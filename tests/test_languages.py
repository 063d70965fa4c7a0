"""What docs/languages.md says happens to a wrong record is what happens to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from schemas.catalogue import TOPICS, schema_id
from schemas.framing import FRAME_BYTES, frame
from schemas.partition import partition_of
from schemas.plain import plain_examples
from schemas.singles import decode_one, encode_one
from streams.accounts import Accounts
from tests.pages import ROOT, first_words, rows, section, words
from tests.streams.scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    Event,
    event,
    part_of,
    refused,
    rules,
    session,
    trip,
    work,
)

PAGE: Final = (ROOT / "docs/languages.md").read_text("utf-8")
EXAMPLES: Final = ROOT / "examples/producers"

GOOD: Final = encode_one("charging_session", session())
BEGAN_S: Final = (NOW_MS - 2 * HOUR_MS) // 1000
TOMORROW_MS: Final = NOW_MS + 2 * DAY_MS


@dataclass(frozen=True, slots=True)
class Wrong:
    """Events that are wrong in the way a row of the page names, and the codes they are refused
    with."""

    what: str
    events: tuple[Event, ...]
    codes: tuple[str, ...]


WRONG: Final = (
    Wrong(
        "no frame: JSON or Avro alone", (Event(b"{}"), Event(GOOD[FRAME_BYTES:])), ("not_framed",)
    ),
    Wrong(
        "an id that is not in the catalogue",
        (Event(frame(77) + GOOD[FRAME_BYTES:]),),
        ("unknown_schema",),
    ),
    Wrong("the schema of another record", (event(trip()),), ("wrong_record",)),
    Wrong("bytes that the schema does not read", (Event(GOOD[:-1]),), ("undecodable",)),
    Wrong("above 900 kB", (event(session(operator_id="x" * 900_000)),), ("too_large",)),
    Wrong(
        "empty or overlong `source`, id or account",
        (event(session(source="")), event(session(account_id="x" * 1_001))),
        ("identity_invalid", "identity_too_long"),
    ),
    Wrong("kWh where Wh should be", (event(session(energy_wh=20)),), ()),
    Wrong(
        "mWh where Wh should be",
        (event(session(energy_wh=20_000_000)),),
        ("energy_out_of_range",),
    ),
    Wrong(
        "seconds where milliseconds should be",
        (event(session(started_at=BEGAN_S, ended_at=BEGAN_S + 3_600)),),
        ("factor_not_found",),
    ),
    Wrong(
        "a time of tomorrow or later",
        (event(session(started_at=TOMORROW_MS, ended_at=TOMORROW_MS + HOUR_MS)),),
        ("ended_in_future",),
    ),
    Wrong("another partition, another key or none", (Event(GOOD, key=None),), ()),
    Wrong(
        "a programme, vehicle class or region that is not known",
        (
            event(session(programme="x")),
            event(session(vehicle_class="x")),
            event(session(grid_region="x")),
        ),
        ("programme_unknown", "vehicle_class_unknown", "factor_not_found"),
    ),
    Wrong("sent twice", (event(session()), event(session())), ()),
)


@pytest.fixture(scope="module")
def table() -> dict[str, str]:
    """What happens, by what is wrong."""
    return dict(rows(section(PAGE, "When it is wrong")))


def test_every_row_is_tried(table: dict[str, str]) -> None:
    assert list(table) == [wrong.what for wrong in WRONG]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_a_wrong_record_is_refused_as_the_page_says(wrong: Wrong, table: dict[str, str]) -> None:
    said = re.findall(r"refused as (`\w+`(?:(?:, | or )`\w+`)*)", table[wrong.what])
    assert [code for each in said for code in words(each)] == list(wrong.codes)
    outcomes = [work(Accounts(), part_of([one])) for one in wrong.events]
    found = [code for outcome in outcomes for _, code in refused(outcome)]
    assert list(dict.fromkeys(found)) == list(wrong.codes)
    assert len(found) == (len(wrong.events) if wrong.codes else 0)


def test_a_record_in_another_partition_is_sent_on_and_one_at_home_is_not() -> None:
    home = partition_of(b"anna", 2)
    for partition, astray in ((home, []), (1 - home, ["anna"])):
        part = part_of([Event(GOOD, key=b"another")], partition=partition)
        assert list(work(Accounts(), part, rules(partitions=2)).astray_accounts) == astray


def test_a_record_that_is_sent_twice_is_booked_once() -> None:
    outcome = work(Accounts(), part_of([event(session()), event(session())]))
    assert (outcome.booked, outcome.duplicates) == (1, 1)


def test_topics_and_ids_are_those_of_the_catalogue() -> None:
    for what, topic, record, number in rows(section(PAGE, "Where")):
        (name,), (schema,) = words(topic), words(record)
        assert what in TOPICS[name].doc
        assert schema == f"{TOPICS[name].record}.v1"
        assert int(number) == schema_id(str(TOPICS[name].record))


def test_the_bytes_and_the_partitions_are_true() -> None:
    shown = re.search(r"(?m)^00 00 00 00 01   ([0-9a-f ]+) \.\.\.$", PAGE)
    assert shown
    example = plain_examples()["charging_session"]
    assert example.wire.startswith(frame(1) + bytes.fromhex(shown[1]))
    found = re.findall(r"`([\w:]+)` belongs to (\d)|and `([\w:]+)` to (\d)", PAGE)
    pairs = [tuple(filter(None, each)) for each in found]
    assert [key for key, _ in pairs] == ["21", example.value["account_id"]]
    assert all(partition_of(key.encode(), 4) == int(number) for key, number in pairs)


def test_the_line_of_the_examples_is_a_session_that_is_booked() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    (line,) = re.findall(r"(?ms)^```json\n(.*?)^```", page)
    value = encode_one("charging_session", json.loads(line))
    assert decode_one(value)[0] == "charging_session"
    assert work(Accounts(), part_of([Event(value)])).booked == 1


def test_the_variables_of_the_examples_are_those_they_read() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    named = first_words(page.split("```")[0])
    for path in ("java/src/main/java/Producer.java", "node/producer.js", "go/main.go"):
        read = re.findall(
            r"(?:CARBONFLOW|SCHEMA)_[A-Z_]+[A-Z]", (EXAMPLES / path).read_text("utf-8")
        )
        assert sorted(set(read)) == sorted(named), path


def test_links_of_the_examples_lead_somewhere() -> None:
    path = EXAMPLES / "README.md"
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize(
    "folder", [EXAMPLES / "node", ROOT / "tests/schemas/specs"], ids=lambda folder: folder.name
)
def test_a_lock_file_has_hashes_and_names_no_registry(folder: Path) -> None:
    text = (folder / "package-lock.json").read_text("utf-8")
    assert "://" not in text
    packages = [each for name, each in json.loads(text)["packages"].items() if name]
    assert packages
    assert all(each["integrity"].startswith("sha512-") for each in packages)
