"""Until when the certificates are valid that a process trusts, for whoever has to renew them.

They are read once, when the process starts, as its connections read them: a file that was renewed
since then changes nothing before the process is started again, and the metric says so.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias, cast

from prometheus_client import CollectorRegistry, Gauge

_Subject: TypeAlias = tuple[tuple[tuple[str, str], ...], ...]

_NAMES: Final = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU"}


class CertificateMetrics:
    """The metric of the certificates in some files.

    Args:
        registry: Where it is registered.
        files: Files of certificates in PEM, by the setting that names them; None where it is not
            set.
    """

    def __init__(self, registry: CollectorRegistry, files: Mapping[str, Path | None]) -> None:
        self.not_after = Gauge(
            "carbonflow_certificate_not_after_timestamp_seconds",
            "When a certificate of a file ends; of those with one subject the last.",
            ["setting", "subject"],
            registry=registry,
        )
        for setting, path in files.items():
            if path is not None:
                for subject, end_s in ends_of(path).items():
                    self.not_after.labels(setting, subject).set(end_s)


def ends_of(path: Path) -> dict[str, int]:
    """Return when the authorities of a file end [s since 1970], by subject.

    Of several with one subject the last counts: the one that is going to be replaced lies beside
    its successor for a while.

    Raises:
        OSError: The file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(path)
    ends: dict[str, int] = {}
    for certificate in context.get_ca_certs():
        name = _named(cast(_Subject, certificate["subject"]))
        end_s = int(ssl.cert_time_to_seconds(cast(str, certificate["notAfter"])))
        ends[name] = max(end_s, ends.get(name, 0))
    return ends


def _named(subject: _Subject) -> str:
    parts = [(key, value) for part in subject for key, value in part]
    told = [f"{_NAMES[key]}={value}" for key, value in parts if key in _NAMES]
    return ", ".join(told or [f"{key}={value}" for key, value in parts])
