"""Application: what every application of ours has, before it has a route.

Headers go with every answer, those of its worst moments too; the OpenAPI document of one behind the
gate also describes its problems and who may ask.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.types import ASGIApp

from api.hardening import Hardened, csp_of, security_headers
from api.problems import schemas


class Hard(FastAPI):
    """An application that adds headers to every answer, those of its worst moments too."""

    def __init__(self, *, is_behind_tls: bool, **options: Any) -> None:
        super().__init__(redoc_url=None, redirect_slashes=False, **options)
        self._is_behind_tls = is_behind_tls

    def build_middleware_stack(self) -> ASGIApp:
        """Return the application as it is called."""
        is_behind_tls = self._is_behind_tls
        page = get_swagger_ui_html(openapi_url=self.openapi_url or "", title=self.title)
        return Hardened(
            super().build_middleware_stack(),
            security_headers(is_behind_tls=is_behind_tls),
            security_headers(is_behind_tls=is_behind_tls, csp=csp_of(bytes(page.body))),
        )


class Guarded(Hard):
    """An application whose OpenAPI document also describes its problems and who may ask.

    Args:
        scheme: The security scheme of its tokens, as OpenAPI has it.
    """

    def __init__(self, *, scheme: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._scheme = scheme

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        document["components"]["schemas"] |= schemas()
        document["components"]["securitySchemes"] = {"token": self._scheme}
        document["security"] = [{"token": []}]
        return document
