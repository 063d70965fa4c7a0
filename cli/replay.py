"""The command `refusals replay`: refused records are sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.broker import broker_settings
from cli.outages import broker_at
from cli.parsing import Failure, data_dir_option, json_option
from cli.printing import counted, print_json
from cli.refused import which_options

if TYPE_CHECKING:
    from producers.replay import Plan, Totals
    from schemas.settings import BrokerSettings

_REASONS_SHOWN = 5


@click.command(
    epilog="\b\nExamples:\n  carbonflow refusals replay --code factor_not_found --dry-run\n"
    "  carbonflow refusals replay --code factor_not_found --rate 500\n"
    "  carbonflow refusals replay --mapping mended.toml --file sessions.csv"
)
@which_options
@click.option("--file", help="Only rows of this file, as it was named to `load`.")
@click.option(
    "--mapping",
    "mapping_name",
    metavar="NAME|FILE",
    help="Put the rows a loader refused through this mapping, and send nothing else.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Records a second.")
@click.option(
    "--attempts-max",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How often a record may be sent again.",
)
@click.option("--bootstrap", metavar="HOST:PORT", help="Kafka [default: a running stack's].")
@data_dir_option
@json_option
def replay(
    code: str | None,
    source: str | None,
    topic: str | None,
    account: str | None,
    from_: str | None,
    to: str | None,
    file: str | None,
    mapping_name: str | None,
    dry_run: bool,
    rate: float | None,
    attempts_max: int,
    bootstrap: str | None,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Send refused records again, to the topic they came from.

    For what was mended since: a factor was published, a programme added, a release upgraded; or,
    with --mapping, the mapping of files. Nothing is booked twice, and what a replay has sent it
    does not send a second time, so it may be interrupted and repeated.
    """
    from producers.refused import Wanted
    from producers.replay import Plan, Totals

    wanted = Wanted(
        code=code,
        source=source,
        topic=topic,
        account=account,
        file=file,
        from_ms=_milliseconds(from_),
        to_ms=_milliseconds(to),
    )
    plan = Plan(
        mapping=None if mapping_name is None else _mapping(mapping_name),
        attempts_max=attempts_max,
        rate=rate,
        dry_run=dry_run,
    )
    totals = Totals()
    try:
        _run(broker_settings(bootstrap, data_dir), wanted, plan, totals, quiet=as_json)
    except KeyboardInterrupt:
        click.echo(
            f"{counted(totals.sent.total(), 'record')} sent; the same command sends the others",
            err=True,
        )
        raise
    if as_json:
        print_json(_as_json(plan, totals))
        return
    _tell(plan, totals)


def _mapping(name: str) -> Any:
    from producers.mapping import MappingError, load_mapping

    try:
        mapping = load_mapping(name)
    except MappingError as error:
        raise Failure(f"mapping {error}") from error
    if mapping.natural_columns:
        raise Failure(
            f"mapping {mapping.name} has a pseudonym, and the natural id it stands for is kept in "
            "no refusal: mend the mapping and load the file again, which books no row twice"
        )
    return mapping


def _run(settings: BrokerSettings, wanted: Any, plan: Plan, totals: Totals, *, quiet: bool) -> None:
    """Replay with a progress bar on standard error, or without where nobody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from producers.again import ReplayFenced
    from producers.published import UnreadTopicError
    from producers.replay import replay as send_again

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task("refusals", total=None)

        def show(looked_at: int, extent: int) -> None:
            sent = counted(totals.sent.total(), "record")
            told = f"{sent} {'to send' if plan.dry_run else 'sent'}"
            bars.update(task, completed=looked_at, total=extent, description=told)

        try:
            with broker_at(settings):
                asyncio.run(send_again(settings, wanted, plan, totals, progress=show))
        except (ReplayFenced, UnreadTopicError) as error:
            sent = counted(totals.sent.total(), "record")
            raise Failure(f"{error} ({sent} sent)") from error


def _as_json(plan: Plan, totals: Totals) -> dict[str, Any]:
    return {
        "dry_run": plan.dry_run,
        "sent": totals.sent.total(),
        "sent_by_code": _by_count(totals.sent),
        "passed_over": _by_count(totals.passed_over),
        "still_unmapped": [
            {"code": code, "reason": reason, "rows": count}
            for (code, reason), count in totals.unmapped.most_common()
        ],
    }


def _tell(plan: Plan, totals: Totals) -> None:
    from producers.replay import PASSED_OVER

    print(f"{counted(totals.sent.total(), 'record')} {'to send' if plan.dry_run else 'sent'}")
    for code, count in _by_count(totals.sent).items():
        print(f"  {count:>10,}  {code}")
    passed_over = _by_count(totals.passed_over)
    print(f"{counted(sum(passed_over.values()), 'refusal')} passed over")
    for why, count in passed_over.items():
        print(f"  {count:>10,}  {PASSED_OVER[why]}")
    for (code, reason), count in totals.unmapped.most_common(_REASONS_SHOWN):
        print(f"    {count:>10,}  {code}: {reason}")


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    return {
        name: count
        for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        if count
    }


def _milliseconds(instant: str | None) -> int | None:
    if instant is None:
        return None
    moment = datetime.fromisoformat(instant)
    return int(moment.timestamp() // 1) * 1000 + moment.microsecond // 1000
