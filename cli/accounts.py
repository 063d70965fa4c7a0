"""Commands about accounts: `balance`, `statement`, `explain`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from cli.origin import Origin, asked, origin_options
from cli.parsing import INSTANT
from cli.printing import counted, print_json, print_table

_PAGE_ROWS = 500


@click.command(epilog="\b\nExample:\n  carbonflow balance acn-000005015 --json")
@click.argument("account")
@origin_options
def balance(account: str, origin: Origin, as_json: bool) -> None:
    """Print what an account adds up to."""
    with asked(origin) as answers:
        found = answers.get(f"/v1/accounts/{quote(account, safe='')}/balance")
    if as_json:
        print_json(found)
        return
    from embedded.tables import energy, mass, transport

    words: dict[str, object] = {
        "account": found["account_id"],
        "programme": found["programme"],
        "saved": mass(found["reduction_mg"]),
        "emitted": mass(found["emissions_mg"]),
    }
    if found["session_count"]:
        sessions = counted(found["session_count"], "session")
        words["charged"] = f"{energy(found['energy_wh'])} in {sessions}"
    if found["trip_count"]:
        trips = counted(found["trip_count"], "trip")
        words["moved"] = f"{transport(found['transport_kg_km'])} in {trips}"
    words["transfers"] = f"{found['transfer_count']:,}"
    words["duplicates"] = f"{found['duplicate_count']:,}"
    words["last booked"] = found["last_booked_at"]
    for name, value in words.items():
        print(f"{name:<12} {value}")


@click.command(
    epilog="\b\nExamples:\n  carbonflow statement acn-000005015\n"
    "  carbonflow statement acn-000005015 --from 2021-01-01T00:00:00Z --limit 20"
)
@click.argument("account")
@click.option(
    "--from", "from_", type=INSTANT, metavar="TIME", help="Earliest, inclusive (RFC 3339)."
)
@click.option("--to", type=INSTANT, metavar="TIME", help="Latest, exclusive (RFC 3339).")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Rows.")
@origin_options
def statement(
    account: str, from_: str | None, to: str | None, limit: int, origin: Origin, as_json: bool
) -> None:
    """Print an account's transfers, the earliest first."""
    transfers: list[dict[str, Any]] = []
    cursor: str | None = None
    with asked(origin) as answers:
        while len(transfers) < limit:
            page = answers.get(
                f"/v1/accounts/{quote(account, safe='')}/statement",
                from_=from_,
                to=to,
                cursor=cursor,
                limit=min(_PAGE_ROWS, limit - len(transfers)),
            )
            transfers += page["transfers"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    if as_json:
        print_json({"account_id": account, "transfers": transfers, "next_cursor": cursor})
        return
    from embedded.tables import masses

    amounts = masses([one["signed_mg"] for one in transfers])
    print_table(
        f"Statement of {account}",
        ("booked at", "transfer", "quantity", "factor", "match", "amount"),
        [
            (
                one["booked_at"],
                one["transfer_id"],
                one["quantity"],
                f"{one['factor_release']}/{one['factor_id']}",
                one["factor_match"],
                amount,
            )
            for one, amount in zip(transfers, amounts, strict=True)
        ],
        left=5,
    )
    if cursor is not None:
        print(f"... and more; --limit {2 * limit} shows them")


@click.command(epilog="\b\nExample:\n  carbonflow explain charging:acn-data:4711:0:emission:0")
@click.argument("transfer")
@origin_options
def explain(transfer: str, origin: Origin, as_json: bool) -> None:
    """Print how a transfer's amount came to be, so that it can be recomputed by hand."""
    with asked(origin) as answers:
        found = answers.get(f"/v1/transfers/{quote(transfer, safe='')}/explanation")
    if as_json:
        print_json(found)
        return
    for line in found["lines"]:
        print(line)
