"""The commands about pseudonyms, and a load that lacks a key: one clear line, never a secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from producers.keyfile import read_keys
from producers.pseudonyms import PSEUDONYM, Pseudonyms

CITY = ("--programme", "city")
MAPPING = """
record = "charging_session"
zone = "UTC"
[fields]
session_id = "Id"
source = { value = "s" }
account_id = { column = "User", pseudonym = true }
programme = { value = "city" }
vehicle_class = { value = "car" }
grid_region = { value = "CN" }
started_at = "Start"
ended_at = "Start"
energy_wh = { column = "Energy", unit = "kWh" }
meter_side = { value = "grid" }
current = { value = "ac" }
operator_id = { value = "" }
evse_id = { value = "" }
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The path of a key file that is not there yet."""
    return tmp_path / "keys.toml"


def call(*args: str, keys: Path | None, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run `carbonflow` as a user does."""
    environ = {name: value for name, value in os.environ.items() if "CARBONFLOW_" not in name}
    if keys is not None:
        environ["CARBONFLOW_PSEUDONYM_KEYS"] = str(keys)
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *args],
        capture_output=True,
        text=True,
        input=given,
        env=environ,
        check=False,
        timeout=60,
    )


def said(*args: str, keys: Path, given: str = "") -> str:
    """Run a command that succeeds, and return what it prints."""
    done = call("pseudonym", *args, keys=keys, given=given)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_new_key_makes_pseudonyms(keys: Path) -> None:
    told = said("new-key", *CITY, keys=keys)
    assert told == f"{keys}: key 1 of city; keep a copy of the file in another place"
    made = said("of", *CITY, "anna", keys=keys)
    assert PSEUDONYM.fullmatch(made)
    assert made == Pseudonyms(read_keys(keys)).of("city", "anna")


def test_two_keys_are_never_the_same(keys: Path) -> None:
    said("new-key", *CITY, keys=keys)
    said("new-key", "--programme", "fleet", keys=keys)
    found = read_keys(keys)
    assert found["city"][0].secret != found["fleet"][0].secret


def test_an_id_from_standard_input_is_the_one_of_the_argument(keys: Path) -> None:
    said("new-key", *CITY, keys=keys)
    assert said("of", *CITY, "-", keys=keys, given="anna\n") == said("of", *CITY, "anna", keys=keys)


def test_rotating_keeps_the_accounts_of_the_list(keys: Path) -> None:
    said("new-key", *CITY, keys=keys)
    anna = said("of", *CITY, "anna", keys=keys)
    told = said("new-key", *CITY, "--known", "-", keys=keys, given=f"{anna}\n")
    assert "key 2 of city" in told
    assert said("of", *CITY, "anna", keys=keys) == anna
    assert said("of", *CITY, "bo", keys=keys).startswith("p2-")


def test_rotating_without_a_list_is_wrong_use(keys: Path) -> None:
    said("new-key", *CITY, keys=keys)
    before = keys.read_bytes()
    done = call("pseudonym", "new-key", *CITY, keys=keys)
    assert done.returncode == 2
    assert "city has a key already: --known FILE says which accounts keep it" in done.stderr
    assert keys.read_bytes() == before


def test_a_list_for_a_first_key_is_wrong_use(keys: Path) -> None:
    done = call("pseudonym", "new-key", *CITY, "--known", "-", keys=keys)
    assert done.returncode == 2
    assert "city has no key yet that could be kept" in done.stderr
    assert not keys.exists()


def test_a_forgotten_key_is_gone(keys: Path) -> None:
    said("new-key", *CITY, keys=keys)
    told = said("forget-key", *CITY, "--key", "1", keys=keys)
    assert told == f"{keys}: key 1 of city is forgotten; destroy its copies, too"
    assert "secret" not in re.sub(r"(?m)^#.*", "", keys.read_text())
    done = call("pseudonym", "of", *CITY, "anna", keys=keys)
    assert done.returncode == 1
    assert "no pseudonym key for programme 'city': its key 1 is forgotten" in done.stderr


@pytest.mark.parametrize("words", [("new-key",), ("of", "anna"), ("forget-key", "--key", "1")])
def test_without_a_key_file_nothing_can_be_done(words: tuple[str, ...]) -> None:
    command, *rest = words
    done = call("pseudonym", command, *CITY, *rest, keys=None)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "carbonflow: CARBONFLOW_PSEUDONYM_KEYS names no key file\n"


@pytest.mark.parametrize("given", ["", "\n", "  \n"])
def test_an_empty_id_is_wrong_use(keys: Path, given: str) -> None:
    said("new-key", *CITY, keys=keys)
    done = call("pseudonym", "of", *CITY, "-", keys=keys, given=given)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_file_that_others_may_read_is_refused(keys: Path) -> None:
    said("new-key", *CITY, keys=keys)
    keys.chmod(0o644)
    done = call("pseudonym", "of", *CITY, "anna", keys=keys)
    assert done.returncode == 1
    assert "others may use it (mode 0644); chmod 600 puts it right" in done.stderr


@pytest.fixture
def load(tmp_path: Path) -> tuple[str, ...]:
    """A load of one session, whose mapping has a pseudonym; no broker is there."""
    mapping, sessions = tmp_path / "m.toml", tmp_path / "s.csv"
    mapping.write_text(MAPPING)
    sessions.write_text("Id,User,Start,Energy\n1,anna,2020-01-01,6\n")
    files = ("--charging", str(sessions), "--mapping", str(mapping))
    return ("load", *files, "--bootstrap", "127.0.0.1:1")


def test_a_load_without_a_key_file_sends_nothing(load: tuple[str, ...]) -> None:
    done = call(*load, keys=None)
    assert done.returncode == 1
    assert done.stderr == "carbonflow: CARBONFLOW_PSEUDONYM_KEYS names no key file\n"


def test_a_load_without_a_key_of_its_programme_sends_nothing(
    load: tuple[str, ...], keys: Path
) -> None:
    said("new-key", "--programme", "fleet", keys=keys)
    done = call(*load, keys=keys)
    assert done.returncode == 1
    assert done.stderr == ("carbonflow: no pseudonym key for programme 'city': it has none\n")


def test_rows_without_their_natural_id_are_not_replayed_but_loaded_again(
    load: tuple[str, ...], keys: Path, tmp_path: Path
) -> None:
    said("new-key", *CITY, keys=keys)
    words = ("refusals", "replay", "--mapping", str(tmp_path / "m.toml"), "--dry-run")
    done = call(*words, *load[-2:], keys=keys)
    assert done.returncode == 1
    assert done.stderr == (
        "carbonflow: mapping m has a pseudonym, and the natural id it stands for is kept in no "
        "refusal: mend the mapping and load the file again, which books no row twice\n"
    )
