"""What kustomize makes of deploy/kubernetes, and the schemas of Kubernetes and of the operators.

The schemas are those that the projects publish. They are closed here: a field that a schema does
not have, a cluster would leave out without a word, so a misspelt one is an error.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import yaml

from tests.go_modules import kustomize, module
from tests.pages import ROOT

FOLDER: Final = ROOT / "deploy/kubernetes"
COMPONENTS: Final = ("monitoring", "autoscaling", "rocksdb", "kafka-scram")
"""All but `alerts`, whose file `make rules` writes."""

KUBERNETES: Final = (
    "k8s.io/kubernetes",
    "v1.37.2",
    "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE=",
)
PROMETHEUS: Final = (
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
)
KEDA: Final = (
    "github.com/kedacore/keda/v2",
    "v2.21.0",
    "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
)
CRDS: Final = {
    "ServiceMonitor": (PROMETHEUS, "example/prometheus-operator-crd", "servicemonitors"),
    "PrometheusRule": (PROMETHEUS, "example/prometheus-operator-crd", "prometheusrules"),
    "ScaledObject": (KEDA, "config/crd/bases", "scaledobjects"),
}
INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"

Object = dict[str, Any]


def rendered(folder: Path) -> list[Object]:
    """Return the objects of a kustomization."""
    done = subprocess.run(
        (*kustomize(), str(folder)), capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(yaml.safe_load_all(done.stdout))


def together(folder: Path, base: str, components: Sequence[str]) -> list[Object]:
    """Return the objects of a kustomization of ours with components of ours."""
    where = Path(*([".."] * (len(folder.resolve().parts) - 1)))
    made = {
        "resources": [f"{where}{FOLDER / base}"],
        "components": [f"{where}{FOLDER / 'components' / name}" for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(made))
    return rendered(folder)


def wrong(one: Object) -> list[str]:
    """Return what a cluster would not take of an object, empty where it takes it."""
    validator = _validator(one["apiVersion"], one["kind"])
    return [f"{'/'.join(map(str, e.instance_path))}: {e}" for e in validator.iter_errors(one)]


@cache
def _validator(version: str, kind: str) -> Any:
    if kind in CRDS:
        at, folder, name = CRDS[kind]
        group = version.split("/", maxsplit=1)[0]
        file = module(*at) / folder / f"{group}_{name}.yaml"
        versions = yaml.load(file.read_text(), yaml.CSafeLoader)["spec"]["versions"]
        (schema,) = (
            each["schema"]["openAPIV3Schema"]
            for each in versions
            if version == f"{group}/{each['name']}" and each["served"]
        )
        return jsonschema_rs.validator_for(_closed(schema))
    definitions = _definitions()
    found = [
        name
        for name, each in definitions.items()
        for is_of in each.get("x-kubernetes-group-version-kind", [])
        if version == f"{is_of['group']}/{is_of['version']}".lstrip("/") and is_of["kind"] == kind
    ]
    assert len(found) == 1, f"Kubernetes has no {version} {kind}"
    schema = {"$ref": f"#/definitions/{found[0]}", "definitions": definitions}
    return jsonschema_rs.validator_for(schema)


@cache
def _definitions() -> Mapping[str, Any]:
    path = module(*KUBERNETES) / "api/openapi-spec/swagger.json"
    definitions: Object = _closed(json.loads(path.read_text())["definitions"])
    # OpenAPI 2 has no way to say it.
    definitions[INT_OR_STRING]["type"] = ["integer", "string"]
    definitions[QUANTITY]["type"] = ["number", "string"]
    return definitions


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _closed(each) for key, each in schema.items()}
    is_open = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if isinstance(made.get("properties"), dict) and not is_open and "type" in made:
        made["additionalProperties"] = False
    return made
