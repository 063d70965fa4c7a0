"""What tests of several floors share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from embedded.broker import Broker

# How long something takes belongs in a benchmark; and kernels are compiled when first called.
settings.register_profile("carbonflow", deadline=None)
settings.load_profile("carbonflow")

# What a shell runs in the background ignores Ctrl-C, and so does all that it starts; but that is
# how tests end a stack.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap of one embedded broker for the whole session: use a topic prefix of your own."""
    folder: Path = tmp_path_factory.mktemp("broker")
    with Broker.start(folder / "data") as running:
        yield running.bootstrap
