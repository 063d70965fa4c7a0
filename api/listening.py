"""Listening: where a server of ours is, and what a client may send it; API and gateway have one."""

import ipaddress
from dataclasses import dataclass
from typing import Protocol

from api.connection import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where to listen.

    Attributes:
        name: Begins the names of its settings: API or GATEWAY.
        host: Address.
        port: Port; 0 takes a free one.
        metrics_host: Address of its metrics and health.
        metrics_port: Port of these; 0 takes a free one.
        limits: What a client may send, and how long it may take.
        is_behind_tls: Clients reach it by https only, which something before it ends.
    """

    name: str
    host: str
    port: int
    metrics_host: str
    metrics_port: int
    limits: Limits
    is_behind_tls: bool


class Listens(Protocol):
    """Settings of a server."""

    @property
    def listening(self) -> Listening:
        """Where to listen."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address; a name but localhost may be anything.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "carbonflow")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
