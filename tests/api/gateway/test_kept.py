"""Sessions that are not over are kept in a file that only its owner reads, and not for ever."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from api.gateway.kept import DAY_MS, Kept, KeptError, Place

PLACE = Place.of("live", "be", "bec", "abc")


class Clock:
    """A time that passes when it is told to [ms]."""

    def __init__(self) -> None:
        self.now_ms = 1_000 * DAY_MS

    def __call__(self) -> int:
        """Return it."""
        return self.now_ms


def test_what_is_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = Kept(tmp_path / "sessions", days=1, clock_ms=Clock())
    assert first.put(PLACE, {"kwh": 1.5, "id": "é"}, 10)
    first.close()
    second = Kept(tmp_path / "sessions", days=1, clock_ms=Clock())
    assert second.get(Place.of("live", "BE", "BEC", "ABC")) == {"kwh": 1.5, "id": "é"}
    assert second.get(Place.of("other", "BE", "BEC", "ABC")) is None
    second.close()


def test_the_later_update_counts_and_only_it_is_forgotten(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "sessions", days=1, clock_ms=Clock())
    assert kept.put(PLACE, {"n": 1}, 10)
    assert kept.put(PLACE, {"n": 2}, 10)
    assert not kept.put(PLACE, {"n": 3}, 9)
    assert kept.get(PLACE) == {"n": 2}
    kept.forget(PLACE, 9)
    assert kept.get(PLACE) == {"n": 2}
    kept.forget(PLACE, 10)
    assert kept.get(PLACE) is None
    kept.close()


def test_what_nothing_was_heard_of_is_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    kept = Kept(tmp_path / "sessions", days=2, clock_ms=clock)
    other = Place.of("live", "BE", "BEC", "other")
    kept.put(PLACE, {}, 1)
    clock.now_ms += DAY_MS
    kept.put(other, {}, 1)
    assert kept.forget_old() == 0
    clock.now_ms += DAY_MS + 1
    assert (kept.forget_old(), len(kept)) == (1, 1)
    assert kept.get(other) == {}
    kept.close()


def test_the_file_is_its_owners_and_one_processs(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "sessions", days=1, clock_ms=Clock())
    kept.put(PLACE, {}, 1)
    assert stat.S_IMODE((tmp_path / "sessions").stat().st_mode) == 0o600
    with pytest.raises(KeptError, match="locked"):
        Kept(tmp_path / "sessions", days=1, clock_ms=Clock())
    kept.close()


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("This is no database, but a text that is long enough. " * 40)
    with pytest.raises(KeptError, match="not a database"):
        Kept(tmp_path / "sessions", days=1, clock_ms=Clock())
    with pytest.raises(KeptError, match="No such file"):
        Kept(tmp_path / "nowhere" / "sessions", days=1, clock_ms=Clock())
