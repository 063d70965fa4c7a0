"""A partner's documents are fetched page by page and sent, whatever the partner does meanwhile."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from api.gateway.fetching import TRIES, Fetcher, PullError, opened
from api.gateway.intake import Intake, Result
from api.gateway.metrics import GatewayMetrics
from api.gateway.pulling import Pulled, pull
from api.gateway.senders import read_senders
from api.gateway.settings import GatewaySettings
from schemas.settings import BrokerSettings
from schemas.singles import decode_one
from tests.api.gateway.ocpi_session import ENDED
from tests.api.gateway.partner import SECRET, Partner
from tests.api.gateway.served import files_in
from tests.api.gateway.test_ocpi import session as ocpi_session
from tests.benchmarks.http_servers import beside
from tests.producers.adapters.documents import example, needs_data
from tests.producers.adapters.test_ileap import tad
from tests.producers.adapters.test_ocpi import cdr
from tests.producers.client.sent import arrived

ILEAP: Final = """
[[senders]]
name = "partner"
programme = "cn-freight"
account = "carrier-7"
vehicles = "vehicles.csv"
[senders.pull]
from = "ileap"
url = "{url}"
client_id = "us"
secret_file = "secret"
"""
OCPI: Final = """
[[senders]]
name = "partner"
programme = "cn-charging"
ocpi = "{module}"
stations = "stations.csv"
vehicles = "vehicles.csv"
[senders.pull]
from = "ocpi"
url = "{url}/ocpi/2.2.1/{module}"
secret_file = "secret"
"""


class Pulling:
    """Pulls from partners."""

    def __init__(self, broker: BrokerSettings, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.results: list[Result] = []
        self.waits_s: list[float] = []
        files_in(folder)
        (folder / "secret").write_text(f"{SECRET}\n")

    def __call__(
        self, partner: Partner, senders: str = ILEAP, since: datetime | None = None, **words: str
    ) -> Pulled:
        """Pull all that a partner offers."""
        self.results.clear()

        async def pulled(url: str) -> Pulled:
            (self.folder / "senders.toml").write_text(senders.format(url=url, **words))
            known = read_senders(self.folder / "senders.toml", None).only()
            assert known is not None
            settings = GatewaySettings(bootstrap=self.broker.bootstrap, prefix=self.broker.prefix)
            with Intake(settings, GatewayMetrics(CollectorRegistry())) as intake:
                async with opened() as http:
                    fetcher = Fetcher(http, self._waited, random.Random(1))
                    return await pull(known, intake, fetcher, since=since, tell=self._tell)

        return beside(partner, pulled)

    async def _waited(self, s: float) -> None:
        self.waits_s.append(s)

    def _tell(self, number: int, result: Result) -> None:
        assert number == len(self.results)
        self.results.append(result)

    def arrived(self, topic: str = "freight-trips") -> list[Mapping[str, Any]]:
        """Return the records of a topic."""
        return [decode_one(message.value)[1] for message in arrived(self.broker, topic)]


@pytest.fixture
def pulling(topics: BrokerSettings, tmp_path: Path) -> Pulling:
    """What pulls."""
    return Pulling(topics, tmp_path)


def tads(count: int) -> Sequence[Any]:
    """Return activity data."""
    return [tad(activityId=f"activity-{number}") for number in range(count)]


@needs_data
def test_the_demo_data_of_ileap_come_in(pulling: Pulling) -> None:
    documents = example("conf-ileap/demo-data/tad.json")["tads"]
    pulled = pulling(Partner(documents))
    assert pulled.pages == -(-len(documents) // 2)
    assert sum(pulled.counts.values()) == len(documents)
    roads = [document for document in documents if document["mode"] == "Road"]
    trips = pulling.arrived()
    assert {trip["trip_id"] for trip in trips} == {each["activityId"] for each in roads}
    assert {trip["account_id"] for trip in trips} == {"carrier-7"}


def test_pages_are_followed_to_the_last(pulling: Pulling) -> None:
    partner = Partner(tads(5))
    assert pulling(partner).pages == 3
    assert {trip["trip_id"] for trip in pulling.arrived()} == {
        f"activity-{number}" for number in range(5)
    }
    assert partner.asked["/auth/token"] == 1
    assert partner.queries[0] == {"limit": "100"}


def test_pulling_again_books_nothing_twice(pulling: Pulling) -> None:
    for _ in range(2):
        pulling(Partner(tads(3)))
    # Another process knows nothing of the first, so the worker has to know them by identity.
    trips = pulling.arrived()
    assert len(trips) == 6
    assert len({(trip["account_id"], trip["source"], trip["trip_id"]) for trip in trips}) == 3


def test_a_token_is_had_where_the_openid_configuration_says(pulling: Pulling) -> None:
    partner = Partner(tads(1), discovery="/realms/partner/token")
    pulling(partner)
    assert partner.asked["/realms/partner/token"] == 1
    assert partner.asked["/auth/token"] == 0


def test_a_token_that_has_expired_is_replaced(pulling: Pulling) -> None:
    partner = Partner(tads(7), token_lasts=2)
    pulling(partner)
    assert partner.asked["/auth/token"] == 2
    assert len(pulling.arrived()) == 7


def test_a_token_that_never_is_good_ends_it(pulling: Pulling) -> None:
    with pytest.raises(PullError, match="HTTP 401"):
        pulling(Partner(tads(1), token_lasts=0))


def test_a_wrong_secret_ends_it_and_is_not_told(pulling: Pulling) -> None:
    (pulling.folder / "secret").write_text("wrong-secret")
    with pytest.raises(PullError, match="HTTP 401, no token") as caught:
        pulling(Partner(tads(1)))
    assert "wrong-secret" not in str(caught.value)


def test_what_is_refused_is_told_and_stops_nothing(pulling: Pulling) -> None:
    documents = [tad(mode="Rail"), *tads(2), {"activityId": "x"}]
    counts = pulling(Partner(documents)).counts
    assert counts == {"accepted": 2, "refused": 2}
    first = pulling.results[0]
    assert (first.status, first.path) == ("refused", "$.data[0].mode")


def test_passing_failures_are_waited_for(pulling: Pulling) -> None:
    partner = Partner(tads(1), failing=[503, 429, 500])
    pulling(partner)
    assert pulling.waits_s == [7.0, 7.0, 7.0]
    assert len(pulling.arrived()) == 1


def test_a_partner_that_stays_away_ends_it(pulling: Pulling) -> None:
    with pytest.raises(PullError, match=f"HTTP 503, {TRIES} times"):
        pulling(Partner(tads(1), failing=[503] * 100))
    assert len(pulling.waits_s) == TRIES - 1


def test_a_next_page_elsewhere_is_not_asked_for(pulling: Pulling) -> None:
    with pytest.raises(PullError, match="another host"):
        pulling(Partner(tads(3), next_host="https://evil.example"))
    # What came before is sent: it will be a repeat.
    assert len(pulling.arrived()) == 2


def test_cdrs_are_pulled_from_a_date_on(pulling: Pulling) -> None:
    documents = [cdr(id=f"cdr-{number}") for number in range(3)]
    partner = Partner(documents, is_ocpi=True)
    since = datetime(2024, 5, 1, 12, 30, 15, 999_999, tzinfo=UTC)
    pulled = pulling(partner, OCPI, since, module="cdrs")
    assert (pulled.pages, pulled.counts) == (2, {"accepted": 3})
    assert partner.queries[0] == {"limit": "100", "date_from": "2024-05-01T12:30:15Z"}
    ids = {record["session_id"] for record in pulling.arrived("charging-sessions")}
    assert ids == {f"DE*ABC*CDR-{number}" for number in range(3)}


def test_sessions_are_pulled_where_the_sender_sends_sessions(pulling: Pulling) -> None:
    documents = [ocpi_session(), ocpi_session(**ENDED, id="102")]
    pulled = pulling(Partner(documents, is_ocpi=True), OCPI, module="sessions")
    assert pulled.counts == {"accepted": 1, "refused": 1}
    assert pulling.results[0].reason.endswith("the session is not over")
    (record,) = pulling.arrived("charging-sessions")
    assert record["session_id"] == "BE*BEC*session*102"


@pytest.mark.parametrize(
    ("envelope", "why"),
    [
        ({"status_code": 2001, "status_message": "no date"}, "the partner says 2001: no date"),
        ({"status_code": 1000, "data": {}}, "the partner says 1000"),
        ({"status_code": "1000"}, "the partner says 1000"),
    ],
)
def test_an_envelope_that_says_no(pulling: Pulling, envelope: dict[str, Any], why: str) -> None:
    with pytest.raises(PullError, match=why):
        pulling(Partner([cdr()], is_ocpi=True, envelope=envelope), OCPI, module="cdrs")
    assert pulling.arrived("charging-sessions") == []


@pytest.mark.parametrize("text", ["", "two\nlines\n"])
def test_a_file_that_holds_no_secret(pulling: Pulling, text: str) -> None:
    (pulling.folder / "secret").write_text(text)
    with pytest.raises(PullError, match="not one with the secret"):
        pulling(Partner(tads(1)))


def test_a_partner_that_cannot_be_reached(topics: BrokerSettings, tmp_path: Path) -> None:
    pulling = Pulling(topics, tmp_path)
    senders = ILEAP.replace("{url}", "http://127.0.0.1:1")
    with pytest.raises(PullError, match="ConnectError"):
        pulling(Partner([]), senders)
