"""Commands about emission factors: `factors list`, `show`, `match` and `load`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli.broker import broker_settings
from cli.inputs import RELEASE, read_factors
from cli.origin import Origin, asked, origin_options
from cli.outages import broker_at
from cli.parsing import INSTANT, Failure, data_dir_option, json_option
from cli.printing import counted, print_json, print_table

_PAGE_ROWS = 1000

BOUNDARY = click.Choice(("ttw", "wtw"))
KIND = click.Choice(("grid_average", "grid_hourly", "fuel", "freight_intensity"))
UNIT = click.Choice(("kwh", "l", "kg", "tkm"))


@click.group()
def factors() -> None:
    """Emission factors: what was published, and which one an activity gets."""


def _filters(function: Any) -> Any:
    for option in (
        click.option("--boundary", type=BOUNDARY, help="Only of this boundary."),
        click.option("--subject", help="Only for this: electricity, diesel, ..."),
        click.option("--region", help="Only of this region, such as CN-BJ."),
        click.option("--kind", type=KIND, help="Only of this kind."),
        click.option("--release", help="Only of this release."),
    ):
        function = option(function)
    return function


@factors.command(
    "list", epilog="\b\nExample:\n  carbonflow factors list --kind grid_average --region CN-BJ"
)
@_filters
@click.option("--at", type=INSTANT, metavar="TIME", help="Only those valid then (RFC 3339).")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Rows.")
@origin_options
def listing(origin: Origin, as_json: bool, limit: int, **which: str | None) -> None:
    """List the factors published to a stack."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    with asked(origin) as answers:
        while len(rows) < limit:
            page = answers.get(
                "/v1/factors", cursor=cursor, limit=min(_PAGE_ROWS, limit - len(rows)), **which
            )
            rows += page["factors"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    if as_json:
        print_json({"factors": rows, "next_cursor": cursor})
        return
    print_table("Factors", _HEADS, [_row(row) for row in rows], left=7)
    if cursor is not None:
        print(f"... and more; --limit {2 * limit} shows them")


@factors.command(epilog="\b\nExample:\n  carbonflow factors show 2026.1 FACTOR")
@click.argument("release")
@click.argument("factor")
@origin_options
def show(release: str, factor: str, origin: Origin, as_json: bool) -> None:
    """Show one factor with its source and licence."""
    with asked(origin) as answers:
        found = answers.get(f"/v1/factors/{release}/{factor}")
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        print(f"{name:<22} {'' if value is None else value}")


@factors.command(
    epilog="\b\nExamples:\n  carbonflow factors match CN-BJ --at 2026-03-01T08:00:00Z\n"
    "  carbonflow factors match IN --kind fuel --subject diesel --unit l"
)
@click.argument("region")
@click.option("--at", type=INSTANT, metavar="TIME", help="When (RFC 3339) [default: now].")
@click.option("--kind", type=KIND, default="grid_average", show_default=True, help="Its kind.")
@click.option("--subject", default="electricity", show_default=True, help="What it is for.")
@click.option("--unit", type=UNIT, default="kwh", show_default=True, help="Unit of its value.")
@click.option("--boundary", type=BOUNDARY, default="ttw", show_default=True, help="Its boundary.")
@origin_options
def match(
    region: str,
    at: str | None,
    kind: str,
    subject: str,
    unit: str,
    boundary: str,
    origin: Origin,
    as_json: bool,
) -> None:
    """Show which published factor an activity there and then gets, with all fallbacks, and how."""
    from embedded.matching import NoMatchError, match_factor

    at = at or datetime.now(UTC).isoformat(timespec="seconds")
    with asked(origin) as answers:
        try:
            found = match_factor(
                answers, region, at, kind=kind, subject=subject, unit=unit, boundary=boundary
            )
        except NoMatchError as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json(found)
        return
    print(f"{found['how']}: {found['value_mg']:,} mg per {found['factor']['unit']}")
    print_table("Factor", _HEADS, [_row(found["factor"])], left=7)


@factors.command(
    "load",
    epilog="\b\nExamples:\n  carbonflow factors load csv:our-factors.csv\n"
    "  carbonflow factors load electricity-maps:US-CAL-CISO_2021_hourly.csv --bootstrap kafka:9092",
)
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option("--bootstrap", metavar="HOST:PORT", help="Kafka [default: a running stack's].")
@click.option("--force", is_flag=True, help="Publish also what is published already, as it is.")
@data_dir_option
@json_option
def load(
    specs: tuple[str, ...], bootstrap: str | None, force: bool, data_dir: Path, as_json: bool
) -> None:
    """Publish factors to a running stack, or to any Kafka; workers take them up at once.

    Without SPEC the shipped release is published. What the topic holds already, unchanged, is left
    alone: of two factors for the same the later published wins, and --force makes these the later.
    """
    from producers.client.columns import CarbonflowProducer
    from producers.published import UnreadTopicError, unpublished

    found = read_factors(specs or (RELEASE,))
    settings = broker_settings(bootstrap, data_dir)

    async def publish() -> int:
        new = found if force else await unpublished(found, settings)
        if not new:
            return 0
        async with CarbonflowProducer(settings) as producer:
            return await producer.publish_factors(new)

    try:
        with broker_at(settings):
            count = asyncio.run(publish())
    except UnreadTopicError as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json({"published": count, "unchanged": len(found) - count})
        return
    print(f"published {counted(count, 'factor')}, {len(found) - count:,} were there already")


_HEADS = ("release", "factor", "kind", "region", "subject", "boundary", "evidence", "value")


def _row(factor: dict[str, Any]) -> tuple[str, ...]:
    names = ("release", "factor_id", "kind", "region", "subject", "boundary", "evidence")
    return (
        *(str(factor[name]) for name in names),
        f"{factor['value_mg']:,} mg/{factor['unit']}",
    )
