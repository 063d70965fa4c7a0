"""What ends the process: everything that is raised, except a cancellation somebody asked for."""

import subprocess
import sys

import pytest

from streams.stop import EXIT_FAILED, EXIT_FENCED
from tests.logs import lines_of

SCENE = """
import asyncio
from aiokafka.errors import ProducerFenced
from streams.stop import stop_process_on_failure

class Panic(BaseException):
    pass

async def body():
    async with stop_process_on_failure():
        {body}

async def main():
    task = asyncio.create_task(body())
    {after}
    await asyncio.wait([task])

from schemas.logs import LogSettings, Speaker, log_to_stderr
log_to_stderr(LogSettings(log_format="json"), Speaker("worker", "w-0"))
asyncio.run(main())
"""


def ended(body: str, after: str = "pass") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCENE.format(body=body, after=after)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def status(body: str, after: str = "pass") -> int:
    return ended(body, after).returncode


@pytest.mark.parametrize(
    ("body", "ends_with"),
    [
        ("raise ValueError", EXIT_FAILED),
        ("raise Panic", EXIT_FAILED),
        ("raise asyncio.CancelledError", EXIT_FAILED),
        ("raise ProducerFenced", EXIT_FENCED),
        ("pass", 0),
    ],
)
def test_whatever_is_raised_ends_the_process(body: str, ends_with: int) -> None:
    assert status(body) == ends_with


def test_the_last_line_says_why_and_with_which_status() -> None:
    (failed,) = lines_of(ended("raise ValueError('it\\nbroke')").stderr)
    assert (failed["event"], failed["level"]) == ("worker_failed", "critical")
    assert (failed["reason"], failed["status"]) == ("it broke", EXIT_FAILED)
    assert (failed["exception"], failed["stack"].count("it\nbroke")) == ("ValueError", 1)
    (fenced,) = lines_of(ended("raise ProducerFenced").stderr)
    assert (fenced["event"], fenced["status"]) == ("worker_fenced", EXIT_FENCED)
    assert "stack" not in fenced


def test_a_task_that_is_cancelled_on_purpose_just_ends() -> None:
    after = "await asyncio.sleep(0); task.cancel()"
    assert status("await asyncio.Event().wait()", after) == 0


def test_a_process_that_has_something_to_tell_stands_still_until_it_is_asked_to_end() -> None:
    scene = "from streams.stop import stop_process; stop_process(ValueError('bad'), hold_s=60)"
    with subprocess.Popen([sys.executable, "-c", scene], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"stopping, offsets unmoved" in process.stderr.readline()
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=30) == EXIT_FAILED
