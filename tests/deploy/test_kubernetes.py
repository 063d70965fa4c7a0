"""deploy/kubernetes is what a cluster takes, and speaks of what exists: commands, settings, ports,
paths, users, partitions.
"""

from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
import yaml

from deploy.kubernetes.rules import written
from schemas.settings import variables
from streams.settings import WorkerSettings
from tests.clickhouse_access import USERS_SQL, granted
from tests.commands import READ
from tests.deploy.cluster import FOLDER, Object, together, wrong
from tests.deploy.manifests import (
    COMMANDS,
    JOBS,
    LASTING,
    PARTS,
    RENDERED,
    command_of,
    container_of,
    environ_of,
    of,
    settings_of,
    volumes_of,
    workloads,
)
from tests.pages import ROOT, first_words, rows, section, words

REFERENCE: Final = (ROOT / "docs/reference.md").read_text("utf-8")
SECURITY: Final = (ROOT / "docs/security.md").read_text("utf-8")
PAGE: Final = (ROOT / "docs/kubernetes.md").read_text("utf-8")
ROUTES: Final = {
    "worker": "Routes of worker, sink and verify",
    "sink": "Routes of worker, sink and verify",
    "api": "Routes",
    "gateway": "Routes of the gateway",
    "verify": "Routes of worker, sink and verify",
}


# What a cluster takes


@pytest.mark.parametrize("name", RENDERED)
def test_a_cluster_takes_it(objects: Mapping[str, list[Object]], name: str) -> None:
    assert objects[name]
    for one in objects[name]:
        assert wrong(one) == [], f"{one['kind']} {one['metadata']['name']}"


def test_a_cluster_takes_all_components_together(everything: list[Object]) -> None:
    kinds = {one["kind"] for one in everything}
    assert {"ServiceMonitor", "ScaledObject", "StatefulSet", "NetworkPolicy", "Job"} <= kinds
    for one in everything:
        assert wrong(one) == [], f"{one['kind']} {one['metadata']['name']}"


@pytest.mark.parametrize("kind", ["Deployment", "ServiceMonitor", "ScaledObject"])
def test_a_misspelt_field_would_be_found(everything: list[Object], kind: str) -> None:
    one = of(everything, kind)[0]
    assert wrong({**one, "spec": {**one["spec"], "misspelt": 1}})


def test_the_alerts_are_those_of_prometheus(tmp_path: Path) -> None:
    path = FOLDER / "components/alerts/rules.yaml"
    assert path.read_text("utf-8") == written(), "`make rules` writes it"
    (rule,) = of(together(tmp_path, "base", ["alerts"]), "PrometheusRule")
    assert wrong(rule) == []


# Commands and settings


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_its_command_exists_with_its_options(
    objects: Mapping[str, list[Object]], folder: str, name: str
) -> None:
    workload = workloads(objects[folder])[name]
    known = {option for each in COMMANDS[command_of(workload)].params for option in each.opts}
    args = container_of(workload)["args"]
    assert {word for word in args if word.startswith("--")} <= known


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_its_settings_can_be_read_and_are_its_own(
    objects: Mapping[str, list[Object]], folder: str, name: str, tmp_path: Path
) -> None:
    workload = workloads(objects[folder])[name]
    settings = settings_of(workload, environ_of(workload, objects[folder], tmp_path))
    own = {each["name"] for each in container_of(workload).get("env", [])}
    assert own <= settings.keys()


@pytest.mark.parametrize("folder", ["example/run", "example/setup"])
def test_a_shared_setting_is_one_of_somebody(
    objects: Mapping[str, list[Object]], folder: str
) -> None:
    known = {
        name for read in READ.values() for cls in read for f in fields(cls) for name in variables(f)
    }
    for config in of(objects[folder], "ConfigMap"):
        if not config["metadata"]["name"].startswith("carbonflow-gateway"):
            assert config["data"].keys() <= known


def test_with_passwords_every_part_that_speaks_to_kafka_is_a_user_with_rights(
    everything: list[Object], tmp_path: Path
) -> None:
    cells = (words(row[0]) for row in rows(section(SECURITY, "Rights")))
    users = {user for each in cells for user in each}
    for name, workload in workloads(everything).items():
        if name in ("schemas", "migrate"):
            continue  # They know no Kafka.
        settings = settings_of(workload, environ_of(workload, everything, tmp_path))
        user = settings["CARBONFLOW_SASL_USERNAME"]
        assert settings["CARBONFLOW_SECURITY_PROTOCOL"] == "SASL_SSL"
        assert settings["CARBONFLOW_SASL_PASSWORD"] == "secret"
        assert user in users
        secrets = [v["secret"] for v in volumes_of(workload) if "secret" in v]
        assert f"carbonflow-kafka-{user}" in {each["secretName"] for each in secrets}


@pytest.mark.parametrize(
    ("folder", "name", "user"),
    [
        ("example/run", "worker", "reader"),
        ("example/run", "sink", "writer"),
        ("example/run", "api", "reader"),
        ("example/run", "verify", "reader"),
        ("example/setup", "migrate", "migrator"),
    ],
)
def test_each_part_is_a_user_of_its_own_in_clickhouse(
    objects: Mapping[str, list[Object]], folder: str, name: str, user: str, tmp_path: Path
) -> None:
    workload = workloads(objects[folder])[name]
    settings = settings_of(workload, environ_of(workload, objects[folder], tmp_path))
    assert settings["CARBONFLOW_CLICKHOUSE_USER"] == f"carbonflow_{user}"
    assert f"carbonflow_{user}" in granted(USERS_SQL.read_text("utf-8"))
    assert f"carbonflow-clickhouse-{user}" in yaml.safe_dump(volumes_of(workload))


def test_its_image_is_the_version_of_the_package(objects: Mapping[str, list[Object]]) -> None:
    mine = version("carbonflow")
    for found in objects.values():
        for workload in workloads(found).values():
            assert container_of(workload)["image"].endswith(f"carbonflow:{mine}")
    names = {job["metadata"]["name"] for job in of(objects["setup"], "Job")}
    assert names == {f"{name}-{mine.replace('.', '-')}" for name in JOBS}


# Names that lead somewhere


def test_the_secrets_are_those_that_the_page_asks_for(everything: list[Object]) -> None:
    keys: dict[str, set[str]] = {}
    for workload in workloads(everything).values():
        container = container_of(workload)
        shared = {each["configMapRef"]["name"] for each in container["envFrom"]}
        values = [e.get("value", "") for e in container.get("env", [])]
        for config in of(everything, "ConfigMap"):
            if config["metadata"]["name"] in shared:
                values += config["data"].values()
        at = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        for volume in volumes_of(workload):
            if "secret" in volume:
                files = {Path(v) for v in values if v.startswith(f"{at[volume['name']]}/")}
                named = keys.setdefault(volume["secret"]["secretName"], set())
                named |= {path.name for path in files}
    table = {words(row[0])[0]: set(words(row[1])) for row in rows(section(PAGE, "Secrets"))}
    assert table == keys


@pytest.mark.parametrize("folder", ["example/run", "example/setup"])
def test_what_is_referred_to_is_there(objects: Mapping[str, list[Object]], folder: str) -> None:
    found = objects[folder]
    configs = {one["metadata"]["name"] for one in of(found, "ConfigMap")}
    for workload in workloads(found).values():
        mounted = {mount["name"] for mount in container_of(workload)["volumeMounts"]}
        claims = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
        assert mounted == {volume["name"] for volume in volumes_of(workload)} | claims
        for volume in volumes_of(workload):
            if "configMap" in volume:
                assert volume["configMap"]["name"] in configs
    assert {one["metadata"]["namespace"] for one in found} == {"carbonflow"}


@pytest.mark.parametrize("name", LASTING)
def test_its_ports_are_those_it_serves_beyond_its_pod(
    objects: Mapping[str, list[Object]], name: str, tmp_path: Path
) -> None:
    found = objects["example/run"]
    workload = workloads(found)[name]
    ports = {p["name"]: p["containerPort"] for p in container_of(workload)["ports"]}
    settings = settings_of(workload, environ_of(workload, found, tmp_path))
    kinds = {"http": f"{name.upper()}", "metrics": f"{name.upper()}_METRICS"}
    if name in ("worker", "sink", "verify"):
        kinds = {"metrics": "METRICS"}
    assert ports == {port: settings[f"CARBONFLOW_{kind}_PORT"] for port, kind in kinds.items()}
    assert {settings[f"CARBONFLOW_{kind}_HOST"] for kind in kinds.values()} == {"0.0.0.0"}
    (service,) = (one for one in of(found, "Service") if one["metadata"]["name"] == name)
    assert {p["name"]: p["port"] for p in service["spec"]["ports"]} == ports
    assert service["spec"]["selector"] == workload["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("name", LASTING)
def test_its_probes_ask_for_what_it_answers(objects: Mapping[str, list[Object]], name: str) -> None:
    """The pages of the reference have the routes of the code (`tests/test_docs.py`)."""
    container = container_of(workloads(objects["base"])[name])
    routes = first_words(section(REFERENCE, ROUTES[name]))
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness")}
    assert {probe["path"] for probe in asked.values()} == {"/healthz"}
    ready = container["readinessProbe"]["httpGet"]
    assert ready["path"] == "/readyz"
    for probe in (*asked.values(), ready):
        assert probe["port"] == "metrics"
        assert f"GET {probe['path']}" in routes
    startup = container["startupProbe"]
    wait_s = startup["periodSeconds"] * startup["failureThreshold"]
    assert wait_s > WorkerSettings().startup_wait_s_max


@pytest.mark.parametrize("name", [name for name in LASTING if name != "verify"])
def test_one_at_a_time_is_away(objects: Mapping[str, list[Object]], name: str) -> None:
    found = objects["base"]
    (budget,) = (one for one in of(found, "PodDisruptionBudget") if one["metadata"]["name"] == name)
    assert budget["spec"]["maxUnavailable"] == 1
    labels = workloads(found)[name]["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"] == labels


def test_prometheus_finds_all_that_serve_metrics(everything: list[Object]) -> None:
    (monitor,) = of(everything, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    scraped = {
        one["metadata"]["labels"][monitor["spec"]["jobLabel"]]
        for one in of(everything, "Service")
        if wanted <= one["metadata"]["labels"].items()
        and endpoint["port"] in {port["name"] for port in one["spec"]["ports"]}
    }
    assert scraped == set(LASTING)
    for name in LASTING:
        assert f"GET {endpoint['path']}" in first_words(section(REFERENCE, ROUTES[name]))
