"""Settings of the gateway, read once from `CARBONFLOW_<FIELD>`."""

from dataclasses import dataclass
from pathlib import Path

from api.connection import Limits
from api.listening import Listening, is_loopback
from producers.client.settings import ClientSettings
from schemas.settings import BrokerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(BrokerSettings):
    """How the gateway takes records in, from whom, and to which broker they go.

    Attributes:
        gateway_host: Address to listen on.
        gateway_port: Port; 0 takes a free one.
        gateway_metrics_host: Address of its own metrics and health, which need no token.
        gateway_metrics_port: Port of these; 0 takes a free one.
        gateway_url: Where senders reach it, if something stands before it: OCPI is told such URLs.
        gateway_senders_file: Who may send, and how their documents are read.
        gateway_tokens_file: Whose token is whose; without one a gateway on loopback takes what
            anybody sends as the one sender there is.
        gateway_open: Anybody is let in without a token, wherever the gateway listens.
        gateway_rate_per_s: Requests a token may make, in the long run [1/s].
        gateway_burst: Requests a token may make at once.
        gateway_records_per_s: Records a token may send, in the long run [1/s].
        gateway_records_burst: Records a token may send at once.
        gateway_records_max: Records of one request.
        gateway_ack_s_max: How long an answer waits for the broker to have its records [s].
        gateway_linger_ms: How long a record waits for others to share its batch [ms].
        gateway_buffer_records_max: Records that the broker has not acknowledged; more are refused.
        gateway_recent_max: Events that are remembered, so that a repeat is not sent again.
        gateway_sessions: File of OCPI Sessions that are not over yet.
        gateway_sessions_days: How long such a Session is kept after its last change [d].
        gateway_behind_tls: Senders reach the gateway by https only, which something before it ends.
        gateway_body_bytes_max: Body of a request [bytes].
        gateway_url_bytes_max: Path and query of a request [bytes].
        gateway_head_bytes_max: All its headers [bytes].
        gateway_headers_max: How many they are.
        gateway_request_s_max: How long a sender may take for a request, or its answer [s].
        gateway_connections_max: Connections at a time; those beyond are closed.
    """

    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8090
    gateway_metrics_host: str = "127.0.0.1"
    gateway_metrics_port: int = 8091
    gateway_url: str = ""
    gateway_senders_file: Path | None = None
    gateway_tokens_file: Path | None = None
    gateway_open: bool = False
    gateway_rate_per_s: float = 200.0
    gateway_burst: int = 400
    gateway_records_per_s: float = 10_000.0
    gateway_records_burst: int = 20_000
    gateway_records_max: int = 10_000
    gateway_ack_s_max: float = 10.0
    gateway_linger_ms: int = 5
    gateway_buffer_records_max: int = 100_000
    gateway_recent_max: int = 100_000
    gateway_sessions: Path | None = None
    gateway_sessions_days: int = 30
    gateway_behind_tls: bool = False
    gateway_body_bytes_max: int = 8 * 1024 * 1024
    gateway_url_bytes_max: int = 8_192
    gateway_head_bytes_max: int = 16_384
    gateway_headers_max: int = 64
    gateway_request_s_max: float = 30.0
    gateway_connections_max: int = 1_024

    def __post_init__(self) -> None:
        """Refuse to be open to others without being told so, and what contradicts itself."""
        BrokerSettings.__post_init__(self)
        if self.gateway_open and self.gateway_tokens_file is not None:
            raise ValueError("CARBONFLOW_GATEWAY_OPEN contradicts CARBONFLOW_GATEWAY_TOKENS_FILE")
        if not (self.gateway_open or self.gateway_tokens_file or is_loopback(self.gateway_host)):
            raise ValueError(
                f"CARBONFLOW_GATEWAY_HOST is {self.gateway_host}, where others can send: set "
                "CARBONFLOW_GATEWAY_TOKENS_FILE (`carbonflow api-token` makes tokens), or "
                "CARBONFLOW_GATEWAY_OPEN=true to let anybody in"
            )
        for name in (
            *("rate_per_s", "burst", "records_per_s", "records_max", "buffer_records_max"),
            *("ack_s_max", "sessions_days", "request_s_max", "connections_max"),
        ):
            if not getattr(self, f"gateway_{name}") > 0:
                raise ValueError(f"CARBONFLOW_GATEWAY_{name.upper()} must be above 0")
        for most in ("records_burst", "buffer_records_max"):
            if getattr(self, f"gateway_{most}") < self.gateway_records_max:
                raise ValueError(
                    f"CARBONFLOW_GATEWAY_{most.upper()} is below CARBONFLOW_GATEWAY_RECORDS_MAX: "
                    "the largest request could never be taken"
                )

    @property
    def listening(self) -> Listening:
        """Where the server is, and what a client may send it."""
        return Listening(
            name="GATEWAY",
            host=self.gateway_host,
            port=self.gateway_port,
            metrics_host=self.gateway_metrics_host,
            metrics_port=self.gateway_metrics_port,
            limits=Limits(
                url_bytes=self.gateway_url_bytes_max,
                head_bytes=self.gateway_head_bytes_max,
                headers=self.gateway_headers_max,
                request_s=self.gateway_request_s_max,
                connections=self.gateway_connections_max,
            ),
            is_behind_tls=self.gateway_behind_tls,
        )

    @property
    def client(self) -> ClientSettings:
        """How records go to the broker: without a spool, because only the broker's word counts."""
        return ClientSettings(
            broker=self,
            client_linger_ms=self.gateway_linger_ms,
            client_buffer_records_max=self.gateway_buffer_records_max,
            client_delivery_s_max=self.gateway_ack_s_max,
            client_close_s_max=self.gateway_ack_s_max,
        )
