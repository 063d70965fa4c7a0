"""Commands about refusals: `refusals list` and `refusals show`."""

from __future__ import annotations

import base64
from difflib import get_close_matches
from typing import Any

import click

from carbon.refusal import REFUSALS
from cli.origin import Origin, asked, origin_options
from cli.printing import print_json, print_table

_PAGE_ROWS = 500


class _Code(click.Choice[str]):
    """One of the codes, which are too many to be listed to whoever misspells one."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        """Return what is wrong with a word, and what may have been meant."""
        del ctx
        near = get_close_matches(str(value), list(REFUSALS), n=1)
        return f"{value!r} is no code" + (f"; did you mean {near[0]!r}?" if near else "")


@click.group()
def refusals() -> None:
    """What was refused, and why."""


@refusals.command(
    "list",
    epilog="\b\nExamples:\n  carbonflow refusals list\n"
    "  carbonflow refusals list --code row_missing_value --limit 5",
)
@click.option(
    "--code",
    type=_Code(tuple(REFUSALS)),
    metavar="CODE",
    help="Only with this code, such as row_bad_value.",
)
@click.option("--origin", "refused_by", type=click.Choice(("worker", "loader")), help="Only of it.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Rows.")
@origin_options
def listing(
    code: str | None, refused_by: str | None, limit: int, origin: Origin, as_json: bool
) -> None:
    """List refusals."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    with asked(origin) as answers:
        while len(rows) < limit:
            page = answers.get(
                "/v1/refusals",
                code=code,
                origin=refused_by,
                cursor=cursor,
                limit=min(_PAGE_ROWS, limit - len(rows)),
            )
            rows += page["refusals"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    if as_json:
        print_json({"refusals": rows, "next_cursor": cursor})
        return
    print_table(
        "Refusals",
        ("id", "code", "where", "reason"),
        [(row["refusal_id"], row["code"], _where(row), row["reason"]) for row in rows],
        left=4,
    )
    if cursor is not None:
        print(f"... and more; --limit {2 * limit} shows them")


@refusals.command(epilog="\b\nExample:\n  carbonflow refusals show 3-1200")
@click.argument("refusal")
@origin_options
def show(refusal: str, origin: Origin, as_json: bool) -> None:
    """Show one refusal with the bytes that were refused, decoded where they can be."""
    with asked(origin) as answers:
        found = answers.get(f"/v1/refusals/{refusal}")
    if as_json:
        print_json(found)
        return
    about = found["refusal"]
    print(f"{about['code']}: {REFUSALS.get(about['code'], '')}")
    print(f"reason  {about['reason']}")
    print(f"where   {_where(about)}")
    value = base64.b64decode(found["value_base64"])
    print(f"bytes   {value!r}")
    for name, field in _decoded(value).items():
        print(f"  {name:<22} {'' if field is None else field}")


def _decoded(value: bytes) -> dict[str, object]:
    """Return the fields of a refused record; none where it is not one."""
    from schemas.framing import WireError
    from schemas.singles import decode_one

    try:
        record, fields = decode_one(value)
    except WireError:
        return {}
    return {"record": record, **fields}


def _where(row: dict[str, Any]) -> str:
    if row["origin"] == "loader":
        return f"{row['file']}:{row['line']}"
    return f"{row['topic']} {row['partition']}:{row['offset']}"
