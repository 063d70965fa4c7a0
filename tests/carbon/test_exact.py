"""Exact fractions on columns agree with Python's own fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.exact import Ratio, ShapeMismatch
from carbon.limits import (
    CARGO_KG_MAX,
    DISTANCE_M_MAX,
    ENERGY_WH_MAX,
    FACTOR_MG_MAX,
    SESSION_MS_MAX,
)


def column(value: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([value], dtype=np.int64)


@given(
    energy=st.integers(0, ENERGY_WH_MAX),
    baseline=st.integers(0, FACTOR_MG_MAX),
    mean=st.integers(0, FACTOR_MG_MAX),
    span=st.integers(1, SESSION_MS_MAX),
    offset=st.integers(-1000, 1000),
    efficiency=st.sampled_from([Fraction(1), Fraction(923, 1000), Fraction(9, 10)]),
    claim=st.sampled_from([Fraction(1), Fraction(4, 5), Fraction(0), Fraction(1, 3)]),
)
def test_a_reduction_over_any_accepted_inputs_equals_the_exact_fraction_rounded_once(
    energy: int,
    baseline: int,
    mean: int,
    span: int,
    offset: int,
    efficiency: Fraction,
    claim: Fraction,
) -> None:
    integral = max(0, mean * span + offset)
    want = energy * (baseline - Fraction(integral, span) / efficiency) * claim / 1000
    gross = Ratio.of(column(efficiency.denominator), efficiency.numerator)
    grid = Ratio.of(column(integral), column(span))
    share = Ratio.of(column(claim.numerator), claim.denominator)
    got = (Ratio.of(column(baseline)) - grid * gross) * column(energy) * share / 1000
    assert got.rounded().tolist() == [round(want)]


@given(
    cargo=st.integers(0, CARGO_KG_MAX),
    distance=st.integers(0, DISTANCE_M_MAX),
    intensity=st.integers(0, FACTOR_MG_MAX),
    driven=st.booleans(),
)
def test_transport_activity_times_intensity_is_exact_at_the_limits(
    cargo: int, distance: int, intensity: int, driven: bool
) -> None:
    adjustment = Fraction(20, 21) if driven else Fraction(1)
    want = round(cargo * distance * adjustment * intensity / 1_000_000)
    shortest = Ratio.of(column(distance * adjustment.numerator), adjustment.denominator)
    assert (shortest * cargo * intensity / 1_000_000).rounded().tolist() == [want]


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**20))
def test_halves_round_to_even(numerator: int, denominator: int) -> None:
    got = Ratio.of(column(numerator), denominator).rounded()
    assert got.tolist() == [round(Fraction(numerator, denominator))]


@given(
    st.lists(st.integers(-(2**45), 2**45), min_size=1, max_size=9),
    st.fractions(-(2**10), 2**10, max_denominator=2**10),
    st.integers(1, 2**10),
)
def test_a_fraction_counts_for_every_row(
    numerators: list[int], factor: Fraction, denominator: int
) -> None:
    got = Ratio.of(np.array(numerators), denominator) * factor / 1024
    wanted = [round(Fraction(each, denominator) * factor / 1024) for each in numerators]
    assert got.rounded().tolist() == wanted


@given(st.lists(st.integers(-(2**49), 2**49), min_size=1, max_size=9), st.integers(1, 2**12))
def test_a_column_is_rounded_as_each_of_its_rows_though_the_estimates_are_off(
    numerators: list[int], denominator: int
) -> None:
    exact = Ratio.of(np.array(numerators), denominator)
    off = Ratio(exact.low, exact.estimate + 0.9 * denominator, denominator)
    wanted = [round(Fraction(each, denominator)) for each in numerators]
    assert exact.rounded().tolist() == wanted
    assert off.rounded().tolist() == wanted


def test_where_takes_each_row_from_its_side() -> None:
    left = Ratio.of(np.array([1, 3]), 2)
    right = Ratio.of(np.array([10, 20]))
    mixed = left.where(np.array([True, False]), right)
    assert (mixed * 2).rounded().tolist() == [1, 40]


def test_columns_of_different_length_are_a_shape_mismatch() -> None:
    with pytest.raises(ShapeMismatch):
        Ratio.of(np.array([1, 2])) * np.array([1, 2, 3])


def test_a_quotient_beyond_the_range_is_an_overflow_and_not_a_number() -> None:
    with pytest.raises(OverflowError):
        (Ratio.of(column(2**60)) * column(2**20)).rounded()


def test_a_denominator_beyond_the_range_is_an_overflow() -> None:
    with pytest.raises(OverflowError):
        Ratio.of(column(1), 2**40) / 2**40
