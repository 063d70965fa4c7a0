"""Every example in a command's help can be read by that command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import carbonflow

FILE = re.compile(r"(?:[a-z-]+:)?([\w.-]+\.(?:csv|parquet|toml|txt))$")
SETTING = re.compile(r"[A-Z_]+=")


def examples(command: click.Command) -> Iterator[str]:
    """Yield the example commands of a command and of all below it."""
    lines = (command.epilog or "").replace("\\\n", " ").splitlines()
    yield from (line.strip() for line in lines if re.match(r"  \S*.*\bcarbonflow ", line))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from examples(below)


def test_there_are_examples() -> None:
    assert len(list(examples(carbonflow))) > 20


@pytest.mark.parametrize("example", list(examples(carbonflow)))
def test_it_can_be_read(example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for word in shlex.split(example) if not SETTING.match(word)]
    assert words.pop(0) == "carbonflow"
    for word in words:
        if file := FILE.match(word):
            (tmp_path / file[1]).touch()
    command: click.Command = carbonflow
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    assert command.make_context(command.name, words).params is not None
