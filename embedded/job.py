"""A job: start a stack, send it everything, work to the end, and sum up.

Factors come first: whatever is not published yet is published before the workers start, and they
read all of it before their first slice. What is published already is left alone, because among
factors for the same thing the latest published wins.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from carbon.factors import Factor
from embedded.progress import View
from embedded.stack import Stack, StackSettings, running
from embedded.summary import Summary, Tally, summarise
from producers.client.columns import CarbonflowProducer
from sinks.queries import LIMIT_MAX, FactorFilter, Queries

Ingest = Callable[[CarbonflowProducer], Awaitable[None]]


def run_job(
    settings: StackSettings, *, factors: Sequence[Factor], ingest: Ingest, view: View
) -> Summary:
    """Run a job and return what it did.

    Args:
        settings: The stack.
        factors: Factors it needs.
        ingest: Sends the events.
        view: Is told how it goes.

    Raises:
        StackError: A part cannot start or has ended for good.
        Exception: What `ingest` raised.
    """
    view.stage("starting")
    with running(settings, tell=view.tell) as stack:
        prepare(stack, factors, view=view)
        before = Tally.of(stack.queries)
        started = time.monotonic()
        stack.start_workers()
        view.stage("loading")
        stack.run(_send(stack, ingest), view.tick)
        view.stage("working")
        stack.settle(view.tick)
        seconds = time.monotonic() - started
        view.stage("verifying")
        return summarise(before, stack.queries, stack.verify(), seconds=seconds)


def prepare(stack: Stack, factors: Sequence[Factor], *, view: View) -> None:
    """Let the store catch up with the broker, then publish the factors that are not there yet."""
    view.stage("catching up")
    stack.settle_sink(view.tick)
    new = unpublished(factors, stack.queries)
    if new:
        view.stage(f"publishing {len(new):,} factors")
        stack.run(_publish(stack, new), view.tick)


def unpublished(factors: Iterable[Factor], queries: Queries) -> list[Factor]:
    """Return the factors the store does not have as they are, in their order."""
    wanted = list(factors)
    known = {
        (factor.release, factor.factor_id): factor
        for release in {factor.release for factor in wanted}
        for factor in _published(release, queries)
    }
    return [factor for factor in wanted if known.get((factor.release, factor.factor_id)) != factor]


def _published(release: str, queries: Queries) -> Iterable[Factor]:
    cursor = None
    while True:
        page = queries.factors(FactorFilter(release=release), cursor=cursor, limit=LIMIT_MAX)
        yield from (item.plain for item in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


async def _send(stack: Stack, ingest: Ingest) -> None:
    async with CarbonflowProducer(stack.broker_settings) as producer:
        await ingest(producer)


async def _publish(stack: Stack, factors: Sequence[Factor]) -> None:
    async with CarbonflowProducer(stack.broker_settings) as producer:
        await producer.publish_factors(factors)
