"""Shipped: pages of the package and what they load, read once and served from memory.

A page loads only what is served beside it, and runs no script that stands in it: nothing comes from
elsewhere, and what is shown cannot become a script. Browsers keep files, and ask whether they are
still the same.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from api.hardening import Headers, security_headers
from api.problems import not_found

PACKAGE: Final = Path(__file__).resolve().parent
VENDORED: Final = PACKAGE / "vendored"

PAGE_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is served."""

    body: bytes
    kind: str
    tag: str


def file_at(path: Path) -> File:
    """Read a file."""
    body = path.read_bytes()
    return File(body, _KINDS[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def files_in(folder: Path) -> dict[str, File]:
    """Read all files of a folder and below that a browser may load, by their path in it."""
    return {
        path.relative_to(folder).as_posix(): file_at(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in _KINDS
    }


@dataclass(frozen=True, slots=True)
class Pages:
    """A page, and the files under it that it loads.

    Attributes:
        path: Path of the page; files are under it.
        page: The page.
        files: What it loads, by the path below it.
        csp: What it may load.
        leading: Paths that lead to it.
    """

    path: str
    page: File
    files: Mapping[str, File]
    csp: str = PAGE_CSP
    leading: tuple[str, ...] = ()

    def add_to(self, app: FastAPI) -> None:
        """Add the routes that serve them; no OpenAPI document names them."""

        @app.get(self.path, include_in_schema=False)
        def page(request: Request) -> Response:
            return _served(request, self.page)

        @app.get(f"{self.path}/{{name:path}}", include_in_schema=False)
        def file(request: Request, name: str) -> Response:
            if name not in self.files:
                raise not_found(f"file {name!r}")
            return _served(request, self.files[name])

        for path in self.leading:

            @app.get(path, include_in_schema=False)
            def lead(request: Request) -> RedirectResponse:
                return RedirectResponse(f"{request.scope.get('root_path', '')}{self.path}")

    def paths(self) -> set[str]:
        """Return the paths of all of it."""
        return {self.path, *self.leading, *(f"{self.path}/{name}" for name in self.files)}

    def headers(self, *, is_behind_tls: bool) -> dict[str, Headers]:
        """Return the headers that these answers have, by path."""
        of_page = security_headers(is_behind_tls=is_behind_tls, csp=self.csp, cache="no-cache")
        of_file = security_headers(is_behind_tls=is_behind_tls, cache="no-cache")
        return {self.path: of_page} | {f"{self.path}/{name}": of_file for name in self.files}


def headers_of(pages: Iterable[Pages], *, is_behind_tls: bool) -> dict[str, Headers]:
    """Return the headers of all pages and their files, by path."""
    return {
        path: headers
        for each in pages
        for path, headers in each.headers(is_behind_tls=is_behind_tls).items()
    }


def _served(request: Request, file: File) -> Response:
    tag = {"etag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=tag)
    return Response(file.body, media_type=file.kind, headers=tag)
