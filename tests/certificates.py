"""Certificates for servers of tests on this machine, and an authority that clients can trust.

Every call makes an authority of its own, so that the certificates of one are strangers to another.
"""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: what clients trust; a server's key, and its certificates after it."""

    authority: Path
    server: Path


def make_certificates(folder: Path) -> Certificates:
    """Write an authority, and a certificate from it for 127.0.0.1."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    made = Certificates(folder / "authority.pem", folder / "server.pem")
    authority.cert_pem.write_to_path(made.authority)
    # Kafka takes keys in this form only.
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    made.server.write_bytes(key + b"".join(one.bytes() for one in issued.cert_chain_pems))
    return made
