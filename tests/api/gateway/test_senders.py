"""The file of senders: what it may say, and what is told of one that says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.gateway.senders import SendersError, read_senders
from api.gateway.settings import GatewaySettings
from schemas.settings import SettingsError, read_settings

ONE = '[[senders]]\nname = "a"\nprogramme = "p"\n'
PULL = '[senders.pull]\nfrom = "{}"\nurl = "{}"\nsecret_file = "s"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "senders.toml"
    path.write_text(text)
    return path


def test_a_sender_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "vehicles.csv").write_text("id,vehicle_class\n*,car\n")
    text = ONE + 'vehicles = "vehicles.csv"\nocpi = "cdrs"\n'
    senders = read_senders(write(tmp_path, text), None)
    known = senders.of("a")
    assert known is not None
    assert known is senders.only()
    assert (known.sender.source, known.sender.programme, known.module) == ("a", "p", "cdrs")
    assert known.sender.vehicles.of("anybody") is not None
    assert senders.of("b") is None


def test_with_two_there_is_no_only_one(tmp_path: Path) -> None:
    senders = read_senders(write(tmp_path, ONE + ONE.replace('"a"', '"b"')), None)
    assert (len(senders), senders.only()) == (2, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there are no senders"),
        ("[[", "is no TOML"),
        ("senders = 1", r"it holds \[\[senders\]\] and nothing else"),
        ("senders = [1]", "sender 1: it is no table"),
        ('[[senders]]\nname = "a"', "sender 1: programme is missing"),
        ('[[senders]]\nprogramme = "p"', "sender 1: name is missing"),
        (ONE + "account = 1", "account is a text"),
        (ONE + 'account = ""', "account is a text"),
        (ONE + "pseudonyms = 1", "pseudonyms is true or false"),
        (ONE + "rate = 1", "nobody knows 'rate'"),
        (ONE + 'ocpi = "both"', "ocpi is cdrs or sessions"),
        (ONE + 'source = "a:b"', "source is empty or has ':'"),
        (ONE + "pseudonyms = true", "CARBONFLOW_PSEUDONYM_KEYS"),
        (ONE + 'stations = "none.csv"', "none.csv"),
        (ONE + ONE, "two senders have the name 'a'"),
        (ONE + '[[senders]]\nname = "b"\nprogramme = "p"\nsource = "a"', "have the source 'a'"),
        (ONE + '[senders.events]\n"x" = "xml"', "'x' is none of charging_session"),
        (
            ONE + 'ocpi = "cdrs"\n[senders.events]\n"x" = "ocpi-session-2.2.1"',
            "'x' is ocpi-session-2.2.1, but ocpi says cdrs",
        ),
        (
            ONE + '[senders.events]\n"x" = "ocpi-session-2.2.1"\n"y" = "ocpi-cdr-2.2.1"',
            "booked twice",
        ),
        (ONE + '[senders.pull]\nfrom = "ileap"', "pull: url is missing"),
        (ONE + PULL.format("ftp", "https://a.example"), "pull: from is ileap or ocpi"),
        (ONE + PULL.format("ocpi", "http://a.example"), "a.example is not https"),
        (ONE + PULL.format("ocpi", "https://a.example"), "ocpi = cdrs or sessions"),
        (ONE + PULL.format("ileap", "https://a.example"), "client_id, and the account"),
        (ONE + PULL.format("ileap", "https://a.example") + 'version = "2"', "2.2.1 or 2.3.0"),
    ],
)
def test_what_is_no_file_of_senders(tmp_path: Path, text: str, why: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SendersError, match=why) as caught:
        read_senders(path, None)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SendersError, match="No such file"):
        read_senders(tmp_path / "senders.toml", None)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "carbonflow"])
def test_a_gateway_that_others_reach_needs_tokens_unless_it_is_said(host: str) -> None:
    with pytest.raises(SettingsError, match="CARBONFLOW_GATEWAY_TOKENS_FILE"):
        read_settings(GatewaySettings, {"CARBONFLOW_GATEWAY_HOST": host})
    opened = {"CARBONFLOW_GATEWAY_HOST": host, "CARBONFLOW_GATEWAY_OPEN": "true"}
    assert read_settings(GatewaySettings, opened).gateway_host == host


@pytest.mark.parametrize("name", ["RECORDS_BURST", "BUFFER_RECORDS_MAX"])
def test_the_largest_request_must_fit(name: str) -> None:
    with pytest.raises(SettingsError, match=f"CARBONFLOW_GATEWAY_{name} is below"):
        read_settings(GatewaySettings, {f"CARBONFLOW_GATEWAY_{name}": "9999"})


def test_limits_of_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="CARBONFLOW_GATEWAY_ACK_S_MAX must be above 0"):
        read_settings(GatewaySettings, {"CARBONFLOW_GATEWAY_ACK_S_MAX": "0"})
