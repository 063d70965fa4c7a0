"""The demo, as a newcomer sees it and as a program reads it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command import asked, call, refused
from tests.end_to_end.held import Held, held

EVENTS = 20_000
PROGRAMMES = {"cn-charging", "cn-freight", "us-fleet"}


@dataclass(frozen=True, slots=True)
class Ran:
    """The demo for a person, then for a program over the same folder."""

    text: subprocess.CompletedProcess[str]
    after_text: Held
    summary: dict[str, Any]
    held: Held


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Both runs."""
    data_dir: Path = tmp_path_factory.mktemp("demo") / "data"
    text = call("demo", "--events", str(EVENTS), "--data-dir", str(data_dir))
    after_text = held(data_dir)
    summary = asked("demo", "--events", str(EVENTS), data_dir=data_dir)
    return Ran(text, after_text, summary, held(data_dir))


def section(text: str, title: str) -> str:
    """Return what a summary says under a title, up to the next empty line but one."""
    found = re.search(rf"^{title}\s*\n\s*\n(.*?)\n\s*\n\S", text, re.DOTALL | re.MULTILINE)
    assert found is not None, text
    return found[1]


def test_it_ends_well(ran: Ran) -> None:
    assert ran.text.returncode == 0, ran.text.stderr
    assert ran.text.stdout.splitlines()[-1] == "verify: ok"
    assert "Traceback" not in ran.text.stderr


def test_it_shows_progress_on_standard_error(ran: Ran) -> None:
    assert re.search(r"events/s +lag [\d,]+ +refused [\d,]+", ran.text.stderr)


def test_it_prints_totals_of_every_programme_and_of_regions(ran: Ran) -> None:
    totals = section(ran.text.stdout, "Totals by programme and region")
    for word in (*PROGRAMMES, "CN-JS", "US-CAMX", "MWh", "Mtkm"):
        assert word in totals


def test_it_prints_the_top_accounts_the_first_first(ran: Ran) -> None:
    saved = {name: row["reduction_mg"] for name, row in ran.held.balances.items()}
    best = sorted(saved, key=lambda name: -saved[name])[:5]
    printed = re.findall(
        r"^ +([a-z]+-[a-z]+-\d+)", section(ran.text.stdout, "Top accounts"), re.MULTILINE
    )
    assert printed == best


def test_it_prints_refusals_by_reason(ran: Ran) -> None:
    refusals = section(ran.text.stdout, "Refused in this run")
    for code, count in ran.summary["refused"].items():
        assert re.search(rf"^ +{code} .* {count}\s*$", refusals, re.MULTILINE)


def test_it_prints_how_factors_matched(ran: Ran) -> None:
    matches = section(ran.text.stdout, "How factors matched")
    for how, count in ran.summary["factor_match"].items():
        assert re.search(rf"^ +{how} +{count:,} +\d+\.\d%\s*$", matches, re.MULTILINE)


def test_the_object_has_the_documented_keys(ran: Ran) -> None:
    summary = ran.summary
    documented = {"events", "transfers", "duplicates", "refused", "totals", "factor_match"}
    documented |= {"verify", "seconds", "events_per_s"}
    assert set(summary) == documented | {"ledger"}
    assert set(summary["verify"]) == {"ok", "drift"}
    for total in summary["totals"]:
        assert set(total) == {
            *("programme", "region", "quantity", "activities"),
            *("amount_mg", "energy_wh", "transport_kg_km"),
        }


def test_every_event_is_booked_a_duplicate_or_refused(ran: Ran) -> None:
    summary = ran.summary
    booked = sum(
        total["activities"] for total in summary["totals"] if total["quantity"] == "emission"
    )
    assert summary["events"] == EVENTS == booked + summary["duplicates"] + refused(summary)
    assert min(booked, summary["duplicates"], refused(summary)) > 0
    assert summary["verify"] == {"ok": True, "drift": []}


def test_every_activity_has_an_emission_and_a_reduction(ran: Ran) -> None:
    assert (
        ran.summary["transfers"]
        == len(ran.held.transfers)
        == 2 * ran.summary["ledger"]["activities"]
    )


def test_the_totals_are_the_sums_of_the_transfers(ran: Ran) -> None:
    sums: dict[tuple[str, str, str], int] = {}
    for row in ran.held.transfers.values():
        place = (row["programme"], row["region"], row["quantity"])
        sign = 1 if row["credit_account"] == row["account_id"] else -1
        sums[place] = sums.get(place, 0) + sign * row["amount_mg"]
    assert {place[0] for place in sums} == PROGRAMMES
    assert {
        (total["programme"], total["region"], total["quantity"]): total["amount_mg"]
        for total in ran.summary["totals"]
    } == sums


def test_it_starts_anew_and_books_the_same_again(ran: Ran) -> None:
    assert ran.held == ran.after_text


def test_without_a_folder_it_takes_one_of_its_own(tmp_path: Path) -> None:
    books = tmp_path / ".carbonflow" / "store"
    books.mkdir(parents=True)
    done = call("demo", "--events", "200", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("ask about it with --data-dir .carbonflow-demo\n")
    assert {path.name for path in tmp_path.iterdir()} == {".carbonflow", ".carbonflow-demo"}
    assert not any(books.iterdir())


def test_it_spares_a_folder_that_no_demo_made(tmp_path: Path) -> None:
    (tmp_path / "books" / "store").mkdir(parents=True)
    (tmp_path / "books" / "store" / "mine").touch()
    done = call("demo", "--events", "200", "--data-dir", str(tmp_path / "books"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds books that no demo made" in done.stderr
    assert (tmp_path / "books" / "store" / "mine").exists()
