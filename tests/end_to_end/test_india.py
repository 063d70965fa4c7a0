"""Truck bookings of India, dirty as they are: every row is a transfer or a refusal with a code."""

from __future__ import annotations

import base64
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.agreement import balances_of, booked_of
from tests.end_to_end.command import INDIA, TRIPS, asked, refused
from tests.end_to_end.expected import Expected
from tests.end_to_end.held import Held, held


@dataclass(frozen=True, slots=True)
class Ran:
    """A folder after a run: what it said and what it holds."""

    data_dir: Path
    summary: dict[str, Any]
    held: Held


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The run."""
    data_dir = tmp_path_factory.mktemp("india") / "data"
    summary = asked("run", *INDIA, data_dir=data_dir)
    return Ran(data_dir, summary, held(data_dir))


def test_every_row_is_booked_or_refused(ran: Ran) -> None:
    summary = ran.summary
    assert summary["events"] == 3_300
    assert summary["transfers"] + summary["duplicates"] + refused(summary) == 3_300
    assert summary["verify"] == {"ok": True, "drift": []}


def test_refusals_have_the_codes_of_the_independent_count(
    ran: Ran, india_expected: Expected
) -> None:
    assert ran.summary["refused"] == ran.held.refused == india_expected.refused
    assert {"row_missing_value", "ended_before_started", "too_long"} < set(ran.held.refused)


def test_repeated_bookings_are_duplicates(ran: Ran, india_expected: Expected) -> None:
    assert ran.summary["duplicates"] == india_expected.repeats


def test_every_transfer_is_that_of_the_exact_calculation(
    ran: Ran, india_expected: Expected
) -> None:
    assert booked_of(ran.held) == india_expected.booked
    assert len(ran.held.transfers) == len(india_expected.booked) == ran.summary["transfers"]


def test_every_balance_is_that_of_the_exact_calculation(ran: Ran, india_expected: Expected) -> None:
    assert balances_of(ran.held, india_expected) == india_expected.balances()


def test_the_totals_are_those_of_the_exact_calculation(ran: Ran, india_expected: Expected) -> None:
    booked = india_expected.booked.values()
    assert ran.summary["totals"] == [
        {
            "programme": "india-hcv",
            "region": "IN",
            "quantity": "emission",
            "activities": len(booked),
            "amount_mg": sum(one.amount_mg for one in booked),
            "energy_wh": 0,
            "transport_kg_km": sum(one.transport_kg_km for one in booked),
        }
    ]


def test_intensities_are_indias_well_to_wheel(ran: Ran) -> None:
    found = {row["vehicle_class"]: row["factor_id"] for row in ran.held.transfers.values()}
    assert found == {
        vehicle_class: f"sfc-india:IN:{vehicle_class}.diesel:wtw"
        for vehicle_class in ("lcv", "mcv", "hcv")
    }
    assert ran.summary["factor_match"] == {"exact": ran.summary["transfers"]}


def test_explain_says_that_the_cargo_is_a_default(ran: Ran, india_expected: Expected) -> None:
    # An id of this data set has a slash in it, which must survive the way to the API.
    name = max(name for name in india_expected.booked if "/" in name)
    found = asked("explain", name, data_dir=ran.data_dir)
    assert (found["activity"]["data_grade"], found["activity"]["distance_basis"]) == (
        "default",
        "sfd",
    )
    assert found["agrees"] is True
    assert found["recomputed_mg"] == india_expected.booked[name].amount_mg


def test_a_row_that_cannot_be_mapped_is_shown_as_it_stands_in_the_file(ran: Ran) -> None:
    listed = asked(
        "refusals", "list", "--code", "row_bad_value", "--limit", "1", data_dir=ran.data_dir
    )["refusals"]
    shown = asked("refusals", "show", listed[0]["refusal_id"], data_dir=ran.data_dir)
    line = TRIPS.read_bytes().splitlines()[listed[0]["line"] - 1]
    assert listed[0]["file"] == str(TRIPS)
    assert base64.b64decode(shown["value_base64"]) == line
    assert next(csv.reader([line.decode()]))[23] in listed[0]["reason"]
