"""How the command line is read: options that take several values, and wrong use told in one line.

wrong use      exit status 2, one line on standard error, or the help where nothing was asked
failure        exit status 1, the reason in one line on standard error
interrupted    exit status 130 (Ctrl-C) or 143 (SIGTERM), after all has stopped in order
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DATA_DIR = Path(".carbonflow")
DEMO_DIR = Path(".carbonflow-demo")


class Failure(click.ClickException):
    """The command cannot do what it was asked; the message says why."""


class InstantType(click.ParamType):
    """An instant with its offset from UTC, as RFC 3339 writes it; the value is such a text."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the instant, or say what is wrong with it."""
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no instant such as 2026-03-01T08:00:00Z", param, ctx)
        if instant.tzinfo is None:
            self.fail(f"{value!r} lacks its offset from UTC, such as Z", param, ctx)
        return instant.isoformat()


INSTANT = InstantType()


class Many(click.Option):
    """An option, with multiple=True, that takes one value or more: `--x a b --x c`."""


class Command(click.Command):
    """A command whose `Many` options take all values up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option's name before each of its values, which is what click understands."""
        names = {
            name
            for parameter in self.get_params(ctx)
            if isinstance(parameter, Many)
            for name in parameter.opts
        }
        return super().parse_args(ctx, spread(args, names))


def spread(args: Sequence[str], names: set[str]) -> list[str]:
    """Return arguments with the name of a many-valued option before each of its values.

    >>> spread(["--x", "a", "b", "--y", "c", "--x=d", "e"], {"--x"})
    ['--x', 'a', '--x', 'b', '--y', 'c', '--x', 'd', '--x', 'e']
    """
    spreaded: list[str] = []
    current: str | None = None
    awaits = False
    for position, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if arg == "--":
            return spreaded + list(args[position:])
        if arg.startswith("-") and len(arg) > 1:
            current = name if name in names else None
            awaits = current is not None and not equals
            spreaded += [name, value] if current and equals else [arg]
        elif current is not None and not awaits:
            spreaded += [current, arg]
        else:
            spreaded.append(arg)
            awaits = False
    return spreaded


def folder_option(default: Path) -> Callable[[F], F]:
    """Return what adds `--data-dir` with a default."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help="Folder of the embedded stack.",
    )


def events_option(default: int) -> Callable[[F], F]:
    """Return what adds `--events` of the made-up sample, with a default."""
    return click.option(
        "--events",
        type=click.IntRange(1, 50_000_000),
        default=default,
        show_default=True,
        help="How many events the sample has.",
    )


def seed_option(function: F) -> F:
    """Add `--seed` of the made-up sample."""
    return click.option(
        "--seed", type=int, default=1, show_default=True, help="Another seed, another sample."
    )(function)


def data_dir_option(function: F) -> F:
    """Add `--data-dir`."""
    return folder_option(DATA_DIR)(function)


def json_option(function: F) -> F:
    """Add `--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for a program to read."
    )(function)


def run(group: click.Group, args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status."""
    signal.signal(signal.SIGTERM, _terminated)
    # Libraries say nothing where nobody has set up a log.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        status = group.main(args=args, prog_name="carbonflow", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.UsageError as error:
        _leave(2, f"{error.format_message()}{_hint(error)}")
    except click.ClickException as error:
        _leave(1, error.format_message())
    except (click.Abort, KeyboardInterrupt):
        _leave(130, "interrupted")
    except BrokenPipeError:
        # Whoever read our output has left, as `head` does.
        sys.stderr.close()
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    sys.exit(128 + number)


def _hint(error: click.UsageError) -> str:
    return f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""


def _leave(status: int, why: str) -> NoReturn:
    line = " ".join(why.split())
    print(f"carbonflow: {line}", file=sys.stderr)
    sys.exit(status)
