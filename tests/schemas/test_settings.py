"""Settings come from CARBONFLOW_* variables, and a wrong one is named."""

import ssl
from dataclasses import dataclass, field, fields
from pathlib import Path
from traceback import format_exception
from typing import Final, Literal

import pytest

from schemas.settings import (
    UNSECURED,
    BrokerSettings,
    RegistrySettings,
    SettingsError,
    is_secret,
    read_settings,
)
from sinks.connect import StoreSettings
from tests.certificates import make_certificates

SASL: Final = {
    "SECURITY_PROTOCOL": "SASL_SSL",
    "SASL_MECHANISM": "SCRAM-SHA-512",
    "SASL_USERNAME": "u",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    name: str
    count: int = 3
    share: float = 0.5
    web: bool = True
    data_dir: Path = Path("/var/lib/carbonflow")
    files: tuple[str, ...] = ()
    level: Literal["low", "high"] = "low"
    limit: int | None = 7
    broker: BrokerSettings = field(default_factory=BrokerSettings)


def read(**variables: str) -> Everything:
    named = {f"CARBONFLOW_{name}": value for name, value in variables.items()}
    return read_settings(Everything, {"CARBONFLOW_NAME": "n", "PATH": "/bin"} | named)


def test_what_is_not_set_takes_its_default() -> None:
    assert read() == Everything(name="n")


def test_every_type_is_read() -> None:
    assert read(
        NAME=" spaced ",
        COUNT=" 12 ",
        SHARE="0.25",
        WEB="off",
        DATA_DIR="/data",
        FILES="a.csv, b.csv,",
        LEVEL="high",
        LIMIT="",
    ) == Everything(
        name=" spaced ",
        count=12,
        share=0.25,
        web=False,
        data_dir=Path("/data"),
        files=("a.csv", "b.csv"),
        level="high",
        limit=None,
    )


def test_a_class_within_a_class_reads_its_own_variables() -> None:
    assert read(BOOTSTRAP="kafka:9092", PREFIX="pilot.").broker == BrokerSettings(
        bootstrap="kafka:9092", prefix="pilot."
    )


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("COUNT", "many"),
        ("COUNT", "1.5"),
        ("COUNT", ""),
        ("SHARE", "half"),
        ("SHARE", "nan"),
        ("WEB", "perhaps"),
        ("LEVEL", "middle"),
        ("DATA_DIR", ""),
        ("LIMIT", "none"),
    ],
)
def test_a_wrong_value_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"CARBONFLOW_{variable} is '{text}'"):
        read(**{variable: text})


def test_a_missing_value_is_named() -> None:
    with pytest.raises(SettingsError, match="CARBONFLOW_NAME is not set"):
        read_settings(Everything, {})


def test_variables_nobody_asks_for_are_left_alone() -> None:
    assert read(COLOUR="green") == read()


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(secured())


def test_sasl_without_a_password_is_refused() -> None:
    with pytest.raises(SettingsError, match="SASL"):
        read(SECURITY_PROTOCOL="SASL_SSL", SASL_USERNAME="u")


def test_a_password_that_would_go_unused_is_refused() -> None:
    with pytest.raises(SettingsError, match="SASL"):
        read(SASL_PASSWORD="hunter2")


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    settings = read(**SASL, SASL_PASSWORD_FILE=str(file)).broker
    assert settings.sasl_password == "hunter2"
    assert "hunter2" not in f"{settings!r} {settings}"


def test_spaces_of_a_secret_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" hunter 2 ")
    assert read(**SASL, SASL_PASSWORD_FILE=str(file)).broker.sasl_password == " hunter 2 "


def test_a_secret_from_both_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2")
    with pytest.raises(SettingsError, match=r"PASSWORD and .*PASSWORD_FILE are both set") as caught:
        read(**SASL, SASL_PASSWORD="correct horse", SASL_PASSWORD_FILE=str(file))
    assert "correct horse" not in str(caught.value)


def test_an_empty_variable_gives_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2")
    both = read(**SASL, SASL_PASSWORD="", SASL_PASSWORD_FILE=str(file)).broker
    assert both.sasl_password == "hunter2"
    assert read(SASL_PASSWORD="", SASL_PASSWORD_FILE="").broker.sasl_password is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds 0 lines"),
        (b"\n", "holds 1 lines"),
        (b"hunter2\nhunter3\n", "holds 2 lines"),
        (b"hunter2\xff", "is no text in UTF-8"),
        (None, "cannot be read: no such file or directory"),
    ],
)
def test_a_file_without_a_secret_is_named_and_not_shown(
    content: bytes | None, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"CARBONFLOW_SASL_PASSWORD_FILE is .*{told}") as caught:
        read(**SASL, SASL_PASSWORD_FILE=str(file))
    assert "hunter2" not in "".join(format_exception(caught.value, chain=True))


def test_every_secret_is_kept_from_being_shown() -> None:
    for cls in (BrokerSettings, StoreSettings):
        kept = {each.name for each in fields(cls) if not each.repr}
        assert kept == {each.name for each in fields(cls) if "password" in each.name}
        assert kept == {each.name for each in fields(cls) if is_secret(each)}


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    none, empty = tmp_path / "none.pem", tmp_path / "empty.pem"
    empty.write_text("no certificate")
    with pytest.raises(SettingsError, match=r"SSL_CAFILE is '.*none.pem', which cannot be read"):
        read(SECURITY_PROTOCOL="SSL", SSL_CAFILE=str(none))
    with pytest.raises(SettingsError, match=r"SSL_CAFILE is '.*empty.pem', which holds no cert"):
        read(SECURITY_PROTOCOL="SSL", SSL_CAFILE=str(empty))


def test_certificates_that_would_go_unused_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no TLS"):
        read(SSL_CAFILE=str(make_certificates(tmp_path).authority))


def test_only_the_given_authority_is_trusted(tmp_path: Path) -> None:
    authority = make_certificates(tmp_path).authority
    broker = read(SECURITY_PROTOCOL="SSL", SSL_CAFILE=str(authority)).broker
    context = broker.client_options()["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1


def test_the_embedded_stacks_workers_speak_plainly_whatever_is_set(tmp_path: Path) -> None:
    secured = {
        **SASL,
        "SASL_PASSWORD_FILE": str(tmp_path / "nothing"),
        "SSL_CAFILE": str(tmp_path / "nothing"),
    }
    environ = {f"CARBONFLOW_{name}": value for name, value in secured.items()}
    assert read_settings(BrokerSettings, {**environ, **UNSECURED}) == BrokerSettings()


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("http://store:8123", None, None),
        ("http://me@store:8123", "me", None),
        ("http://me:hunter2@store:8123", "me", "hunter2"),
        ("http://m%40e:hunter%2F2@store:8123", "m@e", "hunter/2"),
    ],
)
def test_who_asks_a_store_may_stand_in_its_url_and_is_not_shown(
    url: str, user: str | None, password: str | None
) -> None:
    settings = read_settings(StoreSettings, {"CARBONFLOW_CLICKHOUSE_URL": url})
    assert settings.clickhouse_url == "http://store:8123"
    assert (settings.clickhouse_user, settings.clickhouse_password) == (user, password)
    assert "hunter" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"URL": "http://me@store", "USER": "you"}, "URL has what CARBONFLOW_CLICKHOUSE_USER"),
        (
            {"URL": "http://me:hunter2@store", "PASSWORD": "hunter3"},
            "URL has what CARBONFLOW_CLICKHOUSE_PASSWORD",
        ),
        ({"PASSWORD": "hunter2"}, "without CARBONFLOW_CLICKHOUSE_USER"),
        ({"CAFILE": "ca.pem"}, "not https: there is no TLS"),
        ({"URL": "https://store", "CAFILE": "/no/ca.pem"}, "CAFILE is '/no/ca.pem', which cannot"),
        ({"URL": "me:hunter2@store"}, "not a ClickHouse URL"),
        ({"URL": "//me:hunter2@store"}, "not a ClickHouse URL"),
        ({"URL": "http://me:hunter/2@store"}, "not a ClickHouse URL"),
    ],
)
def test_what_contradicts_itself_about_a_store_is_refused(
    variables: dict[str, str], told: str
) -> None:
    environ = {f"CARBONFLOW_CLICKHOUSE_{name}": value for name, value in variables.items()}
    with pytest.raises(SettingsError, match=told) as caught:
        read_settings(StoreSettings, environ)
    assert "hunter" not in "".join(format_exception(caught.value))


def test_client_options_are_aiokafkas() -> None:
    options = secured().client_options()
    assert isinstance(options.pop("ssl_context"), ssl.SSLContext)
    assert options == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "u",
        "sasl_plain_password": "hunter2",
    }


def test_a_plain_cluster_needs_no_more_than_its_address() -> None:
    assert BrokerSettings().client_options() == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
    }


def secured() -> BrokerSettings:
    return BrokerSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="u",
        sasl_password="hunter2",
    )


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"URL": "registry:8080"}, "CARBONFLOW_SCHEMA_REGISTRY_URL is no address"),
        ({"URL": "https://me:s3cret@registry"}, "holds a login"),
        ({"USERNAME": "me"}, "must be set together"),
        ({"PASSWORD": "s3cret"}, "must be set together"),
        ({"CAFILE": "/nowhere.pem"}, "CARBONFLOW_SCHEMA_REGISTRY_CAFILE"),
    ],
)
def test_a_registry_that_cannot_be_asked_is_refused(environ: dict[str, str], told: str) -> None:
    named = {f"CARBONFLOW_SCHEMA_REGISTRY_{name}": value for name, value in environ.items()}
    with pytest.raises(SettingsError, match=told) as refused:
        read_settings(RegistrySettings, named)
    assert "s3cret" not in str(refused.value)
