"""Where the API has balances from: `Gathering` asks the store, `sinks.following` the topic."""

from collections.abc import Sequence
from typing import Protocol

from sinks.records import Balance


class Balances(Protocol):
    """Balances by account."""

    def is_ready(self) -> bool:
        """Return whether it can tell yet."""

    async def balances(self, account_ids: Sequence[str]) -> list[Balance | None]:
        """Return the balances of accounts in their order, None where nothing was ever booked.

        Raises:
            NotLevelError: It cannot tell yet.
            StoreError: The store refused, or is away.
        """
