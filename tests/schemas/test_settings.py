"""Settings come from CARBONFLOW_* variables, and a wrong one is named."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from schemas.settings import BrokerSettings, SettingsError, read_settings


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
