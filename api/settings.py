"""Settings of the API, read once from `CARBONFLOW_<FIELD>`."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """How the API is served.

    Attributes:
        api_host: Address to listen on.
        api_port: Port; 0 takes a free one.
        api_accounts_max: Accounts of one batch of balances.
        api_rows_max: Rows of one page.
        api_balances: Where balances come from: the topic, read into memory and followed, some
            milliseconds old; or the store, which needs neither Kafka nor memory.
    """

    api_host: str = "127.0.0.1"
    api_port: int = 8080
    api_accounts_max: int = 1_000
    api_rows_max: int = 1_000
    api_balances: Literal["topic", "store"] = "topic"
