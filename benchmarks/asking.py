"""Asking an API at a steady rate, whether it keeps up or not."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import aiohttp
import numpy as np

from benchmarks.pacing import Float64s, Quantiles, Schedule, quantiles

ANSWER_S_MAX: Final = 10.0
CONNECTIONS_MAX: Final = 256
START_IN_S: Final = 0.1
LOST: Final = "no answer"


@dataclass(slots=True)
class Answers:
    """What became of the requests of a schedule.

    Attributes:
        due_s: When each was due.
        done_s: When its whole answer was there; not a number where it was none, or no good one.
        faults: Answers that were not 200, by what they were instead.
    """

    due_s: Float64s
    done_s: Float64s = field(init=False)
    faults: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Nothing is answered yet."""
        self.done_s = np.full(len(self.due_s), np.nan)

    def latencies(self, *, warm_s: float) -> Quantiles:
        """Return the latencies of the requests due after the first `warm_s` seconds."""
        counted = self.due_s >= self.due_s[0] + warm_s
        lost = np.isnan(self.done_s) & counted
        taken_s = np.where(np.isnan(self.done_s), ANSWER_S_MAX, self.done_s - self.due_s)
        return quantiles(taken_s[counted], lost=int(lost.sum()))


async def ask_balances(api_url: str, schedule: Schedule, accounts: Sequence[str]) -> Answers:
    """Ask for one balance after another as they fall due, each on a connection that is free then.

    Args:
        api_url: The API.
        schedule: When to ask.
        accounts: Whose balance to ask for, in turns.
    """
    answers = Answers(schedule.due_s(time.monotonic() + START_IN_S))
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
    timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
    async with (
        aiohttp.ClientSession(api_url, connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for number, due_s in enumerate(answers.due_s.tolist()):
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            account = accounts[number % len(accounts)]
            tasks.create_task(_ask(session, account, number, answers))
    return answers


async def _ask(session: aiohttp.ClientSession, account: str, number: int, answers: Answers) -> None:
    try:
        async with session.get(f"/v1/accounts/{quote(account, safe='')}/balance") as answer:
            await answer.read()
            now_s = time.monotonic()
    except (aiohttp.ClientError, TimeoutError) as error:
        answers.faults[f"{LOST}: {type(error).__name__}"] += 1
        return
    if answer.status == HTTPStatus.OK:
        answers.done_s[number] = now_s
    else:
        answers.faults[str(answer.status)] += 1
