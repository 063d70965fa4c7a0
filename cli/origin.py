"""Where a question is answered: an API, a ClickHouse server, or the store of a folder.

In this order: `--api` or `--clickhouse`, as given; the folder's running stack, if it has one;
CARBONFLOW_API_URL, then CARBONFLOW_CLICKHOUSE_URL, unless a folder is named; the folder's store
itself. In a ClickHouse server the database is CARBONFLOW_DATABASE; an API is asked with the token
CARBONFLOW_API_TOKEN, if there is one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from cli.broker import settings_of
from cli.outages import store_at
from cli.parsing import DEMO_DIR, Failure, data_dir_option, json_option
from cli.programmes import read_programmes

if TYPE_CHECKING:
    from embedded.answers import Answers

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Origin:
    """What the options say about it."""

    data_dir: Path
    is_named: bool
    api: str | None
    clickhouse: str | None


def origin_options(function: F) -> F:
    """Add `--data-dir`, `--api`, `--clickhouse` and `--json`.

    The function gets `origin` and `as_json`.
    """

    @click.pass_context
    def with_origin(
        ctx: click.Context,
        /,
        data_dir: Path,
        api: str | None,
        clickhouse: str | None,
        **rest: Any,
    ) -> Any:
        if api is not None and clickhouse is not None:
            raise click.UsageError("--api and --clickhouse exclude each other")
        is_named = ctx.get_parameter_source("data_dir") is ParameterSource.COMMANDLINE
        return ctx.invoke(function, origin=Origin(data_dir, is_named, api, clickhouse), **rest)

    with_origin.__doc__ = function.__doc__
    with_origin.__name__ = function.__name__
    with_origin.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (
        json_option,
        click.option(
            "--clickhouse",
            metavar="URL",
            help="Ask a ClickHouse server [default: CARBONFLOW_CLICKHOUSE_URL].",
            callback=without_password,
        ),
        click.option("--api", metavar="URL", help="Ask an API [default: CARBONFLOW_API_URL]."),
        data_dir_option,
    ):
        with_origin = option(with_origin)
    return with_origin  # type: ignore[return-value]


@contextmanager
def asked(origin: Origin) -> Iterator[Answers]:
    """Give whom to ask; what goes wrong becomes a Failure.

    Raises:
        Failure: Nobody can be asked, or there is no answer.
    """
    from embedded.answers import HttpAnswers, NoAnswerError, StoreAnswers
    from embedded.ownership import InUseError, UnusableError, running_owner
    from embedded.store import Store, StoreError
    from sinks.connect import StoreSettings, connect
    from sinks.queries import Queries

    api, token = origin.api, os.environ.get("CARBONFLOW_API_TOKEN")
    running = running_owner(origin.data_dir).get("api")
    if api is None and isinstance(running, str):
        api, token = running, None  # It asks for none.
    clickhouse = origin.clickhouse
    if api is None and clickhouse is None and not origin.is_named:
        api = os.environ.get("CARBONFLOW_API_URL")
        clickhouse = os.environ.get("CARBONFLOW_CLICKHOUSE_URL")
    try:
        if origin.clickhouse is None and api is not None:
            yield HttpAnswers(api, token=token)
        elif clickhouse is not None:
            settings = settings_of(StoreSettings, url_of_store(clickhouse))
            with store_at(settings):
                queries = Queries(connect(settings), database=settings.database)
                yield StoreAnswers(queries, read_programmes())
        else:
            with Store.open(existing(origin.data_dir) / "store") as store:
                yield StoreAnswers(Queries(store.reader), read_programmes())
    except (NoAnswerError, InUseError, UnusableError) as error:
        raise Failure(str(error)) from error
    except StoreError as error:
        raise Failure(f"the store cannot be asked: {error}") from error


def url_of_store(text: str) -> dict[str, str]:
    """Return what a URL of a ClickHouse server stands for among the settings."""
    return {"CARBONFLOW_CLICKHOUSE_URL": text}


def without_password(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse an option's URL with a password: everybody on the machine can read command lines."""
    del ctx, parameter
    if value is not None and ":" in value.rpartition("@")[0].partition("//")[2]:
        raise click.UsageError(
            "a command line is no place for a password: set CARBONFLOW_CLICKHOUSE_PASSWORD, or "
            "CARBONFLOW_CLICKHOUSE_PASSWORD_FILE to a file with it"
        )
    return value


def existing(data_dir: Path) -> Path:
    """Return the folder if a stack has ever run over it.

    Raises:
        Failure: None has.
    """
    if not (data_dir / "store").is_dir():
        demo = f"the demo's books are in --data-dir {DEMO_DIR}, "
        raise Failure(
            f"there is nothing in {data_dir}: `carbonflow run` fills it, "
            f"{demo if (DEMO_DIR / 'store').is_dir() else ''}or ask a running one with --api URL"
        )
    return data_dir
