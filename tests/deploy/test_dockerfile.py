"""The image: pinned bases, every floor of the house copied, nobody root in it."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from cli.main import carbonflow

ROOT: Final = Path(__file__).resolve().parents[2]
DOCKERFILE: Final = (ROOT / "deploy" / "Dockerfile").read_text()
PINNED: Final = re.compile(r"[\w./-]+:\d+\.\d+[\w.-]*")


def instructions(name: str) -> list[list[str]]:
    """Return the words after every instruction of this name."""
    lines = (line.split() for line in DOCKERFILE.splitlines())
    return [words[1:] for words in lines if words and words[0] == name]


def copied_from_the_repository() -> list[str]:
    sources = [words for words in instructions("COPY") if not words[0].startswith("--from")]
    return [source for words in sources for source in words[:-1] if not source.startswith("--")]


def test_every_base_image_is_pinned_to_a_version() -> None:
    bases = [words[0] for words in instructions("FROM")]
    assert bases
    assert [base for base in bases if not PINNED.fullmatch(base)] == []


def test_both_stages_stand_on_the_same_image() -> None:
    assert len({words[0] for words in instructions("FROM")}) == 1


@pytest.mark.parametrize("source", copied_from_the_repository())
def test_what_is_copied_exists(source: str) -> None:
    assert (ROOT / source).exists()


@pytest.mark.parametrize("source", copied_from_the_repository())
def test_what_is_copied_reaches_the_builder(source: str) -> None:
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert f"!{source}" in ignored


def test_every_package_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in found} <= set(copied_from_the_repository())


def test_the_commands_it_names_exist() -> None:
    head = DOCKERFILE.split("\n# Build it")[0].replace("\n# ", " ")
    named = re.findall(r"\w+", head.partition("which part of it runs:")[2])
    commands = set(named) - {"or", "what", "it", "does", "once"}
    assert {"worker", "sink", "api", "gateway", "migrate"} <= commands
    assert commands <= set(carbonflow.commands)


def test_it_does_not_run_as_root() -> None:
    (user,) = instructions("USER")
    assert int(user[0].split(":")[0]) > 0


def test_its_python_is_the_one_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = re.search(r">=(\d+\.\d+)", project["requires-python"])
    assert oldest is not None
    assert all(words[0].startswith(f"python:{oldest[1]}.") for words in instructions("FROM"))
