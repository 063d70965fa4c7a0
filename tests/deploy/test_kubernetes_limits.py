"""What deploy/kubernetes lets each part do and reach, how many there are, and who they are."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from api.gateway.senders import read_senders
from schemas.catalogue import ACTIVITY_TOPICS
from schemas.settings import read_settings
from streams.settings import WorkerSettings
from tests.deploy.cluster import Object
from tests.deploy.manifests import (
    LASTING,
    PARTS,
    container_of,
    environ_of,
    of,
    settings_of,
    workloads,
)
from tests.pages import ROOT

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
