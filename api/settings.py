"""Settings of the API, read once from `CARBONFLOW_<FIELD>`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from api.connection import Limits
from api.listening import Listening, is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """How the API is served, and to whom.

    Attributes:
        api_host: Address to listen on.
        api_port: Port; 0 takes a free one.
        api_metrics_host: Address of its own metrics and health, which need no token.
        api_metrics_port: Port of these; 0 takes a free one.
        api_accounts_max: Accounts of one batch of balances.
        api_rows_max: Rows of one page.
        api_balances: Where balances come from: the topic, read into memory and followed, some
            milliseconds old; or the store, which needs neither Kafka nor memory.
        api_console: The console is served, a page to look at the pipeline with.
        api_console_listeners_max: How many may look at the live pipeline at a time.
        api_tokens_file: Who is let in; anybody where not given, which only an API on loopback may.
        api_open: Anybody is let in without a token, wherever the API listens.
        api_rate_per_s: Requests a token may make, in the long run [1/s].
        api_burst: Requests a token may make at once.
        api_behind_tls: Clients reach the API by https only, which something before it ends.
        api_body_bytes_max: Body of a request [bytes].
        api_url_bytes_max: Path and query of a request [bytes].
        api_head_bytes_max: All its headers [bytes].
        api_headers_max: How many they are.
        api_request_s_max: How long a client may take to send a request, or to take its answer [s].
        api_connections_max: Connections at a time; those beyond are closed.
    """

    api_host: str = "127.0.0.1"
    api_port: int = 8080
    api_metrics_host: str = "127.0.0.1"
    api_metrics_port: int = 8081
    api_accounts_max: int = 1_000
    api_rows_max: int = 1_000
    api_balances: Literal["topic", "store"] = "topic"
    api_console: bool = True
    api_console_listeners_max: int = 100
    api_tokens_file: Path | None = None
    api_open: bool = False
    api_rate_per_s: float = 100.0
    api_burst: int = 200
    api_behind_tls: bool = False
    api_body_bytes_max: int = 262_144
    api_url_bytes_max: int = 8_192
    api_head_bytes_max: int = 16_384
    api_headers_max: int = 64
    api_request_s_max: float = 10.0
    api_connections_max: int = 1_024

    def __post_init__(self) -> None:
        """Refuse to be open to others without being told so, and what contradicts itself."""
        if self.api_open and self.api_tokens_file is not None:
            raise ValueError("CARBONFLOW_API_OPEN contradicts CARBONFLOW_API_TOKENS_FILE")
        if not (self.api_open or self.api_tokens_file or is_loopback(self.api_host)):
            raise ValueError(
                f"CARBONFLOW_API_HOST is {self.api_host}, where others can ask: set "
                "CARBONFLOW_API_TOKENS_FILE (`carbonflow api-token` makes tokens), or "
                "CARBONFLOW_API_OPEN=true to let anybody in"
            )
        for name in (
            "rate_per_s",
            "burst",
            "request_s_max",
            "connections_max",
            "console_listeners_max",
        ):
            if not getattr(self, f"api_{name}") > 0:
                raise ValueError(f"CARBONFLOW_API_{name.upper()} must be above 0")

    @property
    def listening(self) -> Listening:
        """Where the server is, and what a client may send it."""
        return Listening(
            name="API",
            host=self.api_host,
            port=self.api_port,
            metrics_host=self.api_metrics_host,
            metrics_port=self.api_metrics_port,
            limits=Limits(
                url_bytes=self.api_url_bytes_max,
                head_bytes=self.api_head_bytes_max,
                headers=self.api_headers_max,
                request_s=self.api_request_s_max,
                connections=self.api_connections_max,
            ),
            is_behind_tls=self.api_behind_tls,
        )
