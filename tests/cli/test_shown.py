"""What a person is shown: no lines about nothing, no plurals of one, refused records decoded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from carbon.refusal import REMEDIES
from cli.load import _told
from embedded.store import Store
from schemas.singles import encode_one
from sinks.migrate import migrate
from tests.cli.test_wrong_use import call
from tests.sinks.facts import Facts, refusal, session


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """A folder with one booked session, and refusals: one can be decoded, one was sent again."""
    row = {name: value for name, value in session(0).items() if not name.startswith("_")}
    with Store.open(tmp_path / "store") as store:
        migrate(store.writer)
        facts = Facts(store.writer, "carbonflow")
        facts.sessions(1)
        facts.book()
        value = encode_one("charging_session", row)
        known = {"source": "cpo", "account_id": "ann"}
        facts.put("refusals", refusal(0, account_id="ann"))
        facts.put("refusals", refusal(2))
        facts.put("refusals", refusal(1, code="too_long", value=value, **known))
        facts.put("refusals", refusal(3, origin="replay", replay_of="0-2"))
    return tmp_path


def shown(*words: str, books: Path) -> list[str]:
    """Return the lines a command prints."""
    done = call(*words, "--data-dir", str(books))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_balance_tells_of_what_there_is(books: Path) -> None:
    lines = shown("balance", "ann", books=books)
    assert "charged      10.000 kWh in 1 session" in lines
    assert not any(line.startswith("moved") for line in lines)


def test_a_statement_has_amounts_of_one_unit(books: Path) -> None:
    (first, second) = (line for line in shown("statement", "ann", books=books) if "r1/" in line)
    assert first.rstrip().endswith("5.000 g")
    assert second.rstrip().endswith("7.000 g")


def test_a_refused_record_is_decoded(books: Path) -> None:
    lines = shown("refusals", "show", "0-1", books=books)
    assert lines[0].startswith("too_long: ")
    assert "  record                 charging_session" in lines
    assert "  session_id             s0" in lines


def test_bytes_that_are_no_record_are_shown_as_they_are(books: Path) -> None:
    lines = shown("refusals", "show", "0:0", books=books)
    assert lines[-2:] == ["bytes   3", "  000000  00fffe"]


def test_a_refusal_says_what_to_do_about_it(books: Path) -> None:
    assert f"do      {REMEDIES['too_long']}" in shown("refusals", "show", "0:1", books=books)


def test_refusals_are_listed_by_what_is_asked_for(books: Path) -> None:
    def listed(*words: str) -> list[str]:
        lines = shown("refusals", "list", *words, "--json", books=books)
        found = json.loads("\n".join(lines))["refusals"]
        return [row["refusal_id"] for row in found]

    assert listed() == ["0-0", "0-1", "0-2"]
    assert listed("--source", "cpo") == ["0-1"]
    assert listed("--account", "ann", "--open") == ["0-0", "0-1"]
    assert listed("--replayed") == ["0-2"]
    assert listed("--from", "2021-01-01T00:00:00.001Z", "--to", "2021-01-01T00:00:00.002Z") == [
        "0-1"
    ]
    assert listed("--topic", "freight-trips") == []


def test_a_page_of_refusals_goes_on_after_the_one_before(books: Path) -> None:
    first = json.loads("\n".join(shown("refusals", "list", "--limit", "2", "--json", books=books)))
    assert [row["refusal_id"] for row in first["refusals"]] == ["0-0", "0-1"]
    words = ("refusals", "list", "--after", first["next_cursor"], "--json")
    second = json.loads("\n".join(shown(*words, books=books)))
    assert [row["refusal_id"] for row in second["refusals"]] == ["0-2"]
    assert second["next_cursor"] is None


def test_the_table_says_which_were_sent_again(books: Path) -> None:
    rows = [line for line in shown("refusals", "list", books=books) if "undecodable" in line]
    assert [" yes " in row for row in rows] == [False, True]


def test_what_was_refused_of_a_load_is_words() -> None:
    result = {"mapping": "mine", "rows": 1200, "sent": 1199, "refused": {"row_bad_value": 1}}
    assert _told(result) == "mine: 1,200 rows, 1,199 sent, refused: 1 row_bad_value"
    assert _told({**result, "refused": {}}).endswith("refused: none")
