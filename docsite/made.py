"""The pages that are made of the code.

    python -m docsite.made

writes them all. A test compares them with the code, so that none falls behind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from api.app import create_app
from api.gateway import app as gateway
from api.gateway.metrics import GatewayMetrics
from api.gateway.senders import read_senders
from api.gateway.settings import GatewaySettings
from api.settings import ApiSettings
from cli.main import carbonflow
from docsite.commands import commands_page
from docsite.notice import notice_page
from docsite.openapi import Document, HttpPage, as_json, http_page
from docsite.stage import ROOT
from sinks.queries import Queries

API: Final = HttpPage(
    "HTTP API",
    "api.json",
    "Who may see what, tokens and limits: [security](security.md#the-api). A running API shows the "
    "same on `/docs`.",
)
GATEWAY: Final = HttpPage(
    "HTTP gateway",
    "gateway.json",
    "What it is for, and how to send: [the gateway](gateway.md). Who may send what: "
    "[security](security.md#the-gateway).",
)
_SENDERS: Final = '[[senders]]\nname = "a"\nprogramme = "p"\n'


def api_document() -> Document:
    """Return the OpenAPI document of the API."""
    nowhere: Any = None  # Nobody asks.
    app = create_app(
        Queries(nowhere), settings=ApiSettings(), registry=CollectorRegistry(), programmes={}
    )
    return app.openapi()


def gateway_document() -> Document:
    """Return the OpenAPI document of the gateway."""
    nowhere: Any = None  # Nobody sends.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "senders.toml"
        path.write_text(_SENDERS, "utf-8")
        senders = read_senders(path, None)
    app = gateway.create_app(
        senders,
        nowhere,
        settings=GatewaySettings(),
        tokens=None,
        metrics=GatewayMetrics(CollectorRegistry()),
    )
    return app.openapi()


PAGES: Final[Mapping[str, Callable[[Path], str]]] = {
    "docs/commands.md": lambda _: commands_page(carbonflow, "carbonflow"),
    "docs/http-api.md": lambda _: http_page(API, api_document()),
    "docs/openapi/api.json": lambda _: as_json(api_document()),
    "docs/http-gateway.md": lambda _: http_page(GATEWAY, gateway_document()),
    "docs/openapi/gateway.json": lambda _: as_json(gateway_document()),
    "NOTICE.md": notice_page,
}
"""What makes each page of a repository, by its path from the root."""


def write_pages(root: Path = ROOT) -> None:
    """Write them all."""
    for name, page_of in PAGES.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(page_of(root), "utf-8")


if __name__ == "__main__":
    write_pages()
