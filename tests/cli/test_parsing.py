"""Options that take several values understand both ways of giving them."""

from __future__ import annotations

from pathlib import Path

import click
from click.testing import CliRunner

from cli.parsing import Command, Many, spread


@click.command(cls=Command)
@click.option("--files", cls=Many, multiple=True, type=click.Path(path_type=Path))
@click.option("--names", cls=Many, multiple=True)
@click.option("--flag", is_flag=True)
def echo(files: tuple[Path, ...], names: tuple[str, ...], flag: bool) -> None:
    """Print what was understood."""
    click.echo(f"{[str(path) for path in files]} {list(names)} {flag}")


def understood(*args: str) -> str:
    """Return what the command understood."""
    result = CliRunner().invoke(echo, args)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_several_values_after_one_option() -> None:
    assert understood("--files", "a", "b", "--flag", "--names", "c") == "['a', 'b'] ['c'] True"


def test_a_repeated_option() -> None:
    assert understood("--files", "a", "--files", "b") == "['a', 'b'] [] False"


def test_both_ways_at_once() -> None:
    assert understood("--files", "a", "b", "--names", "x", "--files=c", "d") == (
        "['a', 'b', 'c', 'd'] ['x'] False"
    )


def test_a_value_after_a_flag_is_not_taken() -> None:
    assert CliRunner().invoke(echo, ["--flag", "a"]).exit_code == 2


def test_an_option_without_a_value_is_wrong_use() -> None:
    assert CliRunner().invoke(echo, ["--files"]).exit_code == 2


def test_everything_after_two_dashes_is_left_alone() -> None:
    assert spread(["--x", "a", "--", "--x", "b"], {"--x"}) == ["--x", "a", "--", "--x", "b"]
