"""Pages and what they load: the same bytes as in the package and as npm has them, with headers of
their own, and all of it in the wheel."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Final

import pytest

from api.shipped import PACKAGE, VENDORED
from api.vendored import FILES
from tests.api.asked import Http
from tests.toolchains import npm_ci
from tests.vendored.copy import HERE

STATIC: Final = PACKAGE / "console/static"
PAGES: Final = (STATIC / "console.html", PACKAGE / "docs/page.html")
OURS: Final = sorted(
    path
    for folder in (STATIC, PACKAGE / "docs")
    for path in folder.rglob("*")
    if path.suffix in {".js", ".css", ".html", ".json", ".svg"}
)
LINES_MAX: Final = 400
TYPES_S_MAX: Final = 120


@pytest.mark.parametrize("package", FILES)
def test_what_is_vendored_is_what_npm_has_under_the_integrity_of_the_lock(package: str) -> None:
    # `npm ci` refuses a package whose bytes are not those of the lock.
    original = npm_ci(HERE) / package
    for name in FILES[package]:
        shipped = VENDORED / package / Path(name).name
        assert shipped.read_bytes() == (original / name).read_bytes(), name
    known = {Path(name).name for name in FILES[package]}
    assert {path.name for path in (VENDORED / package).iterdir()} == known
    assert "LICENSE" in known


def test_everything_a_browser_loads_is_in_the_wheel() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["api"]
    packed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    vendored = {VENDORED / p / Path(n).name for p, names in FILES.items() for n in names}
    assert {*OURS, *vendored} <= packed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_no_script_of_its_own_and_loads_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\ssrc=)", text) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", text) == []
    loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    assert loaded
    assert [each for each in loaded if re.match(r"(https?:)?//", each)] == []


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_scripts_are_short_and_load_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.suffix == ".js":
        assert len(text.splitlines()) < LINES_MAX
        assert re.findall(r"innerHTML|insertAdjacentHTML|\beval\(|document\.write", text) == []
        imported = re.findall(r"from \"([^\"]+)\"", text)
        assert [each for each in imported if not (path.parent / each).is_file()] == []
    if path.suffix in {".js", ".css"}:
        assert re.findall(r"url\(|https?://(?!www\.w3\.org)[\w.]+", text) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/console", "text/html; charset=utf-8"),
        ("/console/main.js", "text/javascript; charset=utf-8"),
        ("/console/views/pipeline.js", "text/javascript; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/names.json", "application/json"),
        ("/console/vendored/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ],
)
def test_a_file_is_kept_by_a_browser_until_it_changes(http: Http, path: str, kind: str) -> None:
    answer = http.ask("GET", path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["cache-control"] == "no-cache"
    again = http.ask("GET", path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/console", "/docs"])
def test_a_page_may_run_the_scripts_beside_it_and_no_other(http: Http, path: str) -> None:
    (sent,) = http.ask("GET", path).headers.get_list("content-security-policy")
    policy = dict(part.strip().split(" ", 1) for part in sent.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    # Swagger UI sets styles of its elements; the console does not.
    own = "'self'" if path == "/console" else "'self' 'unsafe-inline'"
    assert policy["style-src"] == own


@pytest.mark.parametrize(
    "path", ["/console/nothing.js", "/console/../app.py", "/console/%2e%2e/page.py", "/docs/x"]
)
def test_nothing_else_is_served(http: Http, path: str) -> None:
    assert http.ask("GET", path).status_code == 404


def test_the_root_leads_to_the_console(http: Http) -> None:
    answer = http.ask("GET", "/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/console")


def test_our_scripts_keep_to_their_types() -> None:
    compiler = npm_ci(HERE) / ".bin/tsc"
    done = subprocess.run(
        [compiler, "-p", HERE], capture_output=True, text=True, check=False, timeout=TYPES_S_MAX
    )
    assert (done.returncode, done.stdout) == (0, "")
