"""One store, two doors: what asks for `client` runs on chDB in this process and over HTTP."""

from collections.abc import Iterator
from itertools import count

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from sinks.connect import StoreSettings, connect
from sinks.migrate import migrate
from sinks.queries import Queries
from tests import clickhouse_server
from tests.sinks.facts import Facts

_numbers = count()


@pytest.fixture(scope="module", params=["chdb", "http"])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A client to an empty store; chDB opens one path per process, so a module closes its own."""
    folder = tmp_path_factory.mktemp("store") / "data"
    if request.param == "chdb":
        with clickhouse_connect.get_client(interface="chdb", path=str(folder)) as opened:
            yield opened
    else:
        with (
            clickhouse_server.start(folder) as url,
            connect(StoreSettings(clickhouse_url=url)) as opened,
        ):
            yield opened


@pytest.fixture
def empty(client: Client) -> Iterator[str]:
    """The name of a database that isn't there yet; it is dropped at the end."""
    name = f"test_{next(_numbers)}"
    yield name
    client.command(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def facts(client: Client, empty: str) -> Facts:
    """A migrated database to put facts into."""
    migrate(client, database=empty)
    return Facts(client, empty)


@pytest.fixture
def queries(facts: Facts) -> Queries:
    """The queries of the database of `facts`."""
    return Queries(facts.client, database=facts.database)
