"""What is said of topics is so: the checked-in document and pages are current, and the headers that
the catalogue lists are those that our own code writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import yaml
from click.testing import CliRunner

from cli.main import carbonflow
from producers.again import Again, _Place, _word
from producers.client.columns import _refusal
from producers.refused import RefusedRecord
from producers.rows import UnmappedRow
from schemas.attempts import Attempt, Sender
from schemas.catalogue import ACTIVITY_TOPICS, LATE_OF, TOPICS, shipped
from schemas.pages import pages
from schemas.partition import partition_of
from schemas.plain import plain_examples
from schemas.traceparents import TRACEPARENT
from streams.accounts import Accounts
from streams.delivery import WRITTEN_TOPICS, messages_astray, messages_late, messages_of_refusals
from tests.streams.scene import DAY_MS, NOW_MS, Event, event, part_of, rules, session, work

ROOT: Final = Path(__file__).resolve().parents[1]
REMEDY: Final = "it is not that of the catalogue: run `make pages`"


def test_the_document_is_current() -> None:
    made = CliRunner().invoke(carbonflow, ["asyncapi"])
    assert made.exit_code == 0
    assert (ROOT / "docs/asyncapi.yaml").read_text("utf-8") == made.stdout, REMEDY


def test_the_document_as_json_is_the_same() -> None:
    made = CliRunner().invoke(carbonflow, ["asyncapi", "--json"])
    assert json.loads(made.stdout) == yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())


def test_the_document_names_the_broker_that_is_given() -> None:
    made = CliRunner().invoke(carbonflow, ["asyncapi", "--server", "kafka:9092"])
    assert yaml.safe_load(made.stdout)["servers"]["kafka"]["host"] == "kafka:9092"


@pytest.mark.parametrize("wrong", ["kafka", "kafka:", "kafka://kafka:9092", "a b:1", ":9092"])
def test_what_is_no_address_is_wrong_use(wrong: str) -> None:
    made = CliRunner().invoke(carbonflow, ["asyncapi", "--server", wrong])
    assert made.exit_code == 2
    assert "HOST:PORT" in made.output


def test_the_pages_are_current() -> None:
    written = {path.name: path.read_text("utf-8") for path in (ROOT / "docs/topics").iterdir()}
    assert written == pages(shipped(), plain_examples()), REMEDY


def check(topic: str, headers: Iterable[tuple[str, bytes]]) -> None:
    """Fail if headers are not among those of a topic, or lack one that is always there."""
    names = [name for name, _ in headers]
    listed = TOPICS[topic].headers
    assert set(names) <= {header.name for header in listed}
    assert {header.name for header in listed if header.always} <= set(names)
    assert len(set(names)) == len(names)


def test_a_refusal_of_a_worker_has_the_headers_that_are_listed() -> None:
    huge = b"{" + bytes(2_000_000)
    part = part_of([Event(b"{}"), Event(huge, key=huge)])
    small, large = messages_of_refusals(part, work(Accounts(), part))
    check("refusals", small[3])
    check("refusals", large[3])
    assert {"bytes", "key_bytes"} <= dict(large[3]).keys()
    span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    first, _ = messages_of_refusals(part, work(Accounts(), part), span)
    check("refusals", first[3])


def test_a_refusal_of_a_loader_has_the_headers_that_are_listed() -> None:
    row = UnmappedRow(file="a.csv", line=2, code="row_unmapped", reason="", raw=b"1;2")
    _, _, headers = _refusal(row, "a;b")
    check("refusals", headers)
    assert {"file", "line", "columns"} <= dict(headers).keys()


def test_the_word_of_a_replay_has_the_headers_that_are_listed() -> None:
    refusal = RefusedRecord(
        partition=0,
        offset=7,
        refused_at=NOW_MS,
        code="not_framed",
        origin="worker",
        topic="charging-sessions",
        source_partition=0,
        file="",
        columns="",
        attempt=0,
        is_cut=False,
        key=b"anna",
        value=b"{}",
        sender=Sender("", "anna"),
    )
    again = Again(refusal, "charging-sessions", b"anna", b"{}")
    check("refusals", _word(again, _Place("charging-sessions", 0, 9)).headers)


@pytest.mark.parametrize("topic", [*ACTIVITY_TOPICS, *LATE_OF.values(), "refusals"])
def test_the_headers_of_a_record_that_is_sent_again_are_listed(topic: str) -> None:
    listed = {header.name for header in TOPICS[topic].headers}
    assert {name for name, _ in Attempt(1, "0-7").headers()} <= listed


@pytest.mark.parametrize("topic", [*ACTIVITY_TOPICS, *LATE_OF.values(), *WRITTEN_TOPICS])
def test_the_span_of_a_record_is_listed(topic: str) -> None:
    assert TRACEPARENT in {header.name for header in TOPICS[topic].headers}


def test_a_late_record_has_the_headers_that_are_listed() -> None:
    accounts, later_ms = Accounts(), NOW_MS + 40 * DAY_MS
    fresh = session(session_id="S2", started_at=later_ms, ended_at=later_ms)
    for one in (event(session()), event(fresh, later_ms)):
        work(accounts, part_of([one]))
    part = part_of([event(session(session_id="S3"), later_ms)])
    outcome = work(accounts, part, replace(rules(), late_lane=True))
    ((*_, headers),) = messages_late(part, outcome, now_ms=later_ms)
    check("late-charging-sessions", headers)


def test_a_record_put_right_has_the_headers_that_are_listed() -> None:
    stray = event(session())
    at = 1 - partition_of(stray.key or b"", 2)
    part = part_of([stray], partition=at)
    outcome = work(Accounts(), part, rules(partitions=2))
    (((*_, headers),),) = messages_astray(part, outcome, 2).values()
    check("charging-sessions", headers)
    assert "rekeyed_from" in dict(headers)
