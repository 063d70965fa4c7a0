"""What tests of several floors share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.broker import Broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap of one embedded broker for the whole session: use a topic prefix of your own."""
    folder: Path = tmp_path_factory.mktemp("broker")
    with Broker.start(folder / "data") as running:
        yield running.bootstrap
