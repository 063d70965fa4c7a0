"""`topics` and `factors load` against a broker: repeated, they change nothing."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from cli.inputs import RELEASE, read_factors
from producers.published import published
from schemas.catalogue import TOPICS
from schemas.settings import BrokerSettings
from tests.cli.test_wrong_use import call

OWN = """factor_id,kind,region,subject,boundary,gas,value_kg,unit,publisher,licence
acme:CN-BJ,grid_average,CN-BJ,electricity,ttw,co2,0.5,kwh,Acme,own data
"""


@pytest.fixture
def settings(broker: str, monkeypatch: pytest.MonkeyPatch) -> BrokerSettings:
    """A deployment of its own on the broker, which the command is told of."""
    prefix = f"p{uuid.uuid4().hex}."
    monkeypatch.setenv("CARBONFLOW_BOOTSTRAP", broker)
    monkeypatch.setenv("CARBONFLOW_PREFIX", prefix)
    return BrokerSettings(bootstrap=broker, prefix=prefix)


def asked(*words: str) -> dict[str, Any]:
    """Return the JSON of a command that succeeds."""
    done = call(*words, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_topics_are_made_once(settings: BrokerSettings) -> None:
    names = {settings.topic(name) for name in TOPICS}
    first, second = asked("topics", "--partitions", "2"), asked("topics")
    assert (set(first["made"]), first["found"]) == (names, [])
    assert (second["made"], set(second["found"])) == ([], names)


def test_a_release_published_again_stays_where_it_is(
    settings: BrokerSettings, tmp_path: Any
) -> None:
    own = tmp_path / "own.csv"
    own.write_text(OWN)
    count = len(read_factors([RELEASE]))
    asked("topics")
    assert asked("factors", "load") == {"published": count, "unchanged": 0}
    assert asked("factors", "load", str(own)) == {"published": 1, "unchanged": 0}
    assert asked("factors", "load") == {"published": 0, "unchanged": count}
    assert list(asyncio.run(published(settings)))[-1][1] == "acme:CN-BJ"
    assert asked("factors", "load", "--force") == {"published": count, "unchanged": 0}
    assert next(iter(asyncio.run(published(settings))))[1] == "acme:CN-BJ"


def test_a_topic_that_is_not_there_is_a_failure(settings: BrokerSettings) -> None:
    done = call("factors", "load")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"carbonflow: there is no topic {settings.topic('emission-factors')}: "
        "`carbonflow topics` makes it\n"
    )
