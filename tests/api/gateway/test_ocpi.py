"""A network's CDRs or Sessions come in as OCPI has them, and are answered in its envelope."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.settings import BrokerSettings
from tests.api.gateway.ocpi_session import ENDED, SESSION, place
from tests.api.gateway.served import Gateway, served
from tests.producers.adapters.documents import example, needs_data
from tests.producers.adapters.test_ocpi import cdr

CDRS: Final = "/ocpi/2.2.1/cdrs"


def session(**changes: Any) -> dict[str, Any]:
    """Return a Session that has begun, unless changed."""
    return {**SESSION, **changes}


def code(answer: Any, status: int = 200) -> int:
    """Return OCPI's status code of an answer in its envelope."""
    assert answer.status_code == status, answer.text
    envelope = answer.json()
    assert datetime.fromisoformat(envelope["timestamp"]).tzinfo is not None
    assert isinstance(envelope["status_code"], int)
    return int(envelope["status_code"])


@needs_data
@pytest.mark.parametrize("version", ["2.2.1", "2.3.0"])
def test_the_official_cdr_is_taken_and_on_the_topic(gateway: Gateway, version: str) -> None:
    document = example(f"conf-ocpi/{version}/cdr_example.json")
    answer = gateway.ask("cpo", "POST", f"/ocpi/{version}/cdrs", json=document)
    assert code(answer, 201) == 1000
    assert answer.headers["location"] == f"{gateway.url}/ocpi/{version}/cdrs/12345"
    (record,) = gateway.arrived()
    assert (record["session_id"], record["energy_wh"]) == ("BE*BEC*12345", 15_342)
    assert record["account_id"] == "DE8ACC12E46L89"


@needs_data
def test_the_official_session_is_taken_and_on_the_topic(gateway: Gateway) -> None:
    document = example("conf-ocpi/2.2.1/session_example_2_short_finished.json")
    assert code(gateway.ask("live", "PUT", place(), json=document)) == 1000
    (record,) = gateway.arrived()
    assert (record["session_id"], record["energy_wh"]) == ("BE*BEC*session*101", 41_120)


def test_a_credit_cdr_is_a_reversal(gateway: Gateway) -> None:
    credit = cdr(id="cdr-1-C", credit=True, credit_reference_id="cdr-1")
    for document in (cdr(), credit):
        assert code(gateway.ask("cpo", "POST", CDRS, json=document), 201) == 1000
    records = {record["session_id"]: record for record in gateway.arrived()}
    assert records["DE*ABC*CDR-1-C"]["reversal_of"] == "DE*ABC*CDR-1"
    assert records["DE*ABC*CDR-1-C"]["energy_wh"] > 0


def test_a_cdr_that_comes_again_is_success_and_not_sent_again(gateway: Gateway) -> None:
    for _ in range(2):
        assert code(gateway.ask("cpo", "POST", CDRS, json=cdr()), 201) == 1000
    assert len(gateway.arrived()) == 1
    # A CDR cannot be changed.
    assert code(gateway.ask("cpo", "POST", CDRS, json=cdr(total_energy=1))) == 2000
    assert len(gateway.arrived()) == 1


def test_what_cannot_be_read_is_told_where_and_why(gateway: Gateway) -> None:
    answer = gateway.ask("cpo", "POST", CDRS, json=cdr(total_energy="much"))
    assert code(answer) == 2001
    assert answer.json()["data"]["code"] == "row_bad_value"
    assert answer.json()["data"]["path"] == "$.total_energy"
    assert code(gateway.ask("cpo", "POST", CDRS, json=[cdr()])) == 2001
    assert gateway.ask("cpo", "POST", CDRS, content="{").status_code == 400
    assert gateway.arrived() == []


def test_a_session_comes_whole_and_then_in_parts(gateway: Gateway) -> None:
    assert code(gateway.ask("live", "PUT", place(), json=session())) == 1000
    part = {"kwh": 15.0, "last_updated": "2023-06-29T23:00:00Z"}
    assert code(gateway.ask("live", "PATCH", place(), json=part)) == 1000
    kept = gateway.ask("live", "GET", place())
    assert code(kept) == 1000
    assert kept.json()["data"] == session(**part)
    assert gateway.arrived() == []
    assert code(gateway.ask("live", "PATCH", place(), json=dict(ENDED))) == 1000
    (record,) = gateway.arrived()
    assert (record["session_id"], record["energy_wh"]) == ("BE*BEC*session*101", 41_120)
    # It is over and the broker has it: it is kept no longer.
    assert gateway.ask("live", "GET", place()).status_code == 404


def test_a_part_of_what_is_not_kept_is_404_and_the_whole_is_taken(gateway: Gateway) -> None:
    assert code(gateway.ask("live", "PATCH", place(), json=dict(ENDED)), 404) == 2000
    assert code(gateway.ask("live", "GET", place()), 404) == 2000
    assert code(gateway.ask("live", "PUT", place(), json=session(**ENDED))) == 1000
    assert len(gateway.arrived()) == 1


def test_an_update_that_was_overtaken_changes_nothing(gateway: Gateway) -> None:
    late = session(kwh=5, last_updated="2023-06-29T22:50:00Z")
    newer = session(kwh=9, last_updated="2023-06-29T23:00:00Z")
    for document in (session(), newer, late):
        assert code(gateway.ask("live", "PUT", place(), json=document)) == 1000
    assert gateway.ask("live", "GET", place()).json()["data"]["kwh"] == 9


def test_cases_of_ids_are_not_told_apart(gateway: Gateway) -> None:
    path = place("abc").replace("BE/BEC", "be/bec")
    assert code(gateway.ask("live", "PUT", path, json=session(id="ABC"))) == 1000
    assert code(gateway.ask("live", "GET", place("ABC"))) == 1000


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"id": "102"}, "$.id"),
        ({"party_id": "XXX"}, "$.party_id"),
        ({"last_updated": None}, "$.last_updated"),
        ({"last_updated": "now"}, "$.last_updated"),
        ({"status": ""}, "$.status"),
    ],
)
def test_a_session_that_contradicts_its_url_or_lacks_what_it_needs(
    gateway: Gateway, changes: dict[str, Any], where: str
) -> None:
    answer = gateway.ask("live", "PUT", place(), json=session(**changes))
    assert code(answer) == 2001
    assert answer.json()["data"]["path"] == where
    assert gateway.ask("live", "GET", place()).status_code == 404


def test_a_location_that_the_table_lacks_is_2003_and_kept_for_its_mending(
    gateway: Gateway,
) -> None:
    document = session(**ENDED, location_id="LOC9")
    assert code(gateway.ask("live", "PUT", place(), json=document)) == 2003
    assert gateway.arrived() == []
    mended = {"location_id": "LOC1", "last_updated": "2023-06-30T08:00:00Z"}
    assert code(gateway.ask("live", "PATCH", place(), json=mended)) == 1000
    assert len(gateway.arrived()) == 1


def test_a_sender_of_one_module_sends_not_the_other(gateway: Gateway) -> None:
    assert code(gateway.ask("live", "POST", CDRS, json=cdr())) == 2000
    assert code(gateway.ask("cpo", "PUT", place(), json=session(**ENDED))) == 2000
    assert code(gateway.ask("cpo", "GET", place())) == 2000
    assert code(gateway.ask("acme", "POST", CDRS, json=cdr())) == 2000
    assert gateway.arrived() == []


def test_versions_lead_to_the_endpoint_of_the_senders_module(gateway: Gateway) -> None:
    versions = gateway.ask("cpo", "GET", "/ocpi/versions")
    assert code(versions) == 1000
    assert [each["version"] for each in versions.json()["data"]] == ["2.2.1", "2.3.0"]
    for who, module in (("cpo", "cdrs"), ("live", "sessions")):
        for each in versions.json()["data"]:
            details = gateway.ask(who, "GET", each["url"].removeprefix(gateway.url))
            assert details.json()["data"] == {
                "version": each["version"],
                "endpoints": [
                    {
                        "identifier": module,
                        "role": "RECEIVER",
                        "url": f"{gateway.url}/ocpi/{each['version']}/{module}",
                    }
                ],
            }
    assert gateway.ask("acme", "GET", "/ocpi/2.2.1").json()["data"]["endpoints"] == []
    assert gateway.ask("cpo", "GET", "/ocpi/2.0").status_code == 422


def test_urls_are_those_that_senders_can_reach(topics: BrokerSettings, tmp_path: Path) -> None:
    with served(topics, tmp_path, gateway_url="https://in.example/carbon/") as gateway:
        answer = gateway.ask("cpo", "POST", CDRS, json=cdr(id="a b/c"))
        assert answer.headers["location"] == ("https://in.example/carbon/ocpi/2.2.1/cdrs/a%20b%2Fc")
        (first, _) = gateway.ask("cpo", "GET", "/ocpi/versions").json()["data"]
        assert first["url"] == "https://in.example/carbon/ocpi/2.2.1"


def test_a_token_comes_as_ocpi_has_it_or_as_it_stands(gateway: Gateway) -> None:
    token = gateway.tokens["cpo"]
    encoded = base64.b64encode(token.encode()).decode()
    for authorization, status in (
        (f"Token {encoded}", 200),
        (f"token {encoded}", 200),
        (f"Token {token}", 200),
        (f"Bearer {token}", 401),
        (f"Token {encoded}x", 401),
        ("Token cf_nobody", 401),
        ("Token ==", 401),
        ("Token", 401),
    ):
        answer = gateway.ask(
            None, "GET", "/ocpi/versions", headers={"Authorization": authorization}
        )
        assert answer.status_code == status, authorization
    # And by no other way elsewhere.
    answer = gateway.ask(None, "POST", "/v1/events", headers={"Authorization": f"Token {encoded}"})
    assert answer.status_code == 401
