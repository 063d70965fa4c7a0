"""The tutorial does what it says: its commands are run in a row, and what they print is compared.

A block in `sh` is run; the block in `text` after it has lines that it must print, in this order.
Spaces count as one, and `...` is whatever a run prints there: times, and the digest of a file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from docsite.stage import ROOT

PAGE: Final = (ROOT / "docs/tutorial.md").read_text("utf-8")
RUN_S_MAX: Final = 280
BETWEEN: Final = "-- the next step --"


@dataclass(frozen=True, slots=True)
class Step:
    """A block to run, and the lines that it must print."""

    title: str
    script: str
    lines: tuple[str, ...]


def steps_of(page: str) -> list[Step]:
    """Return the steps of a page."""
    found: list[Step] = []
    for section in page.split("\n## ")[1:]:
        title = section.splitlines()[0]
        for language, block in re.findall(r"(?ms)^```(\w+)\n(.*?)^```", section):
            if language == "sh":
                found.append(Step(title, block, ()))
            else:
                assert language == "text", title
                found[-1] = Step(title, found[-1].script, tuple(block.splitlines()))
    return found


STEPS: Final = steps_of(PAGE)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each step printed, all run in one folder, one after the other."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if "CARBONFLOW_" not in name}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"echo '{BETWEEN}'\n".join(s.script for s in STEPS)],
        cwd=tmp_path_factory.mktemp("tutorial"),
        env={**kept, "PATH": path},
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(f"{BETWEEN}\n")


def spaced(line: str) -> str:
    return " ".join(line.split())


def test_the_page_has_commands_and_says_what_comes_of_them() -> None:
    commands = [step for step in STEPS if "carbonflow " in step.script]
    assert [step.script.split()[1] for step in commands] == [
        "run",
        "balance",
        "explain",
        "refusals",
        "run",
    ]
    assert all(step.lines for step in commands)


@pytest.mark.parametrize("at", [at for at, step in enumerate(STEPS) if step.lines])
def test_a_step_prints_what_the_page_says(printed: list[str], at: int) -> None:
    lines = [spaced(line) for line in printed[at].splitlines()]
    for said in STEPS[at].lines:
        wanted = re.compile(re.escape(spaced(said)).replace(r"\.\.\.", ".*"))
        left = next((n for n, line in enumerate(lines, 1) if wanted.fullmatch(line)), None)
        assert left is not None, f"{STEPS[at].title!r} does not print, or not there: {said}"
        lines = lines[left:]


def test_what_is_installed_by_hand_is_a_target_of_the_makefile() -> None:
    named = re.findall(r"`make (\w+)`", PAGE)
    targets = re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text("utf-8"))
    assert named
    assert set(named) <= set(targets)
