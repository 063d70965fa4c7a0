"""The shipped releases: immutable sets of published factors, with their sources and licences.

A release is a folder of `releases/`: `factors.csv` (see `producers.factors.table`) and
`release.toml`. Its digest covers every field of every factor, so a figure that was changed after
publication is noticed before it is used. A correction is a new release, never an edit.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib.resources import files
from operator import attrgetter

from carbon.factors import Factor
from producers.factors.errors import ReleaseError
from producers.factors.table import parse_table


@dataclass(frozen=True, slots=True)
class Source:
    """A publication that factors of a release come from, and what to know about it."""

    publisher: str
    publication: str
    url: str
    licence: str
    notes: str


@dataclass(frozen=True, slots=True)
class Release:
    """An immutable set of factors; equal digests mean equal factors.

    Attributes:
        name: Such as `2026.1`.
        digest: SHA-256 of the canonical content, see `digest_of`.
        factors: In the order of the file; no two cover the same subject at the same time.
        sources: Every publication named by a factor.
        evidence: What each evidence tag means.
    """

    name: str
    digest: str
    factors: tuple[Factor, ...]
    sources: tuple[Source, ...]
    evidence: dict[str, str]


def digest_of(factors: Iterable[Factor]) -> str:
    """Return the SHA-256 of the factors' canonical content [hex].

    Canonical is one line a factor, in the order of factor_id: a JSON array of its fields in the
    order of `Factor`, without spaces, in UTF-8. Line ends and the order of columns don't count.
    """
    names = [field.name for field in fields(Factor)]
    digest = hashlib.sha256()
    for factor in sorted(factors, key=attrgetter("factor_id")):
        values = [getattr(factor, name) for name in names]
        line = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def release_names() -> list[str]:
    """Return the names of the shipped releases, oldest first."""
    shipped = [item.name for item in files("producers.factors").joinpath("releases").iterdir()]
    return sorted(shipped, key=lambda name: [int(part) for part in name.split(".")])


def load_release(name: str = "2026.1") -> Release:
    """Return a shipped release.

    Raises:
        ReleaseError: There is none of that name, or its content does not match its digest.
        FactorFileError: A line of its table is not a factor.
    """
    if name not in release_names():
        raise ReleaseError(
            f"there is no release {name!r}; shipped are {', '.join(release_names())}"
        )
    folder = files("producers.factors").joinpath("releases", name)
    return parse_release(
        folder.joinpath("release.toml").read_text(encoding="utf-8"),
        folder.joinpath("factors.csv").read_text(encoding="utf-8"),
    )


def parse_release(about: str, table: str) -> Release:
    """Return the release that the texts of `release.toml` and `factors.csv` describe.

    Raises:
        ReleaseError: The factors do not match the digest, or belong to another release.
        FactorFileError: A line of the table is not a factor.
    """
    tree = tomllib.loads(about)
    factors = tuple(parse_table(table, file=f"release {tree['name']}", release=tree["name"]))
    if foreign := {factor.release for factor in factors} - {tree["name"]}:
        raise ReleaseError(f"release {tree['name']} holds factors of {', '.join(sorted(foreign))}")
    if (digest := digest_of(factors)) != tree["digest"]:
        raise ReleaseError(
            f"release {tree['name']} was changed after it was published: "
            f"its digest is {digest}, not {tree['digest']}"
        )
    sources = tuple(Source(**source) for source in tree["sources"])
    return Release(tree["name"], digest, factors, sources, tree["evidence"])
