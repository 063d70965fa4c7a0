"""What operators are told to type exists: commands with their options, services, files."""

import re
import shlex
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from cli.main import carbonflow
from tests.commands import commands
from tests.pages import ROOT

PAGES: Final = ("operations", "kubernetes")
KNOWN: Final = commands(carbonflow)
SERVICES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
ASSIGNED: Final = re.compile(r"(?:[A-Z][A-Z0-9_]*=\S+ +)*")


def typed(page: str) -> list[str]:
    """Return what a page says to type: code blocks of no language, line by line, and code in
    text."""
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    blocks = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", text)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    outside = re.sub(r"(?ms)^```.*?^```$", "", text)
    return [*lines, *re.findall(r"`((?:carbonflow|docker|kubectl|make) [^`]+)`", outside)]


ALL: Final = [(page, line) for page in PAGES for line in typed(page)]
COMMAND: Final = re.compile(rf"{ASSIGNED.pattern}(carbonflow .*)")
OURS: Final = [(page, found[1]) for page, line in ALL if (found := COMMAND.match(line))]
OTHERS: Final = [(page, line) for page, line in ALL if re.match(r"docker |kubectl |make ", line)]


def test_commands_are_found_and_nothing_is_left_over() -> None:
    assert len(OURS) > 15
    rest = {line for _, line in ALL if not COMMAND.match(line)} - {line for _, line in OTHERS}
    assert all(line.startswith("export CARBONFLOW_") for line in rest), rest


@pytest.mark.parametrize(
    ("quoted", "module"),
    [
        ("topics must exist with equal numbers of partitions", "streams/worker.py"),
        ("PartitionsChanged", "streams/restore.py"),
    ],
)
def test_what_a_page_quotes_is_said(quoted: str, module: str) -> None:
    assert quoted in (ROOT / "docs/operations.md").read_text("utf-8")
    source = (ROOT / module).read_text("utf-8")
    assert quoted in re.sub(r'"\n\s+f?"', "", source)


@pytest.mark.parametrize(("page", "line"), OURS)
def test_a_command_takes_what_it_is_given(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    if ">" in words or ">>" in words:
        words = words[: next(at for at, word in enumerate(words) if word in (">", ">>"))]
    name = next((n for k in (2, 1) if (n := " ".join(words[:k])) in KNOWN), None)
    assert name, f"{page}: there is no command {line!r}"
    command = KNOWN[name]
    given = words[len(name.split()) :]
    # Parsed and not run; an unknown option or one argument too many is an error.
    parser = command.make_parser(click.Context(command))
    values, left, _ = parser.parse_args(list(given))
    assert left == []
    missing = [
        each.name for each in command.params if each.required and not values[each.name or ""]
    ]
    assert missing == []


@pytest.mark.parametrize(("page", "line"), OTHERS)
def test_what_else_is_typed_names_what_is_there(page: str, line: str) -> None:
    words = shlex.split(line)
    match words:
        case ["docker", "compose", *rest]:
            named = {word for word in rest if not word.startswith("-")} - {"up", "build"}
            assert named <= set(SERVICES), page
        case ["make", target]:
            assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text())
        case ["kubectl", *rest]:
            for folder in (rest[at + 1] for at, word in enumerate(rest) if word == "-k"):
                assert (ROOT / folder / "kustomization.yaml").is_file()
            for name in (word for word in rest if word.startswith("statefulset/")):
                kinds = (ROOT / "deploy/kubernetes/base" / f"{Path(name).name}.yaml").read_text()
                assert "kind: StatefulSet" in kinds
        case _:
            raise AssertionError(f"{page}: nobody checks {line!r}")
