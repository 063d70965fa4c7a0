"""What adapters make is booked by the worker's rules, with the factors that are shipped."""

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from carbon.factors import FactorTable
from carbon.rate import Rated, Sessions, rate_charging, rate_freight
from carbon.refusal import CODES
from producers.adapters import ileap, ocpi, tcec, waybill
from producers.adapters.outcome import Adapted, Outcome
from producers.factors.spec import load_factors
from producers.programmes.load import load_programmes
from producers.pseudonyms import Key, Pseudonyms
from producers.stations import Station
from producers.vehicles import Vehicle, Vehicles
from schemas.columns import arrow_schema
from streams.activities import columns_of
from tests.producers.adapters import test_tcec, test_waybill
from tests.producers.adapters.documents import example, needs_data, sender, stations


@pytest.fixture(scope="module")
def factors() -> FactorTable:
    """The factors this release ships."""
    return FactorTable.of(load_factors("release:2026.1"))


def rated(outcome: Outcome, factors: FactorTable) -> Rated:
    """Return what the programme of a record makes of it."""
    assert isinstance(outcome, Adapted), outcome
    batch = pa.RecordBatch.from_pylist([dict(outcome.fields)], arrow_schema(outcome.record))
    columns = columns_of(outcome.record, batch)
    programme = load_programmes()[str(outcome.fields["programme"])]
    if isinstance(columns, Sessions):
        return rate_charging(columns, programme, factors)
    return rate_freight(columns, programme, factors)


def amounts(found: Rated) -> tuple[str, int]:
    """Return the code of a refusal, or "", and the emission [mg]."""
    return CODES[int(found.refusal[0])], int(found.emissions_mg[0])


def fleet(programme: str, vehicle_class: str, **more: Any) -> Any:
    """Return a sender whose vehicles are all of one class."""
    register = Vehicles({"*": Vehicle(vehicle_class, "diesel", is_own=False)})
    return sender(programme=programme, vehicles=register, **more)


def test_a_charge_order_in_shandong_is_booked_with_its_factor(factors: FactorTable) -> None:
    order = test_tcec.order(StartTime="2022-05-01 10:00:00", EndTime="2022-05-01 11:00:00")
    found = rated(tcec.charge_order(order, test_tcec.KNOWN, test_tcec.ORDERS), factors)
    code, emissions_mg = amounts(found)
    assert code == ""
    assert emissions_mg == 31_250 * int(found.factor_value_mg[0]) // 1000
    assert emissions_mg > 0


@needs_data
def test_the_official_cdr_is_booked_where_the_table_says_it_was(factors: FactorTable) -> None:
    document = example("conf-ocpi/2.3.0/cdr_example.json")
    table = stations(**{"BE*BEC*E041503003": Station(region="US-CAMX")})
    placed = fleet("us-fleet", "car", regions=table)
    found = rated(ocpi.cdr(document, placed, "2.3.0"), factors)
    code, emissions_mg = amounts(found)
    assert code == ""
    assert factors.factors[int(found.factor[0])].region == "US-CAMX"
    assert emissions_mg == round(15_342 * int(found.factor_value_mg[0]) / 1000)


def test_a_waybill_is_booked_by_the_intensity_of_its_class(factors: FactorTable) -> None:
    keys = {"cn-freight": [Key(number=1, created=date(2024, 1, 1), secret=b"x" * 32)]}
    known = fleet("cn-freight", "truck_18t", pseudonyms=Pseudonyms(keys))
    found = rated(waybill.waybill(test_waybill.bill(), known, test_waybill.DRIVE), factors)
    assert amounts(found)[0] == ""
    assert int(found.transport_kg_km[0]) == round(812_300 * 20 / 21 * 17_501 / 1000)


@needs_data
def test_a_demo_tad_is_taken_by_the_rules_of_freight(factors: FactorTable) -> None:
    document = example("conf-ileap/demo-data/tad.json")["tads"][0]
    code, _ = amounts(rated(ileap.tad(document, fleet("cn-freight", "truck_18t"), "c"), factors))
    # Berlin has no intensity of a Chinese class; all else about it is in order.
    assert code == "factor_not_found"
