"""A page with the help of every command, as `carbonflow COMMAND --help` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from docsite.written import MADE

WIDTH: Final = 100
ABOUT: Final = (
    "What each command prints with `--help`. [One table](reference.md#commands) has them all."
)


def helps(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    """Return a command and those in it, each with its help.

    Args:
        command: The command, or a group of them.
        name: What it is called by.
        parent: The context of the group it is in.
    """
    context = click.Context(
        command, parent=parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH
    )
    yield context.command_path, context.get_help()
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from helps(command.commands[each], each, context)


def commands_page(command: click.Command, name: str) -> str:
    """Return the page of a command and those in it.

    >>> print(commands_page(click.Command("say", help="Say it."), "say"))
    # Commands
    <BLANKLINE>
    <!-- Made by `make pages` from the code. -->
    <BLANKLINE>
    What each command prints with `--help`. [One table](reference.md#commands) has them all.
    <BLANKLINE>
    ## say
    <BLANKLINE>
    ```text
    Usage: say [OPTIONS]
    <BLANKLINE>
      Say it.
    <BLANKLINE>
    Options:
      --help  Show this message and exit.
    ```
    <BLANKLINE>
    """
    parts = ["# Commands", MADE, ABOUT]
    for path, text in helps(command, name, None):
        parts.append(f"## {path}\n\n```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
