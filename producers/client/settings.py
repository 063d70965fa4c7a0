"""Settings of the client: where the broker is, and how much may wait for it, in memory or on disk.

`read_settings(ClientSettings, os.environ)` reads them from CARBONFLOW_* variables.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from schemas.framing import VALUE_BYTES_MAX
from schemas.settings import BrokerSettings, variable

FOREVER_RETRYING: Final = 0
"""librdkafka's number for a record that is tried until it is delivered."""
RECONNECT_MS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """How a client sends."""

    broker: BrokerSettings = field(default_factory=BrokerSettings)
    client_linger_ms: int = 20
    """How long a record waits for others to share its batch [ms]."""
    client_buffer_records_max: int = 100_000
    """Records in memory that the broker has not acknowledged."""
    client_buffer_bytes_max: int = 64 * 1024 * 1024
    """Bytes of them."""
    client_block_s_max: float = 60.0
    """How long `send` waits for room before it raises [s]."""
    client_delivery_s_max: float = 120.0
    """After it a record that the broker has not acknowledged has failed [s]; not with a spool."""
    client_close_s_max: float = 30.0
    """How long leaving the client's context waits for reports [s]."""
    client_spool: Path | None = None
    """Folder where records wait on disk until the broker has them; None for memory only."""
    client_spool_bytes_max: int = 8 * 1024**3
    """Bytes on disk."""
    client_spool_fsync_ms: int = 1_000
    """How long a record may be in the system's cache only [ms]; 0 syncs before `send` returns."""

    def __post_init__(self) -> None:
        """Refuse what nothing could be sent with."""
        for name, least in (
            ("client_linger_ms", 0),
            ("client_buffer_records_max", 1),
            ("client_buffer_bytes_max", VALUE_BYTES_MAX),
            ("client_block_s_max", 0),
            ("client_delivery_s_max", self.client_linger_ms / 1000 + 0.001),
            ("client_close_s_max", 0),
            ("client_spool_bytes_max", 2 * VALUE_BYTES_MAX),
            ("client_spool_fsync_ms", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{variable(name)} is {getattr(self, name)}, below {least}")

    def librdkafka(self) -> dict[str, Any]:
        """Return the configuration of librdkafka's producer."""
        broker = self.broker
        delivery_ms = (
            FOREVER_RETRYING if self.client_spool else round(self.client_delivery_s_max * 1000)
        )
        options: dict[str, Any] = {
            "bootstrap.servers": broker.bootstrap,
            "client.id": "carbonflow-client",
            "acks": "all",
            "enable.idempotence": True,
            # The Java client's partitioner: librdkafka's own default is CRC32.
            "partitioner": "murmur2",
            "compression.type": "lz4",
            "linger.ms": self.client_linger_ms,
            "batch.size": VALUE_BYTES_MAX,
            "queue.buffering.max.messages": self.client_buffer_records_max,
            "queue.buffering.max.kbytes": max(1, self.client_buffer_bytes_max // 1024),
            "message.timeout.ms": delivery_ms,
            "reconnect.backoff.max.ms": RECONNECT_MS_MAX,
            "security.protocol": broker.security_protocol,
        }
        if broker.sasl_mechanism is not None:
            options["sasl.mechanism"] = broker.sasl_mechanism
            options["sasl.username"] = broker.sasl_username
            options["sasl.password"] = broker.sasl_password
        if broker.is_encrypted:
            # librdkafka's wheels have an OpenSSL of their own, which has to look for the system's.
            options["ssl.ca.location"] = str(broker.ssl_cafile or "probe")
        return options
