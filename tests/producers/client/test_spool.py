"""What the spool returned for is there after any end, in order; what it cannot read it says."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.client.delivery import Message
from producers.client.spool import HEAD, SUFFIX, Spool, SpoolError, packed

MIB = 1024 * 1024


def message(number: int, size: int = 20) -> Message:
    return "charging-sessions", f"account-{number % 3}".encode(), b"v" * size, number, None


def opened(folder: Path, *, segment_bytes: int = MIB, bytes_max: int = 4 * MIB) -> Spool:
    return Spool(folder, bytes_max=bytes_max, fsync_ms=1_000, segment_bytes=segment_bytes)


def there(spool: Spool, number: int) -> list[tuple[int, Message]]:
    """Return what is in the spool from a number on."""
    found: list[tuple[int, Message]] = []
    for one in spool.messages(number):
        if one is None:
            return found
        found.append(one)
    raise AssertionError("a spool has no end")


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["charging-sessions", "pilot.freight-trips"]),
        st.binary(min_size=1, max_size=30),
        st.binary(max_size=400),
        st.integers(0, 1 << 60),
        st.none() | st.just([("traceparent", b"00-%032x-%016x-01" % (7, 9))]),
    ),
    max_size=40,
)


@given(MESSAGES, st.integers(60, 800), st.integers(0, 40))
def test_what_was_added_is_there_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory,
    messages: list[Message],
    segment_bytes: int,
    delivered: int,
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    delivered = min(delivered, len(messages))
    spool = opened(folder, segment_bytes=segment_bytes)
    assert [spool.append(one) for one in messages] == list(range(len(messages)))
    assert there(spool, 0) == list(enumerate(messages))
    spool.note(delivered, now=True)
    spool.close()
    again = opened(folder, segment_bytes=segment_bytes)
    assert (again.delivered, again.end) == (delivered, len(messages))
    assert there(again, delivered) == list(enumerate(messages))[delivered:]
    assert again.append(message(5)) == len(messages)
    again.close()


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A folder with three messages in one segment."""
    spool = opened(tmp_path)
    for number in range(3):
        spool.append(message(number))
    spool.close()
    return tmp_path


def segment(folder: Path) -> Path:
    (path,) = folder.glob(f"*{SUFFIX}")
    return path


def test_a_message_that_was_cut_off_at_any_byte_is_none(three: Path) -> None:
    whole = segment(three).read_bytes()
    last = len(packed(message(2)))
    for cut in range(1, last + 1):
        segment(three).write_bytes(whole[:-cut])
        spool = opened(three)
        assert there(spool, 0) == [(number, message(number)) for number in range(2)]
        assert spool.torn_bytes == last - cut
        if spool.torn_bytes:
            assert (three / "torn").read_bytes() == whole[-last:-cut]
        assert spool.append(message(9)) == 2
        assert there(spool, 2) == [(2, message(9))]
        spool.close()


def test_a_message_that_does_not_read_among_others_is_said(tmp_path: Path) -> None:
    size = len(packed(message(0)))
    spool = opened(tmp_path, segment_bytes=size * 2)
    for number in range(5):
        spool.append(message(number))
    spool.close()
    first = sorted(tmp_path.glob(f"*{SUFFIX}"))[0]
    damaged = bytearray(first.read_bytes())
    damaged[size + HEAD.size + 3] ^= 1
    first.write_bytes(damaged)
    spool = opened(tmp_path, segment_bytes=size * 2)
    with pytest.raises(SpoolError, match="message 1 does not read"):
        there(spool, 0)
    spool.close()


def test_a_segment_that_is_gone_is_said(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=60)
    for number in range(3):
        spool.append(message(number))
    spool.close()
    sorted(tmp_path.glob(f"*{SUFFIX}"))[0].unlink()
    with pytest.raises(SpoolError, match="messages from 0 on are missing"):
        opened(tmp_path, segment_bytes=60)


def test_a_full_spool_takes_nothing_until_segments_are_delivered(tmp_path: Path) -> None:
    size = len(packed(message(0)))
    spool = opened(tmp_path, segment_bytes=size * 2, bytes_max=size * 4)
    assert [spool.append(message(number)) for number in range(5)] == [0, 1, 2, 3, None]
    spool.note(1, now=True)
    assert spool.append(message(4)) is None
    spool.note(2, now=True)
    assert [spool.append(message(number)) for number in (4, 5, 6)] == [4, 5, None]
    assert sum(path.stat().st_size for path in tmp_path.glob(f"*{SUFFIX}")) == spool.bytes
    assert there(spool, 2) == [(number, message(number)) for number in range(2, 6)]
    spool.close()


def test_messages_leave_the_disk_when_all_are_delivered(three: Path) -> None:
    spool = opened(three)
    spool.note(3)
    spool.close()
    assert list(three.glob(f"*{SUFFIX}")) == []
    again = opened(three)
    assert (again.delivered, again.end) == (3, 3)
    again.close()


def test_messages_that_the_machine_forgot_but_the_broker_had_do_not_stop_it(three: Path) -> None:
    (three / "delivered").write_text("7\n")
    spool = opened(three)
    assert spool.append(message(7)) == 7
    assert there(spool, spool.delivered) == [(7, message(7))]
    spool.close()


def test_a_folder_has_one_owner(three: Path) -> None:
    spool = opened(three)
    with pytest.raises(SpoolError, match="another process"):
        opened(three)
    spool.close()
    opened(three).close()


def test_a_number_that_is_none_is_said(three: Path) -> None:
    (three / "delivered").write_text("\n")
    with pytest.raises(SpoolError, match="holds no number"):
        opened(three)


@pytest.mark.parametrize(("fsync_ms", "synced"), [(0, 3), (60_000, 0)])
def test_a_message_is_synced_before_it_counts_or_when_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync_ms: int, synced: int
) -> None:
    spool = Spool(tmp_path, bytes_max=MIB, fsync_ms=fsync_ms)
    calls: list[int] = []

    def fsync(descriptor: int, real: Callable[[int], None] = os.fsync) -> None:
        calls.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    sizes = []
    for number in range(3):
        spool.append(message(number))
        sizes.append(spool.bytes)
    assert calls == sizes[:synced]
    spool.note(0, now=True)
    assert calls[-1] == spool.bytes
    spool.close()


def test_a_full_disk_is_said_and_leaves_no_half_of_a_message(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append(message(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (spool.bytes + 10, hard))
    try:
        with pytest.raises(SpoolError, match="disk is full"):
            spool.append(message(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spool.append(message(2)) == 1
    assert there(spool, 0) == [(0, message(0)), (1, message(2))]
    spool.close()
