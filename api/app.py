"""The API: read-only HTTP over the store, and balances from the topic they are published on.

`create_app` builds an application from its parts and keeps nothing outside it; `api.server` runs
it. A request passes headers for every answer, metrics, the gate and the limit of its body, in this
order. Queries are synchronous, so routes are plain functions, which FastAPI calls on its own
threads; a chDB client takes them one at a time.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from api.accounts import accounts
from api.balances import Balances
from api.bodies import Limited
from api.gate import Gate, Rate
from api.gathering import Gathering
from api.hardening import DOCS_PATH, Hardened, csp_of, security_headers
from api.ledger import ledger
from api.metrics import ApiMetrics, Measured
from api.problems import add_problem_handlers, schemas
from api.reference import factors, refusals
from api.service import service
from api.settings import ApiSettings, is_loopback
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


class _Hard(FastAPI):
    """An application that adds headers to every answer, those of its worst moments too."""

    def __init__(self, settings: ApiSettings, **options: Any) -> None:
        super().__init__(redoc_url=None, redirect_slashes=False, **options)
        self._settings = settings

    def build_middleware_stack(self) -> ASGIApp:
        """Return the application as it is called."""
        is_behind_tls = self._settings.api_behind_tls
        page = get_swagger_ui_html(openapi_url=self.openapi_url or "", title=self.title)
        return Hardened(
            super().build_middleware_stack(),
            security_headers(is_behind_tls=is_behind_tls),
            security_headers(is_behind_tls=is_behind_tls, csp=csp_of(bytes(page.body))),
        )


class _Api(_Hard):
    """An application whose OpenAPI document also describes its problems and who may ask."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        document["components"]["schemas"] |= schemas()
        document["components"]["securitySchemes"] = {"token": _SCHEME}
        document["security"] = [{"token": []}]
        return document


def create_app(
    queries: Queries,
    *,
    settings: ApiSettings,
    registry: CollectorRegistry,
    programmes: Mapping[str, Programme],
    balances: Balances | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        queries: Questions to the store.
        settings: Limits, and who is let in.
        registry: Where its metrics go.
        programmes: Programmes by name, to recompute explained transfers with.
        balances: Where balances come from; the store where not given.

    Raises:
        TokensError: The file of tokens cannot be read.
    """
    app = _Api(
        settings,
        title="Carbonflow",
        version=version("carbonflow"),
        description=_ABOUT,
        docs_url=DOCS_PATH,
        swagger_ui_oauth2_redirect_url=None,
    )
    tokens = None if settings.api_tokens_file is None else read_tokens(settings.api_tokens_file)
    source = balances or Gathering(queries.balances, accounts_max=settings.api_accounts_max)
    add_problem_handlers(app)
    # The last that is added is asked first.
    app.add_middleware(Limited, bytes_max=settings.api_body_bytes_max)
    app.add_middleware(
        Gate,
        tokens=tokens,
        rate=Rate(per_s=settings.api_rate_per_s, burst=settings.api_burst),
        is_local=not settings.api_open and is_loopback(settings.api_host),
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
) -> FastAPI:
    """Return the application that tells how the API is: its health and its metrics.

    Args:
        queries: Questions to the store.
        settings: Limits.
        registry: What `/metrics` shows.
        balances: Where balances come from; the store where not given.
    """
    app = _Hard(settings, title="Carbonflow service", docs_url=None, openapi_url=None)
    add_problem_handlers(app)
    app.include_router(service(queries, balances, registry))
    return app
