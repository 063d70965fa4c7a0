"""ACN-Data under the hourly factors of California: to the milligram, and the same when repeated."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.agreement import balances_of, booked_of
from tests.end_to_end.command import CALIFORNIA, asked, call
from tests.end_to_end.expected import Booked, Expected
from tests.end_to_end.held import Held, held


@dataclass(frozen=True, slots=True)
class Ran:
    """A folder after the same run twice: what each said, and what it held after each."""

    data_dir: Path
    first: dict[str, Any]
    after_first: Held
    second: dict[str, Any]
    after_second: Held


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The run and its repetition."""
    data_dir = tmp_path_factory.mktemp("acn") / "data"
    first = asked("run", *CALIFORNIA, data_dir=data_dir)
    after_first = held(data_dir)
    second = asked("run", *CALIFORNIA, data_dir=data_dir)
    return Ran(data_dir, first, after_first, second, held(data_dir))


@pytest.fixture(scope="module")
def busiest(california_expected: Expected) -> tuple[str, dict[str, Booked]]:
    """The account with most sessions, and its emissions by the id of their transfer."""
    counts = {
        account: balance["transfer_count"]
        for account, balance in california_expected.balances().items()
    }
    account = max(counts, key=lambda name: (counts[name], name))
    booked = california_expected.booked.items()
    return account, {name: one for name, one in booked if one.account_id == account}


def test_every_session_is_booked_or_refused(ran: Ran) -> None:
    assert ran.first["events"] == 30_114
    assert ran.first["transfers"] == 5_334
    assert ran.first["duplicates"] == 0
    assert ran.first["refused"] == {"factor_not_found": 24_780}
    assert ran.first["factor_match"] == {"exact": 5_334}
    assert ran.first["verify"] == {"ok": True, "drift": []}


def test_the_totals_are_those_of_the_exact_calculation(
    ran: Ran, california_expected: Expected
) -> None:
    assert ran.first["totals"] == [
        {
            "programme": "acn-data",
            "region": "US-CAL-CISO",
            "quantity": "emission",
            "activities": 5_334,
            "amount_mg": sum(one.amount_mg for one in california_expected.booked.values()),
            "energy_wh": 74_044_470,
            "transport_kg_km": 0,
        }
    ]
    assert ran.first["ledger"]["accounts"] == 244


def test_every_transfer_is_that_of_the_exact_calculation(
    ran: Ran, california_expected: Expected
) -> None:
    assert booked_of(ran.after_first) == california_expected.booked


def test_every_balance_is_that_of_the_exact_calculation(
    ran: Ran, california_expected: Expected
) -> None:
    found = balances_of(ran.after_first, california_expected)
    assert found == california_expected.balances()
    assert len(found) == 244


def test_the_independent_calculation_refuses_the_same(
    ran: Ran, california_expected: Expected
) -> None:
    assert ran.after_first.refused == california_expected.refused


def test_every_transfer_goes_from_the_programme_to_its_account(ran: Ran) -> None:
    for row in ran.after_first.transfers.values():
        assert (row["debit_account"], row["credit_account"]) == (
            "acn-data:emission",
            row["account_id"],
        )
        assert (row["kind"], row["quantity"], row["activity"]) == (
            "accrual",
            "emission",
            "charging",
        )


def test_every_transfer_names_its_hour_by_release_and_match(ran: Ran) -> None:
    for row in ran.after_first.transfers.values():
        assert row["factor_match"] == "exact"
        assert row["factor_id"].startswith("electricity-maps:US-CAL-CISO:wtw:2021-")
        assert row["factor_release"].startswith("electricity-maps:US-CAL-CISO_2021_hourly:")


def test_the_same_run_again_only_sees_duplicates(ran: Ran) -> None:
    assert ran.second["events"] == 30_114
    assert ran.second["transfers"] == 0
    assert ran.second["duplicates"] == 5_334
    assert ran.second["refused"] == {"factor_not_found": 24_780}
    assert ran.second["verify"] == {"ok": True, "drift": []}


def test_the_same_run_again_changes_no_total(ran: Ran) -> None:
    assert ran.second["totals"] == ran.first["totals"]
    assert ran.second["factor_match"] == ran.first["factor_match"]


def test_the_same_run_again_changes_no_transfer_and_no_balance(ran: Ran) -> None:
    assert ran.after_second.transfers == ran.after_first.transfers
    assert ran.after_second.balances == ran.after_first.balances


def test_each_account_counts_its_repeats(ran: Ran) -> None:
    repeats = {name: row["transfer_count"] for name, row in ran.after_first.balances.items()}
    assert set(ran.after_first.duplicates.values()) == {0}
    assert ran.after_second.duplicates == repeats


def test_balance_tells_what_an_account_adds_up_to(
    ran: Ran, busiest: tuple[str, dict[str, Booked]]
) -> None:
    account, booked = busiest
    found = asked("balance", account, data_dir=ran.data_dir)
    assert found["emissions_mg"] == sum(one.amount_mg for one in booked.values())
    assert found["energy_wh"] == sum(one.energy_wh for one in booked.values())
    assert (found["reduction_mg"], found["session_count"]) == (0, len(booked))
    assert (found["programme"], found["duplicate_count"]) == ("acn-data", len(booked))


def test_statement_lists_every_transfer_in_the_order_of_time(
    ran: Ran, busiest: tuple[str, dict[str, Booked]]
) -> None:
    account, booked = busiest
    found = asked("statement", account, "--limit", "1000", data_dir=ran.data_dir)
    lines = found["transfers"]
    assert found["next_cursor"] is None
    assert {line["transfer_id"]: line["signed_mg"] for line in lines} == {
        name: one.amount_mg for name, one in booked.items()
    }
    assert [line["booked_at"] for line in lines] == sorted(line["booked_at"] for line in lines)


def test_explain_recomputes_the_amount(ran: Ran, busiest: tuple[str, dict[str, Booked]]) -> None:
    name, one = max(busiest[1].items(), key=lambda item: item[1].amount_mg)
    found = asked("explain", name, data_dir=ran.data_dir)
    assert found["agrees"] is True
    assert found["recomputed_mg"] == found["transfer"]["amount_mg"] == one.amount_mg
    assert found["activity"]["energy_wh"] == one.energy_wh
    assert len(found["factors"]) > 1
    assert {factor["boundary"] for factor in found["factors"]} == {"wtw"}


def test_a_refusal_can_be_listed_and_shown_with_its_bytes(ran: Ran) -> None:
    listed = asked(
        "refusals", "list", "--code", "factor_not_found", "--limit", "3", data_dir=ran.data_dir
    )["refusals"]
    assert [one["code"] for one in listed] == ["factor_not_found"] * 3
    shown = asked("refusals", "show", listed[0]["refusal_id"], data_dir=ran.data_dir)
    assert shown["refusal"] == listed[0]
    assert listed[0]["origin"] == "worker"
    assert listed[0]["topic"] == "charging-sessions"
    assert b"acn-data" in base64.b64decode(shown["value_base64"])
    assert base64.b64decode(shown["key_base64"]).startswith(b"acn-")


def test_verify_agrees_afterwards(ran: Ran) -> None:
    assert asked("verify", data_dir=ran.data_dir) == {"ok": True, "drift": [], "waiting": 0}


@pytest.mark.parametrize(("boundary", "value_mg"), [("ttw", 238_340), ("wtw", 317_410)])
def test_factors_match_takes_the_column_of_the_boundary(
    ran: Ran, boundary: str, value_mg: int
) -> None:
    words = ("US-CAL-CISO", "--at", "2021-01-01T00:59:59Z", "--kind", "grid_hourly")
    found = asked("factors", "match", *words, "--boundary", boundary, data_dir=ran.data_dir)
    assert (found["how"], found["value_mg"]) == ("exact", value_mg)
    assert found["factor"]["valid_from"] == "2021-01-01T00:00:00Z"


def test_an_account_whose_sessions_were_all_refused_does_not_exist(ran: Ran) -> None:
    done = call("balance", "acn-000000022", "--data-dir", str(ran.data_dir), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "carbonflow: There is no account 'acn-000000022'.\n"
