"""Tokens and the file that lets them in."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access import Access
from api.settings import ApiSettings
from api.tokens import Token, Tokens, TokensError, access_in, entry_of, new_token, read_tokens
from schemas.settings import SettingsError, read_settings

DIGEST = "0" * 64


def test_a_token_is_found_by_its_entry_and_no_other_is(tmp_path: Path) -> None:
    token, path = new_token(), tmp_path / "tokens.toml"
    path.write_text(
        entry_of(token, name="ann's", scope="account:ann")
        + entry_of(new_token(), name="on-call", scope="operator")
    )
    tokens = read_tokens(path)
    found = tokens.find(token.encode())
    assert found is not None
    assert (found.name, found.access) == ("ann's", Access("account", "ann"))
    for other in ("", token[:-1], token + "x", token.upper(), new_token()):
        assert tokens.find(other.encode()) is None


def test_the_file_does_not_have_the_token_and_what_is_read_does_not_show_its_digest(
    tmp_path: Path,
) -> None:
    token, path = new_token(), tmp_path / "tokens.toml"
    path.write_text(entry_of(token, name="ann's", scope="account:ann"))
    assert token not in path.read_text()
    digest = hashlib.sha256(token.encode())
    assert digest.hexdigest() in path.read_text()
    found = read_tokens(path).find(token.encode())
    assert "digest" not in repr(found)


def test_tokens_are_long_and_differ() -> None:
    tokens = {new_token() for _ in range(1_000)}
    assert len(tokens) == 1_000
    assert {len(token) for token in tokens} == {46}
    assert {token[:3] for token in tokens} == {"cf_"}


@given(
    name=st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
    account=st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
)
def test_an_entry_can_be_read_whatever_the_names(
    tmp_path_factory: pytest.TempPathFactory, name: str, account: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "tokens.toml"
    token = new_token()
    path.write_text(entry_of(token, name=name, scope=f"account:{account}"), "utf-8")
    found = read_tokens(path).find(token.encode())
    assert found is not None
    assert (found.name, found.access.subject) == (name, account)


def test_a_scope_may_be_for_sending() -> None:
    access = access_in("send:acme")
    assert access == Access("send", "acme")
    assert not access.sees("acme", "acme")


@pytest.mark.parametrize(
    "scope", ["", "send:", "driver", "account", "account:", "programme:", "operator:x"]
)
def test_what_is_no_scope(scope: str) -> None:
    with pytest.raises(TokensError, match="is no scope"):
        access_in(scope)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there are no tokens"),
        ("[[", "is no TOML"),
        ("token = 1", r"it holds \[\[tokens\]\] and nothing else"),
        ("tokens = 1", r"it holds \[\[tokens\]\] and nothing else"),
        ("tokens = [1]", "token 1: it has name, scope, sha256 and nothing else"),
        ('[[tokens]]\nname = "a"', "token 1: it has name, scope, sha256 and nothing else"),
        (
            f'[[tokens]]\nname = "a"\nscope = "operator"\nsha256 = "{DIGEST}"\nrate = 1',
            "token 1: it has name, scope, sha256 and nothing else",
        ),
        (
            f'[[tokens]]\nname = ""\nscope = "operator"\nsha256 = "{DIGEST}"',
            "token 1: its values are texts that are not empty",
        ),
        (
            '[[tokens]]\nname = "a"\nscope = "operator"\nsha256 = "12"',
            "token 1: sha256 is 64 hexadecimal digits",
        ),
        (
            f'[[tokens]]\nname = "a"\nscope = "all"\nsha256 = "{DIGEST}"',
            "token 1: 'all' is no scope",
        ),
    ],
)
def test_what_is_no_file_of_tokens(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(TokensError, match=why) as caught:
        read_tokens(path)
    assert str(caught.value).startswith(str(path))
    assert DIGEST not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TokensError, match="No such file"):
        read_tokens(tmp_path / "tokens.toml")


def test_two_tokens_of_one_name_or_one_digest_are_refused() -> None:
    one = Token("a", Access("operator"), b"1" * 32)
    with pytest.raises(TokensError, match="two tokens have the name 'a'"):
        Tokens([one, Token("a", Access("operator"), b"2" * 32)])
    with pytest.raises(TokensError, match="the token of 'b' is also another's"):
        Tokens([one, Token("b", Access("operator"), b"1" * 32)])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_on_loopback_no_tokens_are_needed(host: str) -> None:
    assert read_settings(ApiSettings, {"CARBONFLOW_API_HOST": host}).api_tokens_file is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "carbonflow", ""])
def test_elsewhere_they_are_unless_it_is_said(host: str) -> None:
    with pytest.raises(SettingsError, match="CARBONFLOW_API_TOKENS_FILE"):
        read_settings(ApiSettings, {"CARBONFLOW_API_HOST": host})
    with_tokens = {"CARBONFLOW_API_HOST": host, "CARBONFLOW_API_TOKENS_FILE": "tokens.toml"}
    assert read_settings(ApiSettings, with_tokens).api_host == host
    opened = {"CARBONFLOW_API_HOST": host, "CARBONFLOW_API_OPEN": "true"}
    assert read_settings(ApiSettings, opened).api_host == host


def test_an_open_api_with_tokens_is_a_contradiction() -> None:
    both = {"CARBONFLOW_API_OPEN": "true", "CARBONFLOW_API_TOKENS_FILE": "tokens.toml"}
    with pytest.raises(SettingsError, match="contradicts"):
        read_settings(ApiSettings, both)


@pytest.mark.parametrize("kind", ["account", "programme"])
def test_access_without_a_subject_is_none(kind: str) -> None:
    with pytest.raises(ValueError, match="access of kind"):
        Access(kind)  # type: ignore[arg-type]


def test_access_to_everything_has_no_subject() -> None:
    with pytest.raises(ValueError, match="access of kind"):
        Access("operator", "ann")
