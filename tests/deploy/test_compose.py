"""docker-compose.yml speaks of what exists: images, commands, settings, services, ports."""

import os
import re
import subprocess
from contextlib import closing
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import pytest
import yaml
from chdb.state.sqlitelike import Connection

from api.gateway.senders import read_senders
from api.gateway.settings import GatewaySettings
from api.settings import ApiSettings
from cli.main import carbonflow
from cli.processes import MetricsSettings
from schemas.settings import BrokerSettings, read_settings, variable
from sinks.connect import StoreSettings
from sinks.migrate import statements
from sinks.sink import SinkSettings
from streams.settings import WorkerSettings
from tests.clickhouse_access import USERS_SQL, granted

ROOT: Final = Path(__file__).resolve().parents[2]
USERS_SH: Final = USERS_SQL.with_name("users.sh")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = sorted(name for name, service in SERVICES.items() if "build" in service)
PINNED: Final = re.compile(r"[\w./-]+:\d+\.\d+[\w.-]*")

# What each command reads from its environment.
SETTINGS: Final[dict[str, tuple[type, ...]]] = {
    "worker": (WorkerSettings, StoreSettings),
    "sink": (SinkSettings, StoreSettings, MetricsSettings),
    "api": (ApiSettings, BrokerSettings, StoreSettings),
    "gateway": (GatewaySettings,),
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
        url = urlsplit(settings["CARBONFLOW_CLICKHOUSE_URL"])
        assert (url.hostname, url.port) == ("clickhouse", 8123)


@pytest.mark.parametrize(
    ("service", "user"), [("migrate", "migrator"), ("sink", "writer"), ("api", "reader")]
)
def test_each_part_is_a_user_of_its_own_in_clickhouse(service: str, user: str) -> None:
    settings = settings_of(service)
    assert settings["CARBONFLOW_CLICKHOUSE_USER"] == f"carbonflow_{user}"
    assert settings["CARBONFLOW_CLICKHOUSE_USER"] in granted(USERS_SQL.read_text("utf-8"))
    # What the store is told is what the part says, from the same variable of whoever starts it.
    given = {
        SERVICES["clickhouse"]["environment"][f"{user.upper()}_PASSWORD"],
        SERVICES[service]["environment"]["CARBONFLOW_CLICKHOUSE_PASSWORD"],
    }
    assert given == {f"${{CLICKHOUSE_{user.upper()}_PASSWORD:-carbonflow}}"}


def test_what_makes_the_users_is_where_the_image_looks_for_it() -> None:
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["clickhouse"]["volumes"])
    assert mounted["./deploy/clickhouse/users.sh"] == "/docker-entrypoint-initdb.d/users.sh"
    assert f":-{mounted['./deploy/clickhouse/users.sql']}}}" in USERS_SH.read_text("utf-8")
    assert os.access(USERS_SH, os.X_OK)


def test_the_users_are_made_with_their_passwords_and_none_is_on_a_command_line(
    tmp_path: Path,
) -> None:
    """In the place of the client stands what writes down how it was called and what it was told."""
    client, said = tmp_path / "clickhouse-client", tmp_path / "said"
    client.write_text(f'#!/bin/sh\necho "$@" > {said}.words\ncat > {said}\n')
    client.chmod(0o755)
    passwords = {"migrator": "it's", "writer": r"back\slash \' \n", "reader": 'a "b" $HOME `x` é'}
    environ = {f"{user.upper()}_PASSWORD": password for user, password in passwords.items()}
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(
        [USERS_SH], env=environ | {"PATH": path, "USERS_SQL": str(USERS_SQL)}, check=True
    )
    assert (tmp_path / "said.words").read_text() == "--host 127.0.0.1 --multiquery\n"
    told = statements(said.read_text("utf-8"))
    assert told[3:] == statements(USERS_SQL.read_text("utf-8"))
    with closing(Connection(":memory:")) as engine:
        for statement in told[:3]:
            engine.query(statement, "TabSeparatedRaw")
        for user, password in passwords.items():
            shown = engine.query(f"SELECT {{{user}_password:String}}", "TabSeparatedRaw")
            assert shown.bytes().decode() == f"{password}\n"


@pytest.mark.parametrize("service", OURS)
def test_what_it_serves_is_served_beyond_its_container(service: str) -> None:
    settings = settings_of(service)
    served = {
        port: settings[f"CARBONFLOW_{kind}_HOST"]
        for kind in ("METRICS", "API", "API_METRICS", "GATEWAY", "GATEWAY_METRICS")
        if (port := settings.get(f"CARBONFLOW_{kind}_PORT", 0))
    }
    assert served == dict.fromkeys(ports_inside(service), "0.0.0.0")


def test_the_gateway_finds_its_senders_and_knows_without_tokens_who_sends() -> None:
    (volume,) = SERVICES["gateway"]["volumes"]
    here, there, _ = volume.split(":")
    assert settings_of("gateway")["CARBONFLOW_GATEWAY_SENDERS_FILE"] == Path(there)
    assert read_senders(ROOT / here, None).only() is not None


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
    kinds = (f"{service.upper()}_METRICS",) if service in {"api", "gateway"} else ("METRICS",)
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
