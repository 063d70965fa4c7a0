"""Whatever is asked, the API answers as its document says, and never breaks.

Schemathesis makes requests of every operation from the OpenAPI document, right ones and wrong
ones, and holds each answer against it: status, kind, schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from api.settings import ApiSettings
from sinks.queries import Queries
from tests.api.served import SCOPES, Served, served
from tests.sinks.facts import Facts

EXAMPLES: Final = 6
CHECKS: Final[list[Any]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# What is there, so that not every answer is a 404; the rest is made up.
THERE: Final = {
    "account_id": st.sampled_from(["ann", "fleet/7", "eva"]),
    "transfer_id": st.sampled_from(
        [f"charging:cpo:s{number}:0:emission:0" for number in (2, 5, 20)]
    ),
    "release": st.just("r1"),
    "factor_id": st.just("grid:CN-BJ:2021"),
    "refusal_id": st.sampled_from(["0-0", "0-1"]),
}
NOWHERE: Final[Any] = None  # The document is made without asking anybody.
DOCUMENT: Final = create_app(
    Queries(NOWHERE), settings=ApiSettings(), registry=CollectorRegistry(), programmes={}
).openapi()
OPERATIONS: Final[dict[str, Any]] = {
    operation.label: operation
    for result in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
    if isinstance(result, Ok)
    for operation in [result.ok()]
}
STREAM: Final = "GET /v1/console/pulse"
"""Answered for ever, so that no answer is ever whole; tests/api/console/ asks it."""


@pytest.fixture(scope="module")
def api(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API that is served."""
    queries = Queries(facts.client, database=facts.database)
    with served(queries, tmp_path_factory.mktemp("tokens"), api_burst=1_000_000) as running:
        yield running


def test_every_operation_is_asked() -> None:
    assert len(OPERATIONS) == sum(map(len, DOCUMENT["paths"].values()))


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("kind", SCOPES)
@pytest.mark.parametrize("label", sorted(OPERATIONS.keys() - {STREAM}))
def test_an_operation(api: Served, label: str, kind: str, mode: GenerationMode) -> None:
    statuses = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data(), is_there=st.booleans())
    def ask(data: st.DataObject, is_there: bool) -> None:
        case: Case[Any] = data.draw(OPERATIONS[label].as_strategy(mode))
        if is_there and case.path_parameters:
            for name in case.path_parameters:
                case.path_parameters[name] = data.draw(THERE[name])
        if is_there and isinstance(case.body, dict):
            case.body["account_ids"] = ["ann", "fleet/7", "eva"]
        answer = case.call(base_url=api.url, headers=api.headers(kind))
        case.validate_response(answer, checks=CHECKS)
        statuses.add(answer.status_code)

    ask()
    # Among what is wrong there are tokens, too.
    assert mode is GenerationMode.NEGATIVE or 401 not in statuses
    assert statuses
