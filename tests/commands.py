"""The commands of `carbonflow`, and what each reads from its environment, found in the code."""

import ast
import inspect
import textwrap
from importlib import import_module
from typing import Any, Final

import click

from cli.main import carbonflow


def commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


def classes_read(function: Any, seen: set[Any]) -> set[type]:
    """Return the settings classes that a function of cli reads, or those it calls there."""
    function = inspect.unwrap(function)
    if function in seen:
        return set()
    seen.add(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    known = dict(function.__globals__)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = import_module(node.module)
            known |= {name.asname or name.name: getattr(module, name.name) for name in node.names}
    found: set[type] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id == "settings_of":
            assert isinstance(node.args[0], ast.Name)
            found.add(known[node.args[0].id])
            continue
        called = known.get(node.func.id)
        if inspect.isfunction(called) and called.__module__.startswith("cli."):
            found |= classes_read(called, seen)
    return found


READ: Final[dict[str, set[type]]] = {
    name: read
    for name, command in commands(carbonflow).items()
    if (read := classes_read(command.callback, set()))
}
"""Settings classes, by command; a command that reads none is left out."""
