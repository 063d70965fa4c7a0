"""Options that say which refusals are meant, the same for `list` and `replay`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

import click

from carbon.refusal import REFUSALS
from cli.parsing import INSTANT

F = TypeVar("F", bound=Callable[..., Any])

TOPIC = click.Choice(("charging-sessions", "freight-trips"))


class Code(click.Choice[str]):
    """One of the codes, which are too many to be listed to whoever misspells one."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        """Return what is wrong with a word, and what may have been meant."""
        del ctx
        near = get_close_matches(str(value), list(REFUSALS), n=1)
        return f"{value!r} is no code" + (f"; did you mean {near[0]!r}?" if near else "")


def which_options(function: F) -> F:
    """Add `--code`, `--source`, `--topic`, `--account`, `--from` and `--to`."""
    for option in (
        click.option("--to", type=INSTANT, metavar="TIME", help="Latest, exclusive (RFC 3339)."),
        click.option(
            "--from", "from_", type=INSTANT, metavar="TIME", help="Earliest, inclusive (RFC 3339)."
        ),
        click.option("--account", help="Only of this account."),
        click.option("--topic", type=TOPIC, help="Only of records of this topic."),
        click.option("--source", help="Only of records of this source."),
        click.option(
            "--code",
            type=Code(tuple(REFUSALS)),
            metavar="CODE",
            help="Only with this code, such as row_bad_value.",
        ),
    ):
        function = option(function)
    return function
