"""docker-compose.yml speaks of what exists: images, commands, settings, services, ports."""

import re
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import pytest
import yaml

from api.settings import ApiSettings
from cli.main import carbonflow
from cli.processes import MetricsSettings
from schemas.settings import BrokerSettings, read_settings, variable
from sinks.connect import StoreSettings
from sinks.sink import SinkSettings
from streams.settings import WorkerSettings

ROOT: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = sorted(name for name, service in SERVICES.items() if "build" in service)
PINNED: Final = re.compile(r"[\w./-]+:\d+\.\d+[\w.-]*")

# What each command reads from its environment.
SETTINGS: Final[dict[str, tuple[type, ...]]] = {
    "worker": (WorkerSettings,),
    "sink": (SinkSettings, StoreSettings, MetricsSettings),
    "api": (ApiSettings, BrokerSettings, StoreSettings),
    "migrate": (StoreSettings,),
    "topics": (BrokerSettings,),
    "factors": (BrokerSettings,),
}


def environ_of(service: str) -> dict[str, str]:
    """Return a service's variables as its process sees them where nothing is overridden."""
    given: dict[str, str] = SERVICES[service].get("environment", {})
    return {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for name, value in given.items()}


def settings_of(service: str) -> dict[str, Any]:
    """Return the value of every setting the service's command reads, by variable."""
    found: dict[str, Any] = {}
    for cls in SETTINGS[SERVICES[service]["command"][0]]:
        value: Any = read_settings(cls, environ_of(service))
        found |= {variable(each.name): getattr(value, each.name) for each in fields(cls)}
    return found


def ports_inside(service: str) -> set[int]:
    return {int(port.rsplit(":", 1)[1]) for port in SERVICES[service].get("ports", [])}


def test_every_image_is_pinned_to_a_version() -> None:
    images = {name: service["image"] for name, service in SERVICES.items()}
    assert {name: it for name, it in images.items() if not PINNED.fullmatch(it)} == {}


def test_our_image_has_the_version_of_the_package() -> None:
    assert {SERVICES[name]["image"] for name in OURS} == {f"carbonflow:{version('carbonflow')}"}


def test_kafka_is_the_version_that_is_tested() -> None:
    pinned = re.search(
        r"kafka_2.13</artifactId>\s*<version>(.*?)<", (ROOT / "tests/kafka/pom.xml").read_text()
    )
    assert pinned is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{pinned[1]}"


@pytest.mark.parametrize("service", OURS)
def test_its_command_exists(service: str) -> None:
    group: click.Command = carbonflow
    for word in SERVICES[service]["command"]:
        if not isinstance(group, click.Group):
            break  # What follows a command are its arguments.
        assert word in group.commands
        group = group.commands[word]


@pytest.mark.parametrize("service", OURS)
def test_its_variables_are_settings_of_its_command(service: str) -> None:
    assert set(environ_of(service)) <= set(settings_of(service))


@pytest.mark.parametrize("service", OURS)
def test_its_settings_can_be_read(service: str) -> None:
    assert settings_of(service)


@pytest.mark.parametrize("service", OURS)
def test_the_hosts_in_its_settings_are_services_and_their_ports(service: str) -> None:
    settings = settings_of(service)
    if "CARBONFLOW_BOOTSTRAP" in settings:
        assert settings["CARBONFLOW_BOOTSTRAP"] == "kafka:9092"
        assert "PLAINTEXT://kafka:9092" in SERVICES["kafka"]["environment"][
            "KAFKA_ADVERTISED_LISTENERS"
        ].split(",")
    if "CARBONFLOW_CLICKHOUSE_URL" in settings:
        url, store = urlsplit(settings["CARBONFLOW_CLICKHOUSE_URL"]), environ_of("clickhouse")
        assert (url.username, url.password) == (
            store["CLICKHOUSE_USER"],
            store["CLICKHOUSE_PASSWORD"],
        )
        assert (url.hostname, url.port) == ("clickhouse", 8123)


@pytest.mark.parametrize("service", OURS)
def test_what_it_serves_is_served_beyond_its_container(service: str) -> None:
    settings = settings_of(service)
    served = {
        port: settings[f"CARBONFLOW_{kind}_HOST"]
        for kind in ("METRICS", "API", "API_METRICS")
        if (port := settings.get(f"CARBONFLOW_{kind}_PORT", 0))
    }
    assert served == dict.fromkeys(ports_inside(service), "0.0.0.0")


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_its_ports_are_open_on_this_machine_alone(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_what_runs_on_says_whether_it_is_well_and_is_started_again(service: str) -> None:
    runs_on = SERVICES[service]["restart"] == "unless-stopped"
    assert runs_on == ("healthcheck" in SERVICES[service])


@pytest.mark.parametrize("service", OURS)
def test_its_health_is_asked_of_a_port_it_serves(service: str) -> None:
    check = " ".join(SERVICES[service].get("healthcheck", {}).get("test", []))
    asked = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)/", check)}
    settings = settings_of(service)
    kinds = ("API_METRICS",) if service == "api" else ("METRICS",)
    served = {port for kind in kinds if (port := settings.get(f"CARBONFLOW_{kind}_PORT"))}
    assert asked == served <= ports_inside(service)


@pytest.mark.parametrize("service", OURS)
def test_it_waits_for_what_it_needs_in_the_way_that_can_happen(service: str) -> None:
    for needed, how in SERVICES[service]["depends_on"].items():
        lasts = "healthcheck" in SERVICES[needed]
        condition = "service_healthy" if lasts else "service_completed_successfully"
        assert how == {"condition": condition}


@pytest.mark.parametrize("service", OURS)
def test_it_cannot_become_more_than_it_is(service: str) -> None:
    it = SERVICES[service]
    assert it["read_only"] is True
    assert it["cap_drop"] == ["ALL"]
    assert it["security_opt"] == ["no-new-privileges:true"]


def test_members_of_a_group_have_lasting_names_of_their_own() -> None:
    names = [
        environ_of(service).get(name)
        for service, name in (
            ("worker", "CARBONFLOW_INSTANCE"),
            ("sink", "CARBONFLOW_SINK_INSTANCE_ID"),
        )
    ]
    assert names == ["worker-0", "sink-0"]
