"""Whatever is sent, the gateway answers as its document says, and never breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from tests.api.gateway.served import Gateway, served
from tests.api.test_fuzz import CHECKS
from tests.pages import ROOT, first_words, section
from tests.producers.adapters.documents import ANYTHING, damaged
from tests.producers.adapters.test_ocpi import cdr
from tests.streams.scene import session

EXAMPLES: Final = 10
REFERENCE: Final = (ROOT / "docs/reference.md").read_text("utf-8")
ROUTES: Final = [
    route
    for route in first_words(section(REFERENCE, "Routes of the gateway"))
    if route.split()[1].startswith(("/v1/", "/ocpi/"))
]
SENDERS: Final = ("acme", "cpo", "live")
NO_EXAMPLES_KEPT: Final[dict[str, Any]] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def gateway(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of this module."""
    topics = BrokerSettings(bootstrap=broker, prefix="fuzzed.")
    asyncio.run(ensure_topics(topics))
    folder = tmp_path_factory.mktemp("files")
    with served(topics, folder, gateway_burst=1_000_000) as running:
        yield running


@pytest.fixture(scope="module")
def operations(gateway: Gateway) -> dict[str, Any]:
    """The operations of its document."""
    document = gateway.client.get(f"{gateway.url}/openapi.json").json()
    return {
        operation.label: operation
        for result in schemathesis.openapi.from_dict(document).get_all_operations()
        if isinstance(result, Ok)
        for operation in [result.ok()]
    }


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("who", SENDERS)
@pytest.mark.parametrize("label", ROUTES)
def test_an_operation(
    gateway: Gateway, operations: dict[str, Any], label: str, who: str, mode: GenerationMode
) -> None:
    statuses = set()

    @settings(max_examples=EXAMPLES, **NO_EXAMPLES_KEPT)
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        case: Case[Any] = data.draw(operations[label].as_strategy(mode))
        headers = {"Authorization": gateway.authorization(who, case.path)}
        answer = case.call(base_url=gateway.url, headers=headers)
        case.validate_response(answer, checks=CHECKS)
        statuses.add(answer.status_code)

    ask()
    assert statuses


def post(gateway: Gateway, who: str, path: str, document: Any) -> Any:
    """Return the answer to a document, which may hold what httpx would not write."""
    return gateway.ask(
        who,
        "POST",
        path,
        headers={"Content-Type": "application/json"},
        content=json.dumps(document),
    )


@settings(max_examples=100, **NO_EXAMPLES_KEPT)
@given(document=damaged(session()) | ANYTHING)
def test_any_record_has_a_result(gateway: Gateway, document: Any) -> None:
    answer = post(gateway, "acme", "/v1/charging-sessions", [document])
    if answer.status_code == 400:  # Halves of characters and numbers that are none.
        return
    (result,) = answer.json()["results"]
    assert result["status"] in {"accepted", "repeated", "conflict", "refused"}
    if result["status"] == "refused":
        assert result["code"]
        assert result["path"].startswith("$")
        assert result["reason"]


@settings(max_examples=100, **NO_EXAMPLES_KEPT)
@given(document=damaged(cdr()) | ANYTHING)
def test_any_cdr_has_an_envelope(gateway: Gateway, document: Any) -> None:
    answer = post(gateway, "cpo", "/ocpi/2.2.1/cdrs", document)
    if answer.status_code != 400:
        assert answer.json()["status_code"] in {1000, 2000, 2001}
