"""Gathering: balances that are asked for while a question is under way make the next one.

A question about ten accounts costs the store about as much as two questions about one, and a chDB
client takes one question at a time. So requests do not queue for questions of their own: those that
come while one is being answered share the next, and a request waits for two questions at most,
however many there are. A question never begins before the requests it is for, so an answer is as
fresh as if it had been asked for alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sinks.records import Balance

ACCOUNTS_MAX: Final = 1_000


class Gathering:
    """Balances of one store, for the requests of one event loop.

    Args:
        ask: Answers a question; called on another thread, never twice at the same time.
        accounts_max: Accounts of one question.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Iterable[Balance]],
        *,
        accounts_max: int = ACCOUNTS_MAX,
    ) -> None:
        self._ask = ask
        self._accounts_max = accounts_max
        self._wanted: dict[str, asyncio.Future[Balance | None]] = {}
        self._answering: asyncio.Task[None] | None = None

    def is_ready(self) -> bool:
        """Return True: the store says itself when it is away."""
        return True

    async def balances(self, account_ids: Sequence[str]) -> list[Balance | None]:
        """Return the balances of accounts in their order, None where nothing was ever booked.

        Raises:
            StoreError: The store refused, or is away.
        """
        loop = asyncio.get_running_loop()
        wanted = [
            self._wanted.setdefault(account_id, loop.create_future()) for account_id in account_ids
        ]
        if wanted and self._answering is None:
            self._answering = asyncio.create_task(self._answer())
        # Whoever leaves early must not take the answer from the others.
        return await asyncio.gather(*map(asyncio.shield, wanted))

    async def _answer(self) -> None:
        asked: dict[str, asyncio.Future[Balance | None]] = {}
        try:
            while self._wanted:
                some = list(self._wanted)[: self._accounts_max]
                asked = {account_id: self._wanted.pop(account_id) for account_id in some}
                await self._answer_one(asked)
        finally:
            # Where the loop ends in between, nobody waits for ever.
            for future in (*asked.values(), *self._wanted.values()):
                future.cancel()
            self._wanted.clear()
            self._answering = None

    async def _answer_one(self, asked: dict[str, asyncio.Future[Balance | None]]) -> None:
        question = asyncio.to_thread(self._ask, list(asked))
        (answer,) = await asyncio.gather(question, return_exceptions=True)
        if isinstance(answer, BaseException):
            for future in asked.values():
                future.set_exception(answer)
            return
        found = {balance.account_id: balance for balance in answer}
        for account_id, future in asked.items():
            future.set_result(found.get(account_id))
