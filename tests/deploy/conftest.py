"""What kustomize makes, once for all tests of this folder."""

from collections.abc import Mapping

import pytest

from tests.deploy.cluster import COMPONENTS, FOLDER, Object, rendered, together
from tests.deploy.manifests import RENDERED


@pytest.fixture(scope="session")
def objects() -> Mapping[str, list[Object]]:
    """What kustomize makes, by folder."""
    return {name: rendered(FOLDER / name) for name in RENDERED}


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """The base with all components together, and the setup with what it can have."""
    run, setup = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("setup")
    return [*together(run, "base", COMPONENTS), *together(setup, "setup", ["kafka-scram"])]
