"""Exact arithmetic on columns: fractions of wide integers, rounded once, half to even.

A formula such as `energy * (baseline - grid * gross_up) * claim / 1000` needs more than 64 bits on
its way although its result needs fewer than 50. `Ratio` carries each numerator twice: modulo
2**64, where wrapping int64 arithmetic is exact, and as a float estimate. The estimate finds the
quotient to within one; the residue then gives the remainder exactly, because it is smaller than
2**63. So a formula is written as it stands on paper and rounded once, at the end, as fast as numpy
multiplies.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Int64Array: TypeAlias = npt.NDArray[np.int64]
Int32Array: TypeAlias = npt.NDArray[np.int32]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Float64Array: TypeAlias = npt.NDArray[np.float64]

DENOMINATOR_MAX = 2**62
QUOTIENT_MAX = 2.0**50


class ShapeMismatch(ValueError):
    """The columns of a formula differ in length."""


@dataclass(frozen=True, slots=True, eq=False)
class Ratio:
    """A column of exact fractions.

    Attributes:
        low: Numerators modulo 2**64, shape (n,).
        estimate: Numerators as floats, shape (n,); the error is some 2**-50 of the largest term.
        denominator: Positive denominators, one for all or shape (n,), at most DENOMINATOR_MAX.
    """

    low: Int64Array
    estimate: Float64Array
    denominator: int | Int64Array

    @classmethod
    def of(cls, numerator: Int64Array, denominator: int | Int64Array = 1) -> Ratio:
        """Return the fractions `numerator / denominator`, shape (n,)."""
        values = np.asarray(numerator, dtype=np.int64)
        return cls(values, values.astype(np.float64), denominator)

    def __mul__(self, other: Ratio | Int64Array | Fraction | int) -> Ratio:
        """Return the products; a number that is no column counts for every row."""
        if isinstance(other, int | Fraction):
            return self._times(other)
        factor = other if isinstance(other, Ratio) else Ratio.of(other)
        _same_length(self.low, factor.low)
        return Ratio(
            self.low * factor.low,
            self.estimate * factor.estimate,
            _product(self.denominator, factor.denominator),
        )

    def __truediv__(self, divisor: int) -> Ratio:
        return Ratio(self.low, self.estimate, _product(self.denominator, divisor))

    def __sub__(self, other: Ratio) -> Ratio:
        _same_length(self.low, other.low)
        mine, theirs = self.denominator, other.denominator
        if isinstance(mine, int) and isinstance(theirs, int) and mine == theirs:
            return Ratio(self.low - other.low, self.estimate - other.estimate, mine)
        return Ratio(
            self.low * theirs - other.low * mine,
            self.estimate * theirs - other.estimate * mine,
            _product(mine, theirs),
        )

    def where(self, mask: BoolArray, other: Ratio) -> Ratio:
        """Return self where mask holds and other elsewhere, shape (n,)."""
        n = len(self.low)
        return Ratio(
            np.where(mask, self.low, other.low),
            np.where(mask, self.estimate, other.estimate),
            np.where(mask, _column(self.denominator, n), _column(other.denominator, n)),
        )

    def take(self, rows: Int64Array) -> Ratio:
        """Return the fractions of some rows."""
        return Ratio(self.low[rows], self.estimate[rows], _rows(self.denominator, rows))

    def rounded(self) -> Int64Array:
        """Return the nearest integers, halves to even, shape (n,).

        Raises:
            OverflowError: A quotient is beyond QUOTIENT_MAX; `carbon.limits` rules that out.

        >>> Ratio.of(np.array([1, 3, 5, -5, 2**62]), 2).rounded()[:4]
        Traceback (most recent call last):
        OverflowError: a quotient exceeds 2**50
        >>> Ratio.of(np.array([1, 3, 5, -5, -6]), 2).rounded()
        array([ 0,  2,  2, -2, -3])
        """
        if not len(self.low):
            return self.low
        whole = isinstance(self.denominator, int) and self.denominator == 1
        quotient = self.estimate if whole else self.estimate / self.denominator
        if max(quotient.max(), -quotient.min()) > QUOTIENT_MAX:
            raise OverflowError("a quotient exceeds 2**50")
        if whole:
            return self.low
        near = np.rint(quotient, out=quotient).astype(np.int64)
        remainder = near * self.denominator
        np.subtract(self.low, remainder, out=remainder)
        # A remainder below half the denominator proves its quotient right. Few others are left:
        # ties, and where the estimate fell on the wrong side.
        unsure = np.flatnonzero(np.abs(remainder) > ((self.denominator - 1) >> 1))
        if len(unsure):
            denominator = _rows(self.denominator, unsure)
            near[unsure] = _nearest(near[unsure], remainder[unsure], denominator)
        return near

    def _times(self, number: int | Fraction) -> Ratio:
        if number == 1:
            return self
        numerator, denominator = number.numerator, number.denominator
        return Ratio(
            self.low * numerator,
            self.estimate * numerator,
            _product(self.denominator, denominator),
        )


def _nearest(near: Int64Array, remainder: Int64Array, denominator: int | Int64Array) -> Int64Array:
    """Return near + remainder / denominator, rounded half to even."""
    step = remainder // denominator
    quotient = near + step
    remainder = remainder - step * denominator
    above = remainder > denominator - remainder
    tie = remainder == denominator - remainder
    nearest: Int64Array = quotient + (above | (tie & (quotient % 2 == 1)))
    return nearest


def _rows(denominator: int | Int64Array, rows: Int64Array) -> int | Int64Array:
    return denominator if isinstance(denominator, int) else denominator[rows]


def _column(denominator: int | Int64Array, n: int) -> Int64Array:
    return np.full(n, denominator, dtype=np.int64)


def _same_length(left: Int64Array, right: Int64Array) -> None:
    if left.shape != right.shape:
        raise ShapeMismatch(f"columns of {len(left)} and {len(right)} rows")


def _product(left: int | Int64Array, right: int | Int64Array) -> int | Int64Array:
    largest = _largest(left) * _largest(right)
    if largest > DENOMINATOR_MAX:
        raise OverflowError(f"a denominator of {largest} exceeds 2**62")
    return left * right


def _largest(denominator: int | Int64Array) -> int:
    return denominator if isinstance(denominator, int) else int(denominator.max(initial=1))
