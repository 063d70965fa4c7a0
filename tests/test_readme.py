"""The README's commands are run, so that what it promises a newcomer is true."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks_of(title: str) -> list[str]:
    section = README.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer")


def shell(script: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_your_own_file_in_five_minutes_does_what_the_text_says(folder: Path) -> None:
    out = "".join(shell(block, folder) for block in blocks_of("Your own file in five minutes"))
    assert "3 events" in out
    assert "verify: ok" in out
    assert "row_bad_value" in out
    # 21.4 kWh x (1,232,400 - 555,400) mg/kWh, Beijing 2023: DOMAIN 1.4 and 2.3.
    assert str(21_400 * (1_232_400 - 555_400) // 1000) in out


def test_the_same_run_again_sees_two_duplicates_and_books_nothing(folder: Path) -> None:
    again = "carbonflow run --charging sessions.csv --mapping mine.toml --data-dir books --json"
    summary = json.loads(shell(again, folder))
    assert (summary["duplicates"], summary["transfers"]) == (2, 0)


@pytest.mark.parametrize("target", ["demo", "test", "install", "bench"])
def test_every_make_target_the_readme_or_ci_relies_on_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
