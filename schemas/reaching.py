"""Why brokers cannot be used, in words that an operator can act on.

aiokafka tries its brokers one after another, logs what each of them did, and says at the end only
that it could not bootstrap. `obstacle` asks them again, once something has failed, and tells a
wrong password from an unknown certificate and from a broker that is away. `denied` says what a
broker forbids.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from schemas.settings import BrokerSettings

ANSWER_MS_MAX: Final = 5_000
SILENT: Final = "does not answer"

_FORBIDDEN: Final = {
    TopicAuthorizationFailedError: "a topic",
    GroupAuthorizationFailedError: "a consumer group",
    ClusterAuthorizationFailedError: "something of the cluster",
    TransactionalIdAuthorizationFailed: "a transactional id",
}


async def obstacle(settings: BrokerSettings) -> str:
    """Return what the brokers do when they are asked, as what follows "the broker"."""
    options = settings.client_options()
    told = SILENT
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
        try:
            await _ask(host, port, options)
        except (OSError, KafkaError) as error:  # Time-outs are OSErrors.
            told = _told(error, settings)
            if told != SILENT:
                return told
    return told


async def _ask(host: str, port: int, options: dict[str, Any]) -> None:
    connection = await create_conn(host, port, request_timeout_ms=ANSWER_MS_MAX, **options)
    try:
        # One that wants SASL says its versions to everybody, and hangs up at the next question.
        await connection.send(MetadataRequest([]))
    finally:
        connection.close()


def _told(error: Exception, settings: BrokerSettings) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"shows a certificate that is not trusted (CARBONFLOW_SSL_CAFILE): "
                f"{error.verify_message}"
            )
        case ssl.SSLError():
            return f"does not speak TLS (CARBONFLOW_SECURITY_PROTOCOL): {error.reason}"
        case SaslAuthenticationFailed():
            return (
                f"does not let {settings.sasl_username!r} in: wrong user, password or mechanism "
                "(CARBONFLOW_SASL_*)"
            )
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return f"does not take {settings.sasl_mechanism} (CARBONFLOW_SASL_MECHANISM)"
        case OSError() if not isinstance(error, ConnectionResetError):
            return SILENT
    return (
        f"ends connections with {settings.security_protocol}; it may want another "
        "CARBONFLOW_SECURITY_PROTOCOL"
    )


def denied(error: BaseException) -> str | None:
    """Return what the brokers forbid, as what follows "the broker"; None for any other error."""
    what = next((what for kind, what in _FORBIDDEN.items() if isinstance(error, kind)), None)
    if what is None:
        return None
    which = ", ".join(str(each) for each in error.args) or "it does not say which"
    return f"forbids the use of {what}: {which}; docs/security.md has the rights that are needed"
