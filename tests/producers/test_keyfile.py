"""The key file: what it holds, who may read it, and how keys are added, retired and forgotten."""

import base64
import re
from datetime import date
from pathlib import Path

import pytest

from producers.keyfile import (
    Entry,
    KeyFileError,
    read_entries,
    read_keys,
    with_new_key,
    without_secret,
    write_entries,
)
from producers.pseudonyms import Pseudonyms

DAY = date(2026, 3, 1)
SECRET = base64.b64encode(b"s" * 32).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a key file that is not there yet."""
    return tmp_path / "keys.toml"


def add(path: Path, *known: str, programme: str = "city", letter: str = "a") -> int:
    """Give a programme a new key."""
    entries = read_entries(path) if path.exists() else {}
    return with_new_key(
        path,
        entries,
        programme=programme,
        secret=letter.encode() * 32,
        created=DAY,
        known=list(known),
    )


def of(path: Path, natural_id: str, programme: str = "city") -> str:
    return Pseudonyms(read_keys(path)).of(programme, natural_id)


def write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o600)


def test_the_first_key_makes_the_file_and_only_its_owner_reads_it(path: Path) -> None:
    assert add(path) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    (key,) = read_keys(path)["city"]
    assert (key.number, key.created, key.secret, key.known) == (1, DAY, b"a" * 32, None)


def test_programmes_with_odd_names_are_kept_apart(path: Path) -> None:
    names = ['a.b "c"', "a.b 'c'", "城市"]
    for letter, name in zip("xyz", names, strict=True):
        add(path, programme=name, letter=letter)
    assert {name: keys[0].secret for name, keys in read_keys(path).items()} == {
        name: letter.encode() * 32 for letter, name in zip("xyz", names, strict=True)
    }


def test_rotation_keeps_known_accounts_and_gives_others_the_new_key(path: Path) -> None:
    add(path)
    anna = of(path, "anna")
    assert add(path, anna, letter="b") == 2
    assert of(path, "anna") == anna
    assert of(path, "bo").startswith("p2-")


def test_rotating_twice_keeps_the_accounts_of_both_keys(path: Path) -> None:
    add(path)
    anna = of(path, "anna")
    add(path, anna, letter="b")
    bo = of(path, "bo")
    add(path, bo, anna, letter="c")
    assert (of(path, "anna"), of(path, "bo")) == (anna, bo)
    assert of(path, "cy").startswith("p3-")


def test_rotating_one_programme_leaves_the_others_alone(path: Path) -> None:
    add(path)
    add(path, programme="fleet", letter="f")
    before = of(path, "anna", "fleet")
    add(path, of(path, "anna"), letter="b")
    assert of(path, "anna", "fleet") == before


def test_a_list_holds_no_secret_and_no_natural_id(path: Path) -> None:
    add(path)
    anna = of(path, "anna")
    add(path, anna, letter="b")
    (known,) = path.parent.glob("*.txt")
    assert known.read_text() == f"{anna}\n"


@pytest.mark.parametrize("line", ["anna", "p2-" + "a" * 32, "p1-" + "A" * 32, "p1-abc"])
def test_a_list_of_something_else_is_refused_and_nothing_changes(path: Path, line: str) -> None:
    add(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="line 2 of the accounts is no pseudonym of 'city'"):
        add(path, of(path, "anna"), line, letter="b")
    assert path.read_bytes() == before


@pytest.mark.parametrize("kept", [0, 36])
def test_a_list_that_was_cut_stops_everything(path: Path, kept: int) -> None:
    add(path)
    add(path, of(path, "anna"), of(path, "bo"), letter="b")
    (known,) = path.parent.glob("*.txt")
    known.write_text(known.read_text()[:kept])
    with pytest.raises(KeyFileError, match="not the list that key 1 was retired with"):
        read_keys(path)


def test_a_list_that_is_gone_stops_everything(path: Path) -> None:
    add(path)
    add(path, of(path, "anna"), letter="b")
    next(path.parent.glob("*.txt")).unlink()
    with pytest.raises(KeyFileError, match="No such file"):
        read_keys(path)


def test_a_forgotten_key_is_gone_from_the_file_and_its_number_is_not_used_again(path: Path) -> None:
    add(path)
    secret = base64.b64encode(b"a" * 32).decode()
    assert secret in path.read_text()
    without_secret(path, read_entries(path), programme="city", number=1, forgotten=DAY)
    assert secret not in path.read_text()
    assert add(path, letter="b") == 2
    assert of(path, "anna").startswith("p2-")


def test_forgetting_a_retired_key_leaves_the_newest(path: Path) -> None:
    add(path)
    add(path, of(path, "anna"), letter="b")
    without_secret(path, read_entries(path), programme="city", number=1, forgotten=DAY)
    assert of(path, "anna").startswith("p2-")


@pytest.mark.parametrize(("programme", "number"), [("city", 2), ("fleet", 1)])
def test_a_key_that_is_not_there_cannot_be_forgotten(
    path: Path, programme: str, number: int
) -> None:
    add(path)
    with pytest.raises(KeyFileError, match=f"'{programme}' has no key {number}"):
        without_secret(path, read_entries(path), programme=programme, number=number, forgotten=DAY)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o660, 0o666, 0o601])
def test_a_file_that_others_may_use_is_refused(path: Path, mode: int) -> None:
    add(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"others may use it \\(mode {mode:04o}\\); chmod 600"):
        read_keys(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_its_owner_and_a_group_may_read_it(path: Path, mode: int) -> None:
    add(path)
    path.chmod(mode)
    assert len(read_keys(path)["city"]) == 1


def test_a_file_that_is_missing_is_told(path: Path) -> None:
    with pytest.raises(KeyFileError, match=re.escape(f"{path}: No such file or directory")):
        read_keys(path)


def test_two_commands_do_not_write_at_once(path: Path) -> None:
    add(path)
    path.with_name("keys.toml.new").touch()
    with pytest.raises(KeyFileError, match="another command writes, or was cut off"):
        add(path, programme="fleet")


def key(**changes: str) -> str:
    """Return a key of the programme city as it is written, some of its lines changed."""
    lines = {"id": "1", "created": "2026-03-01", "secret": f'"{SECRET}"', **changes}
    return "[[city]]\n" + "".join(f"{name} = {text}\n" for name, text in lines.items() if text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[city", "it is not TOML"),
        ("city = 3", "keys are written"),
        ("city = []", "keys are written"),
        ("city = [3]", "a key has created, forgotten, id"),
        (key(secrets='"x"'), "a key has created, forgotten, id"),
        (key(id='"1"'), "id must be a whole number above 0"),
        (key(id="0"), "id must be a whole number above 0"),
        (key(id="true"), "id must be a whole number above 0"),
        (key(created='"2026-03-01"'), "must be dates"),
        (key(created="2026-03-01T00:00:00"), "must be dates"),
        (key(secret='"c2hvcnQ="'), "a secret is 32 bytes in base64"),
        (key(secret='"*"'), "a secret is 32 bytes in base64"),
        (key(secret=""), "needs its secret, or the day it was forgotten"),
        (key(forgotten="2026-04-01"), "needs its secret, or the day it was forgotten"),
        (key(known='"a.txt"'), "must be texts, both of them"),
        (key(known='"a.txt"', known_sha256="3"), "must be texts, both of them"),
        (key(known='"../a.txt"', known_sha256='"00"'), "the name of a file beside this one"),
        (key(known='"a.txt"', known_sha256='"00"'), "the newest key can't have `known`"),
        (key() + key(), "ids must rise"),
        (key(id="2") + key(), "ids must rise"),
        (key() + key(id="2"), "key 1 is retired and lacks `known`"),
    ],
)
def test_what_is_no_key_file_is_told_without_a_secret(path: Path, text: str, says: str) -> None:
    write(path, text)
    with pytest.raises(KeyFileError, match=says) as wrong:
        read_keys(path)
    assert SECRET not in str(wrong.value)


def test_what_is_written_is_what_is_read(path: Path) -> None:
    entries = {
        "city": (
            Entry(number=1, created=DAY, secret=None, forgotten=DAY),
            Entry(number=3, created=DAY, secret=b"x" * 32, known="k.txt", known_sha256="ab"),
            Entry(number=4, created=DAY, secret=b"y" * 32),
        )
    }
    write_entries(path, entries)
    assert read_entries(path) == entries
