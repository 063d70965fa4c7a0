"""Pseudonyms: the published vectors, what they look like, and accounts that outlive their key."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.pseudonyms import (
    DIGEST_BYTES,
    MEMORY_ENTRIES_MAX,
    PSEUDONYM,
    Key,
    NoKeyError,
    Pseudonyms,
    base32,
    digests,
)

DAY = date(2026, 3, 1)
FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))

# RFC 4231, section 4: key, data and HMAC-SHA-256 of the test cases that are not truncated.
RFC_4231 = {
    1: (
        "0b" * 20,
        b"Hi There".hex(),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    2: (
        b"Jefe".hex(),
        b"what do ya want for nothing?".hex(),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    3: ("aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    4: (
        bytes(range(1, 26)).hex(),
        "cd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    6: (
        "aa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First".hex(),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
}


def keyed(*keys: Key) -> Pseudonyms:
    return Pseudonyms({"city": keys})


def first(**changes: object) -> Key:
    values: Mapping[str, object] = {"number": 1, "created": DAY, "secret": FIRST, **changes}
    return Key(**values)  # type: ignore[arg-type]


def second(**changes: object) -> Key:
    return first(**{"number": 2, "secret": SECOND} | changes)


@pytest.mark.parametrize("case", RFC_4231)
def test_the_digest_is_that_of_rfc_4231(case: int) -> None:
    key, data, expected = (bytes.fromhex(text) for text in RFC_4231[case])
    assert digests(key, [data]) == [expected]


@given(st.binary(max_size=200), st.lists(st.binary(max_size=200)))
def test_digests_are_those_of_the_standard_library(secret: bytes, texts: list[bytes]) -> None:
    assert digests(secret, texts) == [hmac.digest(secret, text, "sha256") for text in texts]


def test_a_pseudonym_is_its_key_and_the_beginning_of_the_digest_in_base32() -> None:
    whole = hmac.new(FIRST, b"anna", hashlib.sha256).digest()
    letters = base64.b32encode(whole[:20]).decode().lower()
    assert keyed(first()).of("city", "anna") == f"p1-{letters}"


def test_the_natural_id_is_taken_as_utf_8() -> None:
    whole = hmac.new(FIRST, b"\xe7\x8e\x8b", hashlib.sha256).digest()
    letters = base64.b32encode(whole[:20]).decode().lower()
    assert keyed(first()).of("city", "王") == f"p1-{letters}"


@given(st.lists(st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES), min_size=1, max_size=20))
def test_base32_of_many_is_that_of_each(many: list[bytes]) -> None:
    assert base32(many) == [base64.b32encode(one).decode().lower() for one in many]


@given(st.text())
def test_every_text_has_a_pseudonym_that_is_a_good_account(natural_id: str) -> None:
    made = keyed(first()).of("city", natural_id.encode("utf-8", "ignore").decode())
    assert PSEUDONYM.fullmatch(made)
    assert made.isascii()  # Nothing of it is empty, a zero byte or a colon.


@given(st.lists(st.sampled_from("abcdefgh"), max_size=30))
def test_many_are_the_pseudonyms_of_each_in_order(natural_ids: list[str]) -> None:
    many = keyed(first()).of_many("city", natural_ids)
    assert many == [keyed(first()).of("city", one) for one in natural_ids]


def test_programmes_have_pseudonyms_of_their_own() -> None:
    pseudonyms = Pseudonyms({"city": [first()], "fleet": [first(secret=SECOND)]})
    assert pseudonyms.of("city", "anna") != pseudonyms.of("fleet", "anna")


def test_after_a_rotation_an_old_account_stays_and_a_new_one_has_the_new_key() -> None:
    anna = keyed(first()).of("city", "anna")
    rotated = keyed(first(known=frozenset({anna})), second())
    assert rotated.of("city", "anna") == anna
    assert rotated.of("city", "bo") == keyed(second()).of("city", "bo")
    assert rotated.of("city", "bo").startswith("p2-")


def test_an_account_stays_over_many_rotations() -> None:
    anna = keyed(first()).of("city", "anna")
    bo = keyed(second()).of("city", "bo")
    third = second(number=3, secret=b"3" * 32)
    rotated = keyed(first(known=frozenset({anna})), second(known=frozenset({bo})), third)
    assert rotated.of_many("city", ["bo", "anna", "cy"]) == [
        bo,
        anna,
        keyed(third).of("city", "cy"),
    ]


def test_who_is_not_in_the_list_gets_a_second_account() -> None:
    """What a list that lacks an account costs; so its digest is kept, and loads are stopped."""
    rotated = keyed(first(known=frozenset()), second())
    assert rotated.of("city", "anna") != keyed(first()).of("city", "anna")


def test_a_forgotten_key_makes_no_pseudonyms() -> None:
    rotated = keyed(first(secret=None), second())
    assert rotated.of("city", "anna").startswith("p2-")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "'city': it has none"),
        ({"fleet": [first()]}, "'city': it has none"),
        ({"city": [first(secret=None)]}, "its key 1 is forgotten"),
    ],
)
def test_without_a_key_there_is_no_pseudonym(keys: dict[str, list[Key]], says: str) -> None:
    with pytest.raises(NoKeyError, match=says):
        Pseudonyms(keys).of("city", "anna")


def test_memory_is_bounded_and_forgetting_changes_nothing() -> None:
    pseudonyms = keyed(first())
    anna = pseudonyms.of("city", "anna")
    many = [str(number) for number in range(MEMORY_ENTRIES_MAX + 1)]
    pseudonyms.of_many("city", many)
    assert pseudonyms.of("city", "anna") == anna
    assert len(pseudonyms._memory["city"]) == 1


def test_a_key_does_not_show_its_secret() -> None:
    key = first(secret=b"hush" * 8)
    assert "hush" not in repr(key)
    assert "hush" not in repr([key])
