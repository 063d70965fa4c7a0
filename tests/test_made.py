"""Pages that are made of the code are in step with it; NOTICE.md leaves out nobody's figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click
import pytest

from cli.main import carbonflow
from docsite.made import PAGES, api_document
from docsite.notice import RELEASES, VENDOR, NoLicenceError, licence_of, notice_page, sources_of
from docsite.openapi import HttpPage, http_page
from docsite.stage import ROOT
from producers.factors.spec import load_factors
from tests.pages import rows, section

NOTICE: Final = (ROOT / "NOTICE.md").read_text("utf-8")
SHIPPED: Final = sorted(path.parent.name for path in (ROOT / RELEASES).glob("*/release.toml"))


def page(name: str) -> str:
    """Return a page as it lies in the repository."""
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_current(name: str) -> None:
    assert page(name) == PAGES[name](ROOT), f"{name} is not what the code says: run `make pages`"


def test_every_command_has_its_help_on_the_page() -> None:
    def named(command: click.Command, name: str) -> list[str]:
        inside = command.commands.items() if isinstance(command, click.Group) else ()
        return [name, *(each for key, one in inside for each in named(one, f"{name} {key}"))]

    found = re.findall(r"(?m)^## (.+)$", page("docs/commands.md"))
    assert sorted(found) == sorted(named(carbonflow, "carbonflow"))
    assert "electricity-maps:FILE" in page("docs/commands.md")


def test_a_route_has_what_it_takes_and_answers() -> None:
    route = section(page("docs/http-api.md"), "GET /v1/accounts/{account_id}/statement")
    taken = {row[0]: row[2] for row in rows(route)}
    assert taken["`account_id`"] == "string"
    assert taken["`limit`, optional"] == "integer, at least 1, at most 1000, default 100"
    assert "\n* 200, [Statement](#statement)\n" in route
    assert re.search(r"(?m)^\* 400, .*\b404, .*\[Problem\]\(#problem\)$", route)


def test_every_field_of_a_schema_is_on_the_page() -> None:
    made = http_page(HttpPage("T", "t.json", "About."), api_document())
    schemas = api_document()["components"]["schemas"]
    for name, schema in schemas.items():
        fields = [row[0].partition(",")[0] for row in rows(section(made, name))]
        assert fields == [f"`{field}`" for field in schema.get("properties", ())], name


# Whose figures


@pytest.mark.parametrize("release", SHIPPED)
def test_every_source_of_a_release_is_named_with_year_licence_and_link(release: str) -> None:
    table = rows(section(NOTICE, f"Emission factors of release {release}"))
    factors = load_factors(f"release:{release}")
    assert sum(int(row[3]) for row in table) == len(factors)
    for source in sources_of(factors):
        (row,) = (
            row
            for row in table
            if (row[0], row[4]) == (source.publisher, source.licence)
            and f"({source.url})" in row[1]
            and source.publication in row[1]
        )
        assert all(year in row[1] for year in row[2].split(", ") if year != "not named"), row


def test_a_publication_names_no_year_only_where_none_is_known() -> None:
    (release,) = SHIPPED
    table = rows(section(NOTICE, f"Emission factors of release {release}"))
    undated = {row[0] for row in table if row[2] == "not named"}
    assert undated == {"ICCT", "CLECAT, ifeu and Fraunhofer IML"}


def test_every_package_of_the_image_says_its_licence() -> None:
    locked = re.findall(r"(?m)^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text("utf-8"))
    assert [row[0] for row in rows(section(NOTICE, "Packages of the image"))] == [
        f"`{name}`" for name in locked
    ]
    assert (licence_of("numba"), licence_of("click")) == ("BSD", "BSD-3-Clause")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository of a console's scripts alone."""
    (tmp_path / RELEASES).mkdir(parents=True)
    (tmp_path / "requirements.lock").write_text("click==8.0 \\\n")
    (tmp_path / VENDOR / "charts").mkdir(parents=True)
    (tmp_path / VENDOR / "charts" / "charts.min.js").write_text("1")
    return tmp_path


def test_a_script_of_the_console_is_named_with_the_licence_beside_it(root: Path) -> None:
    (root / VENDOR / "charts" / "LICENSE").write_text("Apache")
    assert rows(section(notice_page(root), "Scripts of the console")) == [
        ["`charts/charts.min.js`", f"[`charts/LICENSE`]({VENDOR}/charts/LICENSE)"]
    ]


def test_each_script_of_a_folder_has_its_own_licence_where_one_is_named_like_it(
    root: Path,
) -> None:
    folder = root / VENDOR
    (folder / "charts" / "charts.min.js").rename(folder / "charts.min.js")
    (folder / "map.js").write_text("1")
    for name in ("charts.LICENSE.txt", "map.LICENSE"):
        (folder / name).write_text("Terms")
    assert [row[1] for row in rows(section(notice_page(root), "Scripts of the console"))] == [
        f"[`charts.LICENSE.txt`]({VENDOR}/charts.LICENSE.txt)",
        f"[`map.LICENSE`]({VENDOR}/map.LICENSE)",
    ]


def test_a_script_without_a_licence_is_not_shipped(root: Path) -> None:
    with pytest.raises(NoLicenceError, match=r"charts\.min\.js has no licence file"):
        notice_page(root)
