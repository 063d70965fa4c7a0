"""The numbers of DOMAIN that every version must reproduce."""

import numpy as np
import pytest

from carbon.charging import emission_mg, reduction_mg
from carbon.exact import Int64Array, Ratio
from carbon.factors import Factor, FactorTable
from carbon.programmes import Programme
from carbon.rate import Rated, Sessions, Trips, Words, rate_charging, rate_freight
from producers.factors.spec import load_factors
from producers.programmes.load import load_programmes

START_2021 = 1_625_097_600_000  # 2021-07-01
START_2023 = 1_688_169_600_000  # 2023-07-01
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def factors() -> FactorTable:
    return FactorTable.of(load_factors("release:2026.1"))


@pytest.fixture(scope="module")
def programmes() -> dict[str, Programme]:
    return dict(load_programmes())


def word(value: str) -> Words:
    return Words(np.zeros(1, dtype=np.int32), (value,))


def one(value: int) -> Int64Array:
    return np.array([value], dtype=np.int64)


def charge(
    programme: Programme,
    factors: FactorTable,
    region: str,
    vehicle_class: str,
    at_ms: int,
    *,
    dc: bool = False,
) -> Rated:
    session = Sessions(
        energy_wh=one(1000),
        started_at=one(at_ms),
        ended_at=one(at_ms + HOUR_MS),
        grid_region=word(region),
        vehicle_class=word(vehicle_class),
        dispenser=np.array([True]),
        dc=np.array([dc]),
    )
    return rate_charging(session, programme, factors)


@pytest.mark.parametrize(
    ("region", "kg_per_kwh"),
    [
        ("CN-NORTH", "0.520"),
        ("CN-NORTHEAST", "0.631"),
        ("CN-EAST", "0.633"),
        ("CN-CENTRAL", "0.697"),
        ("CN-NORTHWEST", "0.637"),
        ("CN-SOUTH", "0.800"),
        ("CN-SOUTHWEST", "1.021"),
        ("CN", "0.676"),
    ],
)
def test_a_car_in_2021_saves_what_the_table_of_domain_2_3_says(
    factors: FactorTable, programmes: dict[str, Programme], region: str, kg_per_kwh: str
) -> None:
    rated = charge(programmes["cn-charging"], factors, region, "car", START_2021)
    assert f"{rated.reduction_mg[0] / 1_000_000:.3f}" == kg_per_kwh
    assert rated.how[0] == 0


@pytest.mark.parametrize(
    ("vehicle_class", "by_region"),
    [
        ("car", ("0.596", "0.682", "0.828", "0.985")),
        ("taxi", ("0.707", "0.793", "0.939", "1.096")),
        ("bus", ("0.196", "0.282", "0.428", "0.585")),
        ("truck_light", ("0.253", "0.339", "0.485", "0.642")),
        ("tractor_heavy", ("-0.012", "0.074", "0.220", "0.377")),
    ],
)
def test_each_class_in_2023_saves_what_the_class_table_says_and_a_heavy_tractor_in_the_north_loses(
    factors: FactorTable,
    programmes: dict[str, Programme],
    vehicle_class: str,
    by_region: tuple[str, ...],
) -> None:
    regions = ("CN-NORTH", "CN-EAST", "CN-SOUTH", "CN-SOUTHWEST")
    rules = programmes["cn-charging"]
    rated = [charge(rules, factors, region, vehicle_class, START_2023) for region in regions]
    assert tuple(f"{each.reduction_mg[0] / 1_000_000:.3f}" for each in rated) == by_region


@pytest.mark.parametrize(
    ("vehicle_class", "kg_per_kwh"),
    [("car", "0.905"), ("car-dc", "0.949"), ("bus", "0.783"), ("truck", "0.847")],
)
def test_the_gross_baselines_of_vm0038_are_reproduced(
    programmes: dict[str, Programme], vehicle_class: str, kg_per_kwh: str
) -> None:
    rules = programmes["us-fleet"].charging
    assert rules is not None
    assert f"{rules.baselines[vehicle_class].in_year(2018) / 1_000_000:.3f}" == kg_per_kwh


@pytest.mark.parametrize(("dc", "kg_per_kwh"), [(False, "0.555"), (True, "0.570")])
def test_vm0038_net_of_the_us_grid_is_reproduced_with_the_losses_of_a_dc_charger(
    factors: FactorTable, programmes: dict[str, Programme], dc: bool, kg_per_kwh: str
) -> None:
    rated = charge(programmes["us-fleet"], factors, "US", "car", START_2023, dc=dc)
    assert f"{rated.reduction_mg[0] / 1_000_000:.3f}" == kg_per_kwh


def trip(programme: Programme, factors: FactorTable, energy_used: int) -> Rated:
    worked = Trips(
        departed_at=one(START_2023),
        arrived_at=one(START_2023 + 20 * HOUR_MS),
        distance_m=one(840_000),
        driven=np.array([True]),
        cargo_kg=one(28_000),
        empty_distance_m=one(150_000),
        energy_used=one(energy_used),
        origin_region=word("CN-JS"),
        vehicle_class=word("truck_46t"),
        energy_carrier=word("diesel"),
    )
    return rate_freight(worked, programme, factors)


def test_the_worked_trip_of_domain_3_5_saves_441_kg_before_the_claim_share(
    factors: FactorTable, programmes: dict[str, Programme]
) -> None:
    rated = trip(programmes["cn-freight"], factors, 321_600)
    assert rated.transport_kg_km[0] == 22_400_000
    assert rated.emissions_mg[0] == 836_160_000
    assert rated.baseline_mg[0] == 1_276_800_000
    assert rated.reduction_mg[0] == 440_640_000 * 8 // 10


def test_the_same_trip_without_fuel_emits_its_transport_activity_times_the_default(
    factors: FactorTable, programmes: dict[str, Programme]
) -> None:
    rated = trip(programmes["cn-freight"], factors, -1)
    assert rated.emissions_mg[0] == 1_276_800_000
    assert rated.reduction_mg[0] == 0


def test_twenty_kwh_in_north_china_are_the_numbers_of_the_style_page() -> None:
    grid = Ratio.of(one(712_000))
    assert emission_mg(one(20_000), grid).tolist() == [14_240_000]
    assert reduction_mg(one(20_000), one(1_232_400), grid).tolist() == [10_408_000]


def test_every_shipped_factor_is_a_factor(factors: FactorTable) -> None:
    assert all(isinstance(factor, Factor) and factor.value_mg >= 0 for factor in factors.factors)
