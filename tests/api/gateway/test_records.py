"""What is called accepted is on the topic, each record has its result, and repeats are known."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from producers.pseudonyms import PSEUDONYM, Key, Pseudonyms
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from tests.api.gateway.served import Gateway, served
from tests.streams.scene import SESSION, TRIP, session, trip

SESSIONS = "/v1/charging-sessions"
TRIPS = "/v1/freight-trips"
NDJSON = {"Content-Type": "application/x-ndjson"}


def send(gateway: Gateway, *documents: object, path: str = SESSIONS) -> Any:
    """Return the answer to a batch of documents."""
    return gateway.ask("acme", "POST", path, json=list(documents))


def told(answer: Any, *names: str) -> list[tuple[Any, ...]]:
    """Return some members of each result of an answer."""
    return [tuple(result.get(name) for name in names) for result in answer.json()["results"]]


def test_a_session_is_accepted_once_the_broker_has_it(gateway: Gateway) -> None:
    answer = gateway.ask("acme", "POST", SESSIONS, json=session())
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    (result,) = answer.json()["results"]
    (message,) = gateway.messages()
    assert (result["partition"], result["offset"]) == (message.partition, message.offset)
    assert message.partition == partition_of(b"anna", 4)
    assert gateway.arrived() == [SESSION]


def test_a_trip_goes_to_its_own_topic(topics: BrokerSettings, tmp_path: Path) -> None:
    senders = '[[senders]]\nname = "acme"\nprogramme = "cn-freight"\nsource = "test"\n'
    with served(topics, tmp_path, senders=senders) as gateway:
        assert gateway.ask("acme", "POST", TRIPS, json=trip()).status_code == 202
        short = {name: value for name, value in TRIP.items() if name != "energy_used"}
        assert send(gateway, short | {"trip_id": "short"}, path=TRIPS).status_code == 202
        assert gateway.arrived("freight-trips") == [TRIP, trip(trip_id="short", energy_used=None)]
        assert gateway.arrived() == []


def test_what_the_gateway_knows_may_be_left_out_and_instants_be_texts(gateway: Gateway) -> None:
    document = {
        name: value
        for name, value in SESSION.items()
        if name not in {"source", "programme", "reversal_of", "revision"}
    }
    for name in ("started_at", "ended_at"):
        moment = datetime.fromtimestamp(document[name] / 1000, UTC)  # type: ignore[operator]
        document[name] = moment.isoformat()
    assert gateway.ask("acme", "POST", SESSIONS, json=document).status_code == 202
    assert gateway.arrived() == [SESSION]


def test_each_record_of_a_batch_has_its_result(gateway: Gateway) -> None:
    answer = send(
        gateway,
        session(session_id="a"),
        session(session_id="b", energy_wh=-1),
        session(session_id="c", energy_wh="20 kWh"),
        {**session(session_id="d"), "energy_kwh": 20},
        {name: value for name, value in session().items() if name != "grid_region"},
        "no record",
        session(session_id="e", ended_at="yesterday"),
        session(session_id="f"),
    )
    assert answer.status_code == 207
    assert told(answer, "status", "code", "path") == [
        ("accepted", None, None),
        ("refused", "energy_out_of_range", "$"),
        ("refused", "undecodable", "$"),
        ("refused", "row_bad_value", "$"),
        ("refused", "row_missing_value", "$.grid_region"),
        ("refused", "row_bad_value", "$"),
        ("refused", "row_bad_value", "$.ended_at"),
        ("accepted", None, None),
    ]
    assert [result["at"] for result in answer.json()["results"]] == list(range(8))
    assert {record["session_id"] for record in gateway.arrived()} == {"a", "f"}
    assert "energy_kwh" in answer.json()["results"][3]["reason"]


def test_lines_are_records_and_one_that_is_no_json_spoils_no_other(gateway: Gateway) -> None:
    lines = [json.dumps(session(session_id="a")), "{", "", json.dumps(session(session_id="b"))]
    answer = gateway.ask("acme", "POST", SESSIONS, headers=NDJSON, content="\n".join(lines))
    assert answer.status_code == 207
    assert told(answer, "at", "status") == [(0, "accepted"), (1, "refused"), (2, "accepted")]
    assert {record["session_id"] for record in gateway.arrived()} == {"a", "b"}


def test_a_refused_record_is_a_problem_with_its_code(gateway: Gateway) -> None:
    answer = gateway.ask("acme", "POST", SESSIONS, json=session(energy_wh=-1))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:carbonflow:problem:refused"
    assert problem["results"][0]["code"] == "energy_out_of_range"
    assert gateway.arrived() == []


@pytest.mark.parametrize(("name", "value"), [("source", "other"), ("programme", "cn-freight")])
def test_nobody_sends_in_anothers_name(gateway: Gateway, name: str, value: str) -> None:
    answer = gateway.ask("acme", "POST", SESSIONS, json=session(**{name: value}))
    assert answer.status_code == 422
    assert told(answer, "code", "path") == [("row_bad_value", f"$.{name}")]
    assert gateway.arrived() == []


def test_a_repeat_is_known_and_not_sent_again(gateway: Gateway) -> None:
    assert send(gateway, session(session_id="a")).status_code == 202
    answer = send(gateway, session(session_id="a"), session(session_id="b"))
    assert answer.status_code == 202
    assert told(answer, "id", "status") == [("a", "repeated"), ("b", "accepted")]
    assert sorted(record["session_id"] for record in gateway.arrived()) == ["a", "b"]


def test_an_identity_is_kind_account_source_id_and_revision(gateway: Gateway) -> None:
    assert send(gateway, session()).status_code == 202
    answer = send(gateway, session(account_id="ben"), session(session_id="S2"))
    assert told(answer, "status") == [("accepted",), ("accepted",)]


def test_other_values_under_the_same_identity_are_a_conflict(gateway: Gateway) -> None:
    assert send(gateway, session()).status_code == 202
    answer = send(gateway, session(energy_wh=1))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:carbonflow:problem:conflict")
    assert send(gateway, session(energy_wh=1), session(session_id="b")).status_code == 207
    assert [record["energy_wh"] for record in gateway.arrived()] == [20_000, 20_000]


def test_what_is_remembered_has_an_end(topics: BrokerSettings, tmp_path: Path) -> None:
    with served(topics, tmp_path, gateway_recent_max=2) as gateway:
        for number in (1, 2, 3, 1, 3):
            last = send(gateway, session(session_id=str(number)))
        assert told(last, "status") == [("repeated",)]
        ids = [record["session_id"] for record in gateway.arrived()]
        assert sorted(ids) == ["1", "1", "2", "3"]


def test_natural_ids_become_pseudonyms_before_anything_is_sent(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    key = Key(number=1, created=date(2026, 1, 1), secret=b"k" * 32)
    pseudonyms = Pseudonyms({"cn-charging": (key,)})
    senders = (
        '[[senders]]\nname = "acme"\nprogramme = "cn-charging"\nsource = "test"\n'
        "pseudonyms = true\n"
    )
    with served(topics, tmp_path, senders=senders, pseudonyms=pseudonyms) as gateway:
        assert send(gateway, session(account_id=" anna ")).status_code == 202
        assert told(send(gateway, session(account_id=" ")), "code", "path") == [
            ("identity_invalid", "$.account_id")
        ]
        (record,) = gateway.arrived()
        assert record["account_id"] == pseudonyms.of("cn-charging", "anna")
        assert PSEUDONYM.fullmatch(record["account_id"])


@pytest.mark.parametrize(
    ("content", "headers", "status", "kind"),
    [
        ("{", {"Content-Type": "application/json"}, 400, "not-json"),
        ("[NaN]", {"Content-Type": "application/json"}, 400, "not-json"),
        ("[]", {"Content-Type": "application/json"}, 422, "invalid-request"),
        ("\n", NDJSON, 422, "invalid-request"),
        ("{}", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        ("{}", {}, 415, "unsupported-media-type"),
        ("{}", NDJSON | {"Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
    ],
)
def test_what_is_no_body_of_records(
    gateway: Gateway, content: str, headers: dict[str, str], status: int, kind: str
) -> None:
    answer = gateway.ask("acme", "POST", SESSIONS, headers=headers, content=content)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:carbonflow:problem:{kind}")


def test_a_number_that_no_field_holds_is_refused(gateway: Gateway) -> None:
    for number in ("20000.0", "1e400", str(2**63), "true", "null"):
        body = json.dumps(session()).replace("20000", number)
        answer = gateway.ask(
            "acme", "POST", SESSIONS, headers={"Content-Type": "application/json"}, content=body
        )
        assert answer.status_code in {400, 422}, (number, answer.text)
    assert gateway.arrived() == []


def test_limits_of_a_request(topics: BrokerSettings, tmp_path: Path) -> None:
    limits: dict[str, Any] = {"gateway_records_max": 3, "gateway_body_bytes_max": 10_000}
    with served(topics, tmp_path, **limits) as gateway:
        many = [session(session_id=str(number)) for number in range(4)]
        answer = send(gateway, *many)
        assert (answer.status_code, answer.json()["type"]) == (
            413,
            "urn:carbonflow:problem:too-many-records",
        )
        assert send(gateway, session(evse_id="e" * 10_000)).status_code == 413
        assert gateway.arrived() == []
        assert send(gateway, *many[:3]).status_code == 202


def test_a_token_has_a_quota_of_records(topics: BrokerSettings, tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "gateway_records_max": 3,
        "gateway_records_burst": 4,
        "gateway_records_per_s": 0.01,
    }
    with served(topics, tmp_path, **limits) as gateway:
        some = [session(session_id=str(number)) for number in range(3)]
        assert send(gateway, *some).status_code == 202
        answer = send(gateway, *some)
        assert (answer.status_code, answer.json()["type"]) == (
            429,
            "urn:carbonflow:problem:too-many-records",
        )
        assert 100 < int(answer.headers["retry-after"]) <= 200
        # One was left, and a request that was told to wait has taken nothing.
        assert send(gateway, session(session_id="9")).status_code == 202
        # Another's is another's.
        assert gateway.ask("live", "POST", SESSIONS, json=session(source="live")).status_code == 202


def test_a_token_has_a_quota_of_requests(topics: BrokerSettings, tmp_path: Path) -> None:
    with served(topics, tmp_path, gateway_burst=2, gateway_rate_per_s=0.01) as gateway:
        answers = [send(gateway, session(session_id=str(number))) for number in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert int(answers[-1].headers["retry-after"]) > 90


def test_without_tokens_the_only_sender_sends(topics: BrokerSettings, tmp_path: Path) -> None:
    senders = '[[senders]]\nname = "acme"\nprogramme = "cn-charging"\nsource = "test"\n'
    with served(topics, tmp_path, senders=senders, with_tokens=False) as gateway:
        assert gateway.ask(None, "POST", SESSIONS, json=session()).status_code == 202
        elsewhere = gateway.ask(
            None, "POST", SESSIONS, headers={"Host": "evil.example"}, json=session()
        )
        assert elsewhere.status_code == 421
    assert len(gateway.arrived()) == 1


def test_records_are_counted_by_what_became_of_them(gateway: Gateway) -> None:
    send(gateway, session(session_id="a"), session(session_id="b"), session(energy_wh=-1))
    send(gateway, session(session_id="a"))
    counts = {
        status: gateway.registry.get_sample_value(
            "carbonflow_gateway_records_total", {"status": status}
        )
        for status in ("accepted", "refused", "repeated")
    }
    assert counts == {"accepted": 2, "refused": 1, "repeated": 1}
    metrics = gateway.client.get(f"{gateway.service_url}/metrics").text
    assert "carbonflow_gateway_waiting 0.0" in metrics
    route = 'method="POST",route="/v1/charging-sessions",status="207"'
    assert f"carbonflow_gateway_requests_total{{{route}}} 1.0" in metrics
