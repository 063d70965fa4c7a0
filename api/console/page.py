"""The page of the console, its files, and everything it asks, added to an application."""

from collections.abc import Mapping
from typing import Final

from api.application import Hard
from api.console.names import Names
from api.console.pulse import Follower, Pulse
from api.console.routes import console_routes
from api.settings import ApiSettings
from api.shipped import PACKAGE, VENDORED, Pages, file_at, files_in
from carbon.programmes import Programme
from sinks.overview import Overview
from sinks.queries import Queries

CONSOLE_PATH: Final = "/console"

_STATIC: Final = PACKAGE / "console/static"
_UPLOT: Final = VENDORED / "uplot"


def add_console(
    app: Hard,
    queries: Queries,
    *,
    settings: ApiSettings,
    programmes: Mapping[str, Programme],
    follower: Follower | None,
) -> None:
    """Add the console to an application.

    Args:
        app: The application.
        queries: Questions to the store.
        settings: Limits.
        programmes: Programmes by name.
        follower: What follows the topic of balances; None where they come from the store.
    """
    files = files_in(_STATIC)
    page = files.pop("console.html")
    charts = ("uPlot.iife.min.js", "uPlot.min.css")
    files |= {f"vendored/{name}": file_at(_UPLOT / name) for name in charts}
    app.add_pages(Pages(path=CONSOLE_PATH, page=page, files=files, leading=("/",)))
    pulse = Pulse(
        Overview(queries),
        follower,
        listeners_max=settings.api_console_listeners_max,
        ending=app.ending,
    )
    names = Names.read(_STATIC / "names.json")
    app.include_router(
        console_routes(queries, pulse, settings=settings, programmes=programmes, names=names)
    )
