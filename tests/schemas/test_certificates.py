"""Until when the authorities of a file are valid, by whose word: OpenSSL's own reading."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from schemas.certificates import CertificateMetrics, ends_of
from tests.certificates import make_certificates

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NAME = "carbonflow_certificate_not_after_timestamp_seconds"


def authority(name: str, *, days: int) -> bytes:
    """Return an authority in PEM that ends so many days after NOW."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def end_s(days: int) -> float:
    return (NOW + timedelta(days=days)).timestamp()


def test_each_subject_ends_with_the_last_of_its_certificates(tmp_path: Path) -> None:
    path = tmp_path / "trusted.pem"
    path.write_bytes(
        authority("Kafka", days=10) + authority("Other", days=-5) + authority("Kafka", days=500)
    )
    assert ends_of(path) == {"O=Acme, CN=Kafka": end_s(500), "O=Acme, CN=Other": end_s(-5)}


def test_a_file_is_told_about_under_the_setting_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "trusted.pem"
    path.write_bytes(authority("Kafka", days=10))
    registry = CollectorRegistry()
    files = {"CARBONFLOW_SSL_CAFILE": path, "CARBONFLOW_CLICKHOUSE_CAFILE": None}
    CertificateMetrics(registry, files)
    (family,) = registry.collect()
    (sample,) = family.samples
    assert (sample.name, sample.value) == (NAME, end_s(10))
    assert sample.labels == {"setting": "CARBONFLOW_SSL_CAFILE", "subject": "O=Acme, CN=Kafka"}


def test_the_authority_of_a_test_server_has_its_end(tmp_path: Path) -> None:
    path = make_certificates(tmp_path).authority
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    assert list(ends_of(path).values()) == [certificate.not_valid_after_utc.timestamp()]


def test_a_file_that_is_not_there_is_no_silence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ends_of(tmp_path / "nowhere.pem")
