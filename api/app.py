"""The API: read-only HTTP over the store, and balances from the topic they are published on.

`create_app` builds an application from its parts and keeps nothing outside it; `api.server` runs
it. A request passes headers for every answer, metrics, the gate and the limit of its body, in this
order. Queries are synchronous, so routes are plain functions, which FastAPI calls on its own
threads; a chDB client takes them one at a time.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry

from api.access import READING
from api.accounts import accounts
from api.application import Guarded, Hard
from api.away import add_store_handlers
from api.balances import Balances
from api.bodies import Limited
from api.console.page import add_console
from api.console.pulse import Follower
from api.gate import Gate, Rate
from api.gathering import Gathering
from api.ledger import ledger
from api.listening import is_loopback
from api.metrics import ApiMetrics, Measured
from api.problems import add_problem_handlers
from api.reference import factors, refusals
from api.service import service
from api.settings import ApiSettings
from api.tokens import read_tokens
from carbon.programmes import Programme
from sinks.queries import Queries

_ABOUT = """
Carbon accounts of charging sessions and freight trips, while they happen.

Amounts are integers in milligrams; every name ends with its unit. Instants are RFC 3339. Every
error is `application/problem+json` (RFC 9457) with a stable `type`.

A token sees one account, the accounts of one programme, or everything. What it may not see is
answered as what does not exist.
"""

_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of an account, a programme or an operator: `carbonflow api-token`.",
}


def create_app(
    queries: Queries,
    *,
    settings: ApiSettings,
    registry: CollectorRegistry,
    programmes: Mapping[str, Programme],
    balances: Balances | None = None,
    follower: Follower | None = None,
) -> Hard:
    """Return the application.

    Args:
        queries: Questions to the store.
        settings: Limits, and who is let in.
        registry: Where its metrics go.
        programmes: Programmes by name, to recompute explained transfers with.
        balances: Where balances come from; the store where not given.
        follower: What of it follows the topic, for the console.

    Raises:
        TokensError: The file of tokens cannot be read.
    """
    app = Guarded(
        scheme=_SCHEME,
        is_behind_tls=settings.api_behind_tls,
        title="Carbonflow",
        version=version("carbonflow"),
        description=_ABOUT,
    )
    tokens = None if settings.api_tokens_file is None else read_tokens(settings.api_tokens_file)
    source = balances or Gathering(queries.balances, accounts_max=settings.api_accounts_max)
    add_problem_handlers(app)
    add_store_handlers(app)
    if settings.api_console:
        add_console(app, queries, settings=settings, programmes=programmes, follower=follower)
    # The last that is added is asked first.
    app.add_middleware(Limited, bytes_max=settings.api_body_bytes_max)
    app.add_middleware(
        Gate,
        tokens=tokens,
        rate=Rate(per_s=settings.api_rate_per_s, burst=settings.api_burst),
        is_local=not settings.api_open and is_loopback(settings.api_host),
        kinds=READING,
        public=app.public(),
    )
    app.add_middleware(Measured, metrics=ApiMetrics(registry))
    app.include_router(accounts(queries, source, settings))
    app.include_router(ledger(queries, programmes))
    app.include_router(factors(queries, settings))
    app.include_router(refusals(queries, settings))
    return app


def create_service(
    queries: Queries,
    *,
    settings: ApiSettings,
    registry: CollectorRegistry,
    balances: Balances | None = None,
) -> Hard:
    """Return the application that tells how the API is: its health and its metrics.

    Args:
        queries: Questions to the store.
        settings: Limits.
        registry: What `/metrics` shows.
        balances: Where balances come from; the store where not given.
    """
    app = Hard(
        is_behind_tls=settings.api_behind_tls,
        title="Carbonflow service",
        openapi_url=None,
    )
    add_problem_handlers(app)
    add_store_handlers(app)
    app.include_router(service(queries, balances, registry))
    return app
