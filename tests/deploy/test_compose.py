"""docker-compose.yml is what Compose reads, and speaks of what exists: images, commands, settings,
services, ports, files, variables.
"""

import json
import os
import re
import subprocess
from contextlib import closing
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import yaml
from chdb.state.sqlitelike import Connection

from api.gateway.senders import read_senders
from cli.main import carbonflow
from schemas.settings import read_settings, variables
from sinks.migrate import statements
from tests.clickhouse_access import USERS_SQL, granted
from tests.commands import READ, commands
from tests.go_modules import module

ROOT: Final = Path(__file__).resolve().parents[2]
USERS_SH: Final = USERS_SQL.with_name("users.sh")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = sorted(name for name, service in SERVICES.items() if "build" in service)
RUN_ON: Final = sorted(name for name in OURS if "healthcheck" in SERVICES[name])
PINNED: Final = re.compile(r"[\w./-]+:v?\d+\.\d+[\w.-]*")
GIVEN: Final = re.compile(r"\$\{(\w+):-(.*?)\}")
COMMANDS: Final = commands(carbonflow)


def command_of(service: str) -> str:
    """Return the name of the command that a service runs."""
    words: list[str] = SERVICES[service]["command"]
    named = [" ".join(words[:count]) for count in (2, 1)]
    found = next((name for name in named if name in COMMANDS), None)
    assert found, f"there is no command {words}"
    return found


def environ_of(service: str) -> dict[str, str]:
    """Return a service's variables as its process sees them where nothing is overridden."""
    given: dict[str, str] = SERVICES[service].get("environment", {})
    return {name: GIVEN.sub(r"\2", value) for name, value in given.items()}


def settings_of(service: str) -> dict[str, Any]:
    """Return the value of every setting the service's command reads, by variable."""
    found: dict[str, Any] = {}
    for cls in READ[command_of(service)]:
        value: Any = read_settings(cls, environ_of(service))
        found |= {
            name: getattr(value, each.name) for each in fields(cls) for name in variables(each)
        }
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


def test_compose_reads_it() -> None:
    folder = module(
        "github.com/compose-spec/compose-go/v2",
        "v2.9.0",
        "h1:UHSv/QHlo6QJtrT4igF1rdORgIUhDo1gWuyJUoiNNIM=",
    )
    schema = json.loads((folder / "schema/compose-spec.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    assert [str(error) for error in validator.iter_errors(COMPOSE)] == []
    broken = {**COMPOSE, "services": {**SERVICES, "api": {**SERVICES["api"], "comand": []}}}
    assert not validator.is_valid(broken)


def test_all_that_belongs_to_a_deployment_is_there() -> None:
    assert set(SERVICES) == {
        *("kafka", "schema-registry", "clickhouse", "prometheus", "grafana"),
        *("topics", "schemas", "factors", "migrate"),
        *("worker-0", "worker-1", "sink", "api", "gateway", "verify", "demo"),
    }
    assert [name for name in SERVICES if SERVICES[name].get("profiles")] == ["demo"]


@pytest.mark.parametrize("service", OURS)
def test_its_command_exists_with_its_options(service: str) -> None:
    name = command_of(service)
    options = {option for each in COMMANDS[name].params for option in each.opts}
    assert {word for word in SERVICES[service]["command"] if word.startswith("--")} <= options


def test_every_variable_is_in_the_example_with_its_default() -> None:
    """And twice the same variable has twice the same default."""
    used = set(GIVEN.findall((ROOT / "docker-compose.yml").read_text()))
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    said = [tuple(line.split("=")) for line in lines if line and not line.startswith("#")]
    assert sorted(said) == sorted(used)
    assert "$" not in GIVEN.sub("", (ROOT / "docker-compose.yml").read_text())


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_what_is_mounted_is_there(service: str) -> None:
    for volume in SERVICES[service].get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_it_takes_no_more_than_its_share(service: str) -> None:
    limits = SERVICES[service]["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) <= 2
    assert re.fullmatch(r"\d+[MG]", limits["memory"])


def test_no_port_of_this_machine_is_given_twice() -> None:
    ports = [p.rsplit(":", 1)[0] for it in SERVICES.values() for p in it.get("ports", [])]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("service", OURS)
def test_its_variables_are_settings_of_its_command(service: str) -> None:
    assert set(environ_of(service)) <= set(settings_of(service))


@pytest.mark.parametrize("service", OURS)
def test_its_settings_can_be_read(service: str) -> None:
    assert settings_of(service)


@pytest.mark.parametrize("service", OURS)
def test_the_hosts_in_its_settings_are_services_and_their_ports(service: str) -> None:
    settings = settings_of(service)
    if "CARBONFLOW_BOOTSTRAP" in environ_of(service):
        assert settings["CARBONFLOW_BOOTSTRAP"] == "kafka:9092"
        assert "PLAINTEXT://kafka:9092" in SERVICES["kafka"]["environment"][
            "KAFKA_ADVERTISED_LISTENERS"
        ].split(",")
    if "CARBONFLOW_CLICKHOUSE_URL" in environ_of(service):
        url = urlsplit(settings["CARBONFLOW_CLICKHOUSE_URL"])
        assert (url.hostname, url.port) == ("clickhouse", 8123)
    if "CARBONFLOW_SCHEMA_REGISTRY_URL" in environ_of(service):
        url = urlsplit(settings["CARBONFLOW_SCHEMA_REGISTRY_URL"])
        assert (url.hostname, url.port, url.path) == ("schema-registry", 8080, "/apis/ccompat/v7")
        assert 8080 in ports_inside("schema-registry")


@pytest.mark.parametrize(
    ("service", "user"),
    [
        *(("migrate", "migrator"), ("sink", "writer"), ("api", "reader")),
        *(("worker-0", "reader"), ("worker-1", "reader"), ("verify", "reader")),
    ],
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


@pytest.mark.parametrize("service", RUN_ON)
def test_its_readiness_is_asked_of_a_port_it_serves(service: str) -> None:
    """That it is answered there, `test_read_only` tries."""
    check = " ".join(SERVICES[service]["healthcheck"]["test"])
    (asked,) = re.findall(r"http://127\.0\.0\.1:(\d+)/readyz'", check)
    settings = settings_of(service)
    kind = f"{service.upper()}_METRICS" if service in {"api", "gateway"} else "METRICS"
    assert int(asked) == settings[f"CARBONFLOW_{kind}_PORT"]
    assert int(asked) in ports_inside(service)


def test_prometheus_scrapes_all_that_serve_metrics_and_nothing_else() -> None:
    (here,) = (v.split(":")[0] for v in SERVICES["prometheus"]["volumes"] if v.startswith("."))
    config = yaml.safe_load((ROOT / here / "prometheus.yml").read_text("utf-8"))
    targets = {
        target
        for job in config["scrape_configs"]
        for group in job.get("static_configs", [])
        for target in group["targets"]
    }
    own = "127.0.0.1:9090", "localhost:9090"
    assert targets - {*own} == {f"{service}:9101" for service in RUN_ON}
    for pattern in config["rule_files"]:
        assert list((ROOT / here).glob(pattern)), pattern


def test_grafana_knows_what_its_sources_ask_for() -> None:
    (here,) = (v.split(":")[0] for v in SERVICES["grafana"]["volumes"] if v.startswith("."))
    sources = [path.read_text("utf-8") for path in (ROOT / here / "datasources").glob("*.y*ml")]
    assert sources
    for text in sources:
        named = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]+)", text))
        assert named <= set(SERVICES["grafana"]["environment"])
        for source in yaml.safe_load(text)["datasources"]:
            host = source.get("jsonData", {}).get("host") or urlsplit(source["url"]).hostname
            assert host in SERVICES


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_it_waits_for_what_it_needs_in_the_way_that_can_happen(service: str) -> None:
    for needed, how in SERVICES[service].get("depends_on", {}).items():
        lasts = "healthcheck" in SERVICES[needed]
        condition = "service_healthy" if lasts else "service_completed_successfully"
        assert how == {"condition": condition}


@pytest.mark.parametrize("service", OURS)
def test_it_cannot_become_more_than_it_is(service: str) -> None:
    it = SERVICES[service]
    assert it["read_only"] is True
    assert it["cap_drop"] == ["ALL"]
    assert it["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", OURS)
def test_it_waits_for_all_that_its_settings_name(service: str) -> None:
    """Directly or through another: Kafka by the topics, ClickHouse by its tables."""
    seen: set[str] = set()
    waiting = [service]
    while waiting:
        new = set(SERVICES[waiting.pop()].get("depends_on", {})) - seen
        seen |= new
        waiting += new
    asked = {"BOOTSTRAP": "kafka", "CLICKHOUSE_URL": "clickhouse"}
    asked["SCHEMA_REGISTRY_URL"] = "schema-registry"
    named = {host for end, host in asked.items() if f"CARBONFLOW_{end}" in environ_of(service)}
    assert named
    assert named <= seen


def test_members_of_a_group_have_lasting_names_of_their_own() -> None:
    names = {name: environ_of(name) for name in OURS}
    workers = [each.get("CARBONFLOW_INSTANCE") for each in names.values()]
    sinks = [each.get("CARBONFLOW_SINK_INSTANCE_ID") for each in names.values()]
    assert list(filter(None, workers)) == ["worker-0", "worker-1"]
    assert list(filter(None, sinks)) == ["sink-0"]
