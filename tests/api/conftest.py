"""An API over a store with a few facts in it: chDB in this process, asked through ASGI."""

from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from prometheus_client import CollectorRegistry

from api.app import create_app, create_service
from api.settings import ApiSettings
from carbon.programmes import parse_programme
from sinks.migrate import migrate
from sinks.queries import Queries
from tests.api.asked import Http
from tests.sinks.facts import Facts, balance, factor, refusal, session, transfer

PROGRAMMES = {
    "scheme": parse_programme(
        """
        name = "scheme"
        title = "A scheme of these tests"
        boundary = "wtw"
        source = "made up"
        [fallback]
        place = false
        time = false
        [charging]
        grid = "annual"
        classes = ["car"]
        """
    )
}
SETTINGS = ApiSettings(api_accounts_max=3, api_rows_max=50)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client to a chDB store of this module."""
    path = str(tmp_path_factory.mktemp("store") / "data")
    with clickhouse_connect.get_client(interface="chdb", path=path) as opened:
        yield opened


@pytest.fixture(scope="module")
def facts(client: Client) -> Facts:
    """Sessions of ann and of an account with a slash, a trip, hours of factors, refusals."""
    migrate(client, database="api")
    put = Facts(client, "api")
    put.sessions(5)
    put.sessions(2, account_id="fleet/7", first=5)
    put.trips(1)
    put.book()
    known = session(20, account_id="eva", programme="scheme")
    put.put("charging_sessions", known)
    booked = transfer(known, "emission", 10_020 * 200)
    put.put("transfers", booked | {"programme_digest": PROGRAMMES["scheme"].digest})
    put.put("balances", balance([booked]))
    put.put("factors", *(factor(number) for number in range(9)))
    grid = {"factor_id": "grid:CN-BJ:2021", "kind": "grid_average", "region": "CN-BJ"}
    put.put("factors", factor(0, **grid, valid_from=0, valid_to=253_402_300_800_000))
    put.put("refusals", refusal(0), refusal(1, code="too_long"))
    return put


@pytest.fixture
def registry() -> CollectorRegistry:
    """Metrics of one application."""
    return CollectorRegistry()


@pytest.fixture
def http(facts: Facts, registry: CollectorRegistry) -> Http:
    """A client of the application."""
    queries = Queries(facts.client, database=facts.database)
    return Http(create_app(queries, settings=SETTINGS, registry=registry, programmes=PROGRAMMES))


@pytest.fixture
def service(facts: Facts, registry: CollectorRegistry) -> Http:
    """A client of what tells how the application is."""
    queries = Queries(facts.client, database=facts.database)
    return Http(create_service(queries, settings=SETTINGS, registry=registry))
