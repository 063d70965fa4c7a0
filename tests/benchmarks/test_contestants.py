"""The contestants: each has a bar, and what it runs with is pinned as what it is compared with."""

import re
from pathlib import Path

import pytest

from benchmarks.brokers import given
from benchmarks.contestants import ON_ANY_BROKER, ON_KAFKA, OURS, ROOT, Contestant
from benchmarks.generate import Load
from benchmarks.ground import Ground
from benchmarks.report import RATIO_MIN
from benchmarks.surroundings import kafka_version, versions
from benchmarks.trial import Trial

GROUND = Ground(bootstrap="127.0.0.1:1", prefix="p-", folder=Path("somewhere"), environ={})
TRIAL = Trial(
    key="given", broker=given("x:1"), contestants=ON_KAFKA, load=Load(), judged=frozenset()
)


def test_every_contestant_but_ours_has_a_bar() -> None:
    assert {each.name for each in ON_KAFKA} - {OURS.name} == RATIO_MIN.keys()


def test_kafka_adds_kafka_streams_alone() -> None:
    added = {each.name for each in ON_KAFKA} - {each.name for each in ON_ANY_BROKER}
    assert added == {"kafka_streams"}


def test_ours_is_measured_over_the_whole_load() -> None:
    assert (OURS.window_s_max, OURS.warm_share) == (None, 0.0)


def test_kafka_streams_is_of_the_version_of_the_broker() -> None:
    pom = (ROOT / "benchmarks/peers/kafka_streams/pom.xml").read_text("utf-8")
    assert re.findall(r"<kafka.version>(.*)</kafka.version>", pom) == [kafka_version()]


def test_the_versions_of_the_peers_are_those_that_are_asked_for() -> None:
    asked = (ROOT / "benchmarks/peers/requirements.in").read_text("utf-8")
    for name in ("quixstreams", "bytewax"):
        assert re.search(rf"(?m)^{name}(\[\w+\])?=={re.escape(versions()[name])}$", asked)


@pytest.mark.parametrize("contestant", ON_KAFKA, ids=lambda each: each.name)
def test_settings_name_the_port_the_broker_and_a_folder_of_the_run(contestant: Contestant) -> None:
    settings = contestant.environ(GROUND, 9_999).values()
    assert {"9999", GROUND.bootstrap} <= set(settings)
    assert any(value.startswith("somewhere/") for value in settings)


@pytest.mark.parametrize(
    "needs", sorted({each.needs for each in ON_KAFKA if each.needs is not None})
)
def test_make_knows_how_to_make_what_a_contestant_needs(needs: str) -> None:
    variables = {"$(PEERS)": ".venv/peers", "$(STREAMS)": "benchmarks/peers/kafka_streams"}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for name, path in variables.items():
        makefile = makefile.replace(name, path)
    assert re.search(rf"(?m)^{re.escape(needs)}:", makefile)


def test_a_trial_of_some_has_them_alone() -> None:
    assert [each.name for each in TRIAL.only(["bytewax"]).contestants] == ["bytewax"]


def test_a_shortened_trial_still_measures_ours_over_the_whole_load() -> None:
    windows = {each.name: each.window_s_max for each in TRIAL.shortened(2.0).contestants}
    assert windows.pop(OURS.name) is None
    assert set(windows.values()) == {2.0}
