"""docs/logging.md says what is logged, and the code logs that: every event, with its fields."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from schemas.log_events import COORDINATES, LIBRARY, LOG_EVENTS
from schemas.logs import JsonLines, Speaker
from tests.pages import ROOT, rows, section, words

PAGE = (ROOT / "docs/logging.md").read_text("utf-8")
FLOORS = ("api", "cli", "embedded", "producers", "schemas", "sinks", "streams")
KINDS = {"text": str, "int": int, "float": float, "map": dict}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of `tell` with where it is."""
    for path in sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")):
        where = str(path.relative_to(ROOT))
        source = path.read_text("utf-8")
        if not re.search(r"from schemas\.log_events import .*\btell\b", source):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "tell":
                yield f"{where}:{node.lineno}", node


CALLS = dict(calls())


def events_of(call: ast.Call, where: str) -> set[str]:
    """Return the events a call may tell: one by name, or one of two that a name stands for."""
    event = call.args[1]
    if isinstance(event, ast.Constant):
        return {str(event.value)}
    assert isinstance(event, ast.Name), where
    source = (ROOT / where.partition(":")[0]).read_text("utf-8")
    (chosen,) = re.findall(rf'{event.id} = "(\w+)" if .* else "(\w+)"', source)
    return set(chosen)


def fields_of(call: ast.Call) -> set[str]:
    """Return the fields a call gives; what it unpacks are the coordinates of a slice."""
    named = {each.arg for each in call.keywords if each.arg is not None} - {"error"}
    unpacked = set(COORDINATES) if any(each.arg is None for each in call.keywords) else set()
    return named | unpacked


@pytest.mark.parametrize("where", CALLS)
def test_what_is_told_is_an_event_with_its_fields(where: str) -> None:
    for event in events_of(CALLS[where], where):
        assert fields_of(CALLS[where]) == set(LOG_EVENTS[event].fields), event


def test_every_event_is_told_somewhere() -> None:
    told = {event for where, call in CALLS.items() for event in events_of(call, where)}
    assert told == LOG_EVENTS.keys()


def test_the_page_has_every_event_with_its_level_and_its_fields() -> None:
    listed = {}
    for event, level, fields, _ in rows(section(PAGE, "Events")):
        typed = {name: KINDS[kind] for name, kind in re.findall(r"`(\w+)` (\w+)", fields)}
        slice_fields = dict(COORDINATES) if "[slice](#a-slice)" in fields else {}
        listed[words(event)[0]] = (level, slice_fields | typed)
    assert listed == {
        name: (logging.getLevelName(about.level).lower(), dict(about.fields))
        for name, about in LOG_EVENTS.items()
    }


def test_the_page_has_the_coordinates_of_a_slice() -> None:
    found = [re.findall(r"`(\w+)` (\w+)", row[0])[0] for row in rows(section(PAGE, "A slice"))]
    assert {name: KINDS[kind] for name, kind in found} == COORDINATES


def test_the_example_of_the_page_is_a_line_as_it_is_written() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    told = json.loads(example)
    about = LOG_EVENTS[told["event"]]
    fields = {name: told[name] for name in about.fields}
    made = logging.LogRecord(told["logger"], about.level, "", 1, told["message"], (), None)
    made.__dict__ |= {"event": told["event"], "fields": fields, "process": told["pid"]}
    made.created = datetime.fromisoformat(told["time"]).timestamp()
    speaker = Speaker(told["process"], told["instance"])
    assert json.loads(JsonLines(speaker).format(made)) == told
    assert about.says.format(**fields) == told["message"]


def test_an_event_has_no_field_that_every_line_has() -> None:
    always = {name for row in rows(section(PAGE, "A line")) for name in words(row[0])}
    assert {"time", "level", "event", "stack"} <= always
    for about in LOG_EVENTS.values():
        assert not always & about.fields.keys()
    assert LIBRARY not in LOG_EVENTS


def test_searches_of_the_page_name_events_that_exist() -> None:
    search = PAGE.partition("## Searching")[2].partition("## Traces")[0]
    named = re.findall(r"`(\w+_\w+)`", search) + re.findall(r'"(\w+_\w+)"', search)
    assert set(named) <= LOG_EVENTS.keys()
    assert len(named) > 5


def test_nothing_of_ours_logs_past_the_events() -> None:
    """Only the client does, which is a library in somebody else's process."""
    found = [
        str(path.relative_to(ROOT))
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*.py")
        if re.search(r"\b(log|LOG)\.(debug|info|warning|error|critical|exception)\(", _text(path))
    ]
    assert {Path(each).parent for each in found} <= {Path("producers/client")}


def _text(path: Path) -> str:
    return path.read_text("utf-8")
