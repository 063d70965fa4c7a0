"""deploy/kubernetes is what a cluster takes, and speaks of what exists: commands, settings, ports,
paths, users, partitions.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
import yaml

from api.gateway.senders import read_senders
from cli.main import carbonflow
from deploy.kubernetes.rules import written
from schemas.catalogue import ACTIVITY_TOPICS
from schemas.settings import read_settings, variables
from streams.settings import WorkerSettings
from tests.clickhouse_access import USERS_SQL, granted
from tests.commands import READ, commands
from tests.deploy.cluster import COMPONENTS, FOLDER, Object, rendered, together, wrong
from tests.pages import ROOT, first_words, rows, section, words

REFERENCE: Final = (ROOT / "docs/reference.md").read_text("utf-8")
SECURITY: Final = (ROOT / "docs/security.md").read_text("utf-8")
PAGE: Final = (ROOT / "docs/kubernetes.md").read_text("utf-8")
COMMANDS: Final = commands(carbonflow)
LASTING: Final = ("worker", "sink", "api", "gateway", "verify")
JOBS: Final = ("topics", "factors", "schemas", "migrate")
RENDERED: Final = ("base", "setup", "example/run", "example/setup")
PARTS: Final = [("example/run", name) for name in LASTING] + [
    ("example/setup", name) for name in JOBS
]
TRUSTED: Final = trustme.CA().cert_pem.bytes()
ROUTES: Final = {
    "worker": "Routes of worker, sink and verify",
    "sink": "Routes of worker, sink and verify",
    "api": "Routes",
    "gateway": "Routes of the gateway",
    "verify": "Routes of worker, sink and verify",
}


@pytest.fixture(scope="module")
def objects() -> Mapping[str, list[Object]]:
    """What kustomize makes, by folder."""
    return {name: rendered(FOLDER / name) for name in RENDERED}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The base with all components together, and the setup with what it can have."""
    run, setup = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("setup")
    return [*together(run, "base", COMPONENTS), *together(setup, "setup", ["kafka-scram"])]


def of(found: Iterable[Object], kind: str) -> list[Object]:
    return [one for one in found if one["kind"] == kind]


def workloads(found: Iterable[Object]) -> dict[str, Object]:
    """Return what runs pods, by the name it has in our files."""
    kinds = ("Deployment", "StatefulSet", "Job")
    return {
        re.sub(r"-\d+-\d+-\d+$", "", one["metadata"]["name"]): one
        for one in found
        if one["kind"] in kinds
    }


def container_of(workload: Object) -> Object:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def command_of(workload: Object) -> str:
    args = container_of(workload)["args"]
    found = next((n for k in (2, 1) if (n := " ".join(args[:k])) in COMMANDS), None)
    assert found, f"there is no command {args}"
    return found


def environ_of(workload: Object, found: Iterable[Object], folder: Path) -> dict[str, str]:
    """Return a pod's variables; what is mounted lies in the folder."""
    container = container_of(workload)
    (shared,) = (each["configMapRef"]["name"] for each in container["envFrom"])
    (config,) = (o for o in of(found, "ConfigMap") if o["metadata"]["name"] == shared)
    environ: dict[str, str] = dict(config["data"])
    for each in container.get("env", []):
        if "valueFrom" in each:
            assert each["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
            environ[each["name"]] = f"{workload['metadata']['name']}-0"
        else:
            environ[each["name"]] = each["value"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for name, value in environ.items():
        if name.endswith("FILE"):
            assert str(Path(value).parent) in mounts, f"{value} is not mounted"
            path = folder / value.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(TRUSTED if name.endswith("CAFILE") else b"secret\n")
            environ[name] = str(path)
    return environ


def settings_of(workload: Object, environ: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for cls in READ[command_of(workload)]:
        value: Any = read_settings(cls, environ)
        settings |= {
            name: getattr(value, each.name) for each in fields(cls) for name in variables(each)
        }
    return settings


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


def volumes_of(workload: Object) -> list[Object]:
    found: list[Object] = workload["spec"]["template"]["spec"]["volumes"]
    return found


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


# What it may


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_it_cannot_become_more_than_it_is(
    objects: Mapping[str, list[Object]], folder: str, name: str
) -> None:
    workload = workloads(objects[folder])[name]
    pod, container = workload["spec"]["template"]["spec"], container_of(workload)
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    user = re.search(r"(?m)^USER (\d+):\1$", dockerfile)
    assert user
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), int(user[1])),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostPath", "hostNetwork", "hostPID"} & set(re.findall(r"\w+", str(workload)))
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    home = re.search(r"(?m)^ENV .*NUMBA_CACHE_DIR=(\S+)", dockerfile)
    assert home
    assert {"/tmp", str(Path(home[1]).parent)} <= paths
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]


def opened(found: Iterable[Object], labels: Mapping[str, str], way: str) -> set[Any]:
    """Return the ports that policies open for a pod, `egress` or `ingress`."""
    ports: set[Any] = set()
    for policy in of(found, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        is_meant = selector["matchLabels"].items() <= labels.items() and all(
            each["operator"] == "In" and labels[each["key"]] in each["values"]
            for each in selector.get("matchExpressions", [])
        )
        if is_meant:
            ports |= {p["port"] for rule in policy["spec"].get(way, []) for p in rule["ports"]}
    return ports


@pytest.mark.parametrize(("folder", "name"), PARTS)
def test_the_network_lets_it_reach_what_its_settings_name(
    objects: Mapping[str, list[Object]], folder: str, name: str, tmp_path: Path
) -> None:
    workload = workloads(objects[folder])[name]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    environ = environ_of(workload, objects[folder], tmp_path)
    own = {n: v for n, v in environ.items() if n in settings_of(workload, environ)}
    named = {
        int(port)
        for variable in own
        if variable.endswith(("_URL", "_BOOTSTRAP"))
        for port in re.findall(r":(\d+)\b", own[variable])
    }
    assert named
    policies = objects["example/run"]
    assert named | {53} <= opened(policies, labels, "egress")


def test_the_network_lets_nobody_in_but_where_something_is_served(
    objects: Mapping[str, list[Object]],
) -> None:
    found = objects["base"]
    for name in LASTING:
        workload = workloads(found)[name]
        ports = {p["name"] for p in container_of(workload)["ports"]}
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert opened(found, labels, "ingress") == ports
    (deny,) = (p for p in of(found, "NetworkPolicy") if p["metadata"]["name"] == "carbonflow")
    assert deny["spec"]["policyTypes"] == ["Ingress", "Egress"]


# How many there are, and who they are


def test_workers_are_never_more_than_partitions(everything: list[Object]) -> None:
    (scaled,) = of(everything, "ScaledObject")
    spec = scaled["spec"]
    args = container_of(workloads(everything)["topics"])["args"]
    partitions = int(args[args.index("--partitions") + 1])
    assert 2 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] == partitions
    # Else whoever applies it again sets them back.
    assert "replicas" not in workloads(everything)["worker"]["spec"]
    assert spec["scaleTargetRef"]["kind"] == "StatefulSet"
    assert spec["scaleTargetRef"]["name"] == "worker"


def test_what_is_scaled_by_is_what_waits_for_the_workers(
    objects: Mapping[str, list[Object]],
) -> None:
    found = objects["example/run"]
    (scaled,) = of(found, "ScaledObject")
    asked = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    (config,) = (o for o in of(found, "ConfigMap") if "CARBONFLOW_BOOTSTRAP" in o["data"])
    settings = read_settings(WorkerSettings, config["data"])
    assert {each["topic"] for each in asked} == {settings.topic(t) for t in ACTIVITY_TOPICS}
    assert {each["consumerGroup"] for each in asked} == {settings.group_id}
    assert {each["bootstrapServers"] for each in asked} == {settings.bootstrap}
    assert all(each["allowIdleConsumers"] == "false" for each in asked)


def test_a_worker_keeps_its_name_and_a_sink_has_none(
    objects: Mapping[str, list[Object]], tmp_path: Path
) -> None:
    found = workloads(objects["base"])
    environ = environ_of(found["worker"], objects["base"], tmp_path)
    assert found["worker"]["kind"] == "StatefulSet"
    assert environ["CARBONFLOW_INSTANCE"] == "worker-0"
    assert "CARBONFLOW_SINK_INSTANCE_ID" not in environ_of(found["sink"], objects["base"], tmp_path)


def test_with_rocksdb_the_accounts_lie_on_a_disk_that_stays(
    objects: Mapping[str, list[Object]], tmp_path: Path
) -> None:
    found = objects["example/run"]
    worker = workloads(found)["worker"]
    settings = settings_of(worker, environ_of(worker, found, tmp_path))
    assert settings["CARBONFLOW_STORE"] == "rocksdb"
    (claim,) = worker["spec"]["volumeClaimTemplates"]
    mounts = {m["name"]: m["mountPath"] for m in container_of(worker)["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == str(settings["CARBONFLOW_DATA_DIR"])
    kept = worker["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert kept == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_the_senders_of_the_example_can_be_read(
    objects: Mapping[str, list[Object]], tmp_path: Path
) -> None:
    (config,) = (
        one
        for one in of(objects["example/run"], "ConfigMap")
        if one["metadata"]["name"].startswith("carbonflow-gateway-senders-")
    )
    gateway = workloads(objects["example/run"])["gateway"]
    (path,) = (
        Path(each["value"])
        for each in container_of(gateway)["env"]
        if each["name"] == "CARBONFLOW_GATEWAY_SENDERS_FILE"
    )
    (tmp_path / path.name).write_text(config["data"][path.name])
    assert read_senders(tmp_path / path.name, None)
