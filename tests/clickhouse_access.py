"""The users that `deploy/clickhouse/users.sql` makes, in the form in which chDB takes rights.

chDB has no place to keep users that statements make, but it reads roles and their grants from its
configuration, and holds whoever takes a role to them as a server does. So each user of the file
becomes a role with exactly the GRANT statements of the file, and the user as which chDB runs may
take each of these roles and has no right of its own.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from sinks.migrate import statements

USERS_SQL: Final = Path(__file__).resolve().parents[1] / "deploy/clickhouse/users.sql"

_GRANT: Final = re.compile(r"(GRANT .+) TO (\w+)")
_CREATE: Final = re.compile(r"CREATE USER IF NOT EXISTS (\w+) .+", re.DOTALL)


def granted(sql: str) -> dict[str, list[str]]:
    """Return the GRANT statements of a file for each user that it makes, without their TO."""
    grants: dict[str, list[str]] = {}
    for statement in statements(sql):
        if created := _CREATE.fullmatch(statement):
            grants[created[1]] = []
        elif grant := _GRANT.fullmatch(statement):
            grants[grant[2]].append(grant[1])
        else:
            raise ValueError(f"neither CREATE USER nor GRANT: {statement}")
    return grants


def write_config(
    path: Path, grants: Mapping[str, Sequence[str]], *, backups: Path | None = None
) -> None:
    """Write a configuration of chDB in which each user is a role.

    Args:
        path: The file.
        grants: GRANT statements by user; nobody is held to any where there are none.
        backups: Folder that backups may be written to.
    """
    root = ElementTree.Element("clickhouse")
    if backups is not None:
        put(root, "backups/allowed_path", f"{backups}/")
    put(root, "user_directories/users_xml/path", str(path))
    # As a server has it that asks for the most.
    for name in ("select_from_system_db_requires_grant", "table_engines_require_grant"):
        put(root, f"access_control_improvements/{name}", "true" if grants else "false")
    put(root, "profiles/default")
    put(root, "quotas/default")
    for user, queries in grants.items():
        inside = put(root, f"roles/{user}/grants")
        for query in queries:
            ElementTree.SubElement(inside, "query").text = query
    put(root, "users/default/password")
    put(root, "users/default/networks/ip", "::/0")
    put(root, "users/default/profile", "default")
    put(root, "users/default/quota", "default")
    if grants:
        put(root, "users/default/grants/query", f"GRANT {', '.join(grants)}")
    ElementTree.ElementTree(root).write(path, encoding="unicode")


def put(root: ElementTree.Element, path: str, text: str | None = None) -> ElementTree.Element:
    """Return the element of a path, made where it is not there, with a text."""
    for name in path.split("/"):
        found = root.find(name)
        root = ElementTree.SubElement(root, name) if found is None else found
    if text is not None:
        root.text = text
    return root
