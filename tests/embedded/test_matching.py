"""The match that people ask for is the workers': the latest published wins, whatever its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.answers import StoreAnswers
from embedded.matching import NoMatchError, match_factor
from embedded.store import Store
from sinks.migrate import migrate
from sinks.queries import Queries
from tests.sinks.facts import Facts, factor

AT = "2021-01-01T00:30:00+00:00"


@pytest.fixture
def facts(tmp_path: Path) -> Iterator[Facts]:
    """An empty store."""
    with Store.open(tmp_path / "store") as store:
        migrate(store.writer)
        yield Facts(store.writer, "carbonflow")


def matched(facts: Facts, at: str = AT) -> str:
    """Return the release of the factor of an hour in California."""
    found = match_factor(
        StoreAnswers(Queries(facts.client), {}),
        "US-CAL-CISO",
        at,
        kind="grid_hourly",
        subject="electricity",
        unit="kwh",
        boundary="wtw",
    )
    return str(found["factor"]["release"])


def test_the_later_published_wins_though_its_release_sorts_first(facts: Facts) -> None:
    facts.put("factors", factor(0, release="z", _offset=1), factor(0, release="a", _offset=2))
    assert matched(facts) == "a"


def test_one_published_again_wins(facts: Facts) -> None:
    facts.put("factors", factor(0, release="z", _offset=1), factor(0, release="a", _offset=2))
    facts.put("factors", factor(0, release="z", _offset=3))
    assert matched(facts) == "z"


def test_nothing_published_is_no_match(facts: Facts) -> None:
    with pytest.raises(NoMatchError, match="no grid_hourly factor"):
        matched(facts)
