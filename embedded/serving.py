"""The API of a running stack: the same application as in production, and one route more.

`GET /v1/verify` compares source, ledger and balances; only the stack can, because it owns both
the store and the broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from api.app import create_app, serve
from api.settings import ApiSettings
from carbon.programmes import Programme
from embedded.stack import Stack


class Disagreement(BaseModel):
    """One disagreement: what kind, where, what follows from the facts and what was found."""

    kind: str
    where: str
    expected: str
    found: str


class Agreement(BaseModel):
    """Whether source, ledger and balances agree, and where they do not."""

    ok: bool
    drift: list[Disagreement]


def serving(
    stack: Stack, *, programmes: Mapping[str, Programme], port: int, stop: asyncio.Event
) -> Coroutine[Any, Any, None]:
    """Return what serves the API of a stack until `stop` is set.

    Args:
        stack: The running stack.
        programmes: Programmes by name, as its workers have them.
        port: Port of 127.0.0.1.
        stop: Set it to end.
    """
    settings = ApiSettings(api_port=port)
    app = create_app(
        stack.queries, settings=settings, registry=stack.registry, programmes=programmes
    )

    @app.get("/v1/verify", tags=["ledger"])
    def verify() -> Agreement:
        """Compare source, ledger and balances. What is under way meanwhile can look like drift."""
        verdict = stack.verify()
        return Agreement(
            ok=verdict.ok, drift=[Disagreement(**asdict(one)) for one in verdict.drift]
        )

    return serve(app, settings, stop=stop)
