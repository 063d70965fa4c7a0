"""What kustomize makes of deploy/kubernetes, taken apart: pods, containers, variables, settings."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import trustme

from cli.main import carbonflow
from schemas.settings import read_settings, variables
from tests.commands import READ, commands
from tests.deploy.cluster import Object

COMMANDS: Final = commands(carbonflow)
LASTING: Final = ("worker", "sink", "api", "gateway", "verify")
JOBS: Final = ("topics", "factors", "schemas", "migrate")
RENDERED: Final = ("base", "setup", "example/run", "example/setup")
PARTS: Final = [("example/run", name) for name in LASTING] + [
    ("example/setup", name) for name in JOBS
]
TRUSTED: Final = trustme.CA().cert_pem.bytes()


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


def volumes_of(workload: Object) -> list[Object]:
    found: list[Object] = workload["spec"]["template"]["spec"]["volumes"]
    return found
