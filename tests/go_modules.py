"""What Go modules bring: schemas of Compose, Kubernetes and others, and kustomize, all pinned."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.toolchains import make, need

TOOLS: Final = Path(__file__).resolve().parent / "deploy/tools"


def module(path: str, version: str, checksum: str) -> Path:
    """Return the folder of a module, fetched if need be.

    Args:
        path: Its path.
        version: Its version.
        checksum: What `go.sum` would have of it.
    """
    need("go", path)
    done = subprocess.run(
        ("go", "mod", "download", "-json", f"{path}@{version}"),
        cwd=TOOLS,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{path}: {done.stdout}{done.stderr}")
    found = json.loads(done.stdout)
    assert found["Sum"] == checksum, f"{path} {version} is not what was pinned: {found['Sum']}"
    return Path(found["Dir"])


def kustomize() -> tuple[str, ...]:
    """Return the command that puts a folder of manifests together.

    It is part of kubectl, which is what an operator has; to build it takes a minute. Where there is
    no kubectl it is built from what `go.sum` pins.
    """
    if shutil.which("kubectl") is not None:
        return ("kubectl", "kustomize")
    need("go", "kustomize")
    target = "sigs.k8s.io/kustomize/kustomize/v5"
    made = make(("go", "build", "-o", "build/", target), TOOLS, ("go.mod", "go.sum"), "build")
    return (str(made / "kustomize"), "build")
