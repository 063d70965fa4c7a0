"""What the data sets must come to, once for the session."""

from __future__ import annotations

import pytest

from tests.end_to_end.command import HOURS, INTENSITIES, SESSIONS, TRIPS
from tests.end_to_end.expected import Expected, california, india


@pytest.fixture(scope="session")
def california_expected() -> Expected:
    """ACN-Data, computed independently."""
    return california(SESSIONS, HOURS)


@pytest.fixture(scope="session")
def india_expected() -> Expected:
    """The truck bookings, computed independently."""
    return india(TRIPS, INTENSITIES)
