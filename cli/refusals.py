"""Commands about refusals: `refusals list` and `refusals show`; `refusals replay` joins them."""

from __future__ import annotations

import base64
from typing import Any

import click

from carbon.refusal import REFUSALS, REMEDIES
from cli.origin import Origin, asked, origin_options
from cli.printing import print_json, print_table
from cli.refused import which_options
from cli.replay import replay

_PAGE_ROWS = 500
_HEX_BYTES = 32
_SHOWN_BYTES_MAX = 4096


@click.group()
def refusals() -> None:
    """What was refused, and why; and how to send it again."""


@refusals.command(
    "list",
    epilog="\b\nExamples:\n  carbonflow refusals list\n"
    "  carbonflow refusals list --code row_missing_value --limit 5\n"
    "  carbonflow refusals list --source my-chargers --from 2026-03-01T00:00:00Z --open",
)
@which_options
@click.option("--origin", "refused_by", type=click.Choice(("worker", "loader")), help="Only of it.")
@click.option(
    "--open/--replayed",
    "is_open",
    default=None,
    help="Only those that were not sent again, or only those that were.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Rows.")
@click.option("--after", metavar="CURSOR", help="Go on where --json said `next_cursor`.")
@origin_options
def listing(
    refused_by: str | None,
    is_open: bool | None,
    limit: int,
    after: str | None,
    origin: Origin,
    as_json: bool,
    **which: str | None,
) -> None:
    """List refusals, by their place on the topic of refusals."""
    rows: list[dict[str, Any]] = []
    cursor = after
    replayed = None if is_open is None else str(not is_open).lower()
    with asked(origin) as answers:
        while len(rows) < limit:
            page = answers.get(
                "/v1/refusals",
                origin=refused_by,
                replayed=replayed,
                cursor=cursor,
                limit=min(_PAGE_ROWS, limit - len(rows)),
                **which,
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
        ("id", "code", "source", "account", "where", "replayed", "reason", "attempt"),
        [_row(row) for row in rows],
        left=7,
    )
    if cursor is not None:
        print(f"... and more; --limit {2 * limit} shows them")


@refusals.command(epilog="\b\nExample:\n  carbonflow refusals show 3:1200")
@click.argument("refusal", metavar="PARTITION:OFFSET")
@origin_options
def show(refusal: str, origin: Origin, as_json: bool) -> None:
    """Show one refusal: its bytes, decoded where they can be, and what to do about it.

    It is named by its place on the topic of refusals, which `refusals list` has as its id.
    """
    with asked(origin) as answers:
        found = answers.get(f"/v1/refusals/{refusal.replace(':', '-')}")
    about = found["refusal"]
    value = base64.b64decode(found["value_base64"])
    if as_json:
        print_json({**found, "decoded": _decoded(value), "what_to_do": REMEDIES.get(about["code"])})
        return
    print(f"{about['code']}: {REFUSALS.get(about['code'], '')}")
    print(f"reason  {about['reason']}")
    print(f"where   {_where(about)}")
    print(f"state   {_state(about)}")
    print(f"do      {REMEDIES.get(about['code'], 'nothing is known of this code')}")
    for name, field in _decoded(value).items():
        print(f"  {name:<22} {'' if field is None else field}")
    if about["origin"] == "loader":
        print(f"row     {value.decode(errors='replace')}")
    kept = "" if about["value_bytes"] is None else f" of {about['value_bytes']:,}"
    print(f"bytes   {len(value):,}{kept}")
    for at in range(0, min(len(value), _SHOWN_BYTES_MAX), _HEX_BYTES):
        print(f"  {at:06x}  {value[at : at + _HEX_BYTES].hex()}")
    if len(value) > _SHOWN_BYTES_MAX:
        print("  ... and more; --json has all of them")


refusals.add_command(replay)


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    again = "yes" if row["is_replayed"] else ""
    names = (row["refusal_id"], row["code"], row["source"], row["account_id"])
    return (*names, _where(row), again, row["reason"], row["attempt"])


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


def _state(about: dict[str, Any]) -> str:
    before = f"attempt {about['attempt']}, " if about["attempt"] else ""
    if about["is_replayed"]:
        return f"{before}sent again since"
    if about["value_bytes"] is not None:
        return f"{before}only its beginning is kept, so it cannot be sent again"
    return f"{before}not sent again"
