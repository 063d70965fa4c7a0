"""Application: what every application of ours has, before it has a route.

Headers go with every answer, those of its worst moments too; the OpenAPI document of one behind the
gate also describes its problems and who may ask, and a page of documentation shows it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from api.docs.page import documentation
from api.hardening import DOCS_PATH, Hardened, security_headers
from api.problems import schemas
from api.shipped import Pages, headers_of


class Hard(FastAPI):
    """An application that adds headers to every answer, those of its worst moments too.

    Attributes:
        ending: Set when its server ends: what would be answered for ever ends then, too.
    """

    def __init__(self, *, is_behind_tls: bool, **options: Any) -> None:
        super().__init__(redoc_url=None, docs_url=None, redirect_slashes=False, **options)
        self.ending = asyncio.Event()
        self._is_behind_tls = is_behind_tls
        self._pages: list[Pages] = []

    def add_pages(self, pages: Pages) -> None:
        """Serve a page and what it loads."""
        pages.add_to(self)
        self._pages.append(pages)

    def public(self) -> frozenset[str]:
        """Return the paths that need no token: what it is, which its source says too."""
        known = {path for pages in self._pages for path in pages.paths()}
        return frozenset(known if self.openapi_url is None else known | {self.openapi_url})

    def build_middleware_stack(self) -> ASGIApp:
        """Return the application as it is called."""
        return Hardened(
            super().build_middleware_stack(),
            security_headers(is_behind_tls=self._is_behind_tls),
            headers_of(self._pages, is_behind_tls=self._is_behind_tls),
        )


class Guarded(Hard):
    """An application whose OpenAPI document also describes its problems and who may ask.

    Args:
        scheme: The security scheme of its tokens, as OpenAPI has it.
    """

    def __init__(self, *, scheme: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._scheme = scheme
        self.docs_url = DOCS_PATH
        self.add_pages(documentation())

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        document["components"]["schemas"] |= schemas()
        document["components"]["securitySchemes"] = {"token": self._scheme}
        document["security"] = [{"token": []}]
        return document
