"""What holds over time, asked once for each period instead of once for each row.

Factors and parameters change at few instants, and a slice or a block of stored activities touches
few of the periods between them. So rows are numbered by their period, a question is asked once for
each period that occurs, and its answers are spread over the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon.exact import Int32Array, Int64Array


def periods(at_ms: Int64Array, edges_ms: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Tell which instants lie in the same period.

    Args:
        at_ms: Instants [ms], shape (n,).
        edges_ms: Where one period ends and the next begins [ms], ascending and distinct.

    Returns:
        The number of each instant's period, shape (n,), and for each number an instant in it.

    >>> periods(np.array([5, 31, 7]), np.array([10, 20, 30]))
    (array([0, 1, 0]), array([ 5, 30]))
    """
    if not len(at_ms):
        return at_ms, at_ms
    first = at_ms.min()
    begin, end = np.searchsorted(edges_ms, [first, at_ms.max()], side="right")
    if begin == end:
        return np.zeros(len(at_ms), dtype=np.int64), np.array([first])
    starts = np.concatenate([[first], edges_ms[begin:end]])
    segment = np.searchsorted(starts, at_ms, side="right") - 1
    occurs = np.bincount(segment, minlength=len(starts)) > 0
    return (np.cumsum(occurs) - 1)[segment], starts[occurs]


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Which factor is matched at each time, and how; nothing is before the first change.

    Attributes:
        change_ms: When the answer may change [ms], ascending and distinct, shape (m,).
        factor: Index of the factor or NONE: before the first change, then from each on; (m + 1,).
        how: How it matches, shape (m + 1,).
    """

    change_ms: Int64Array
    factor: Int32Array
    how: Int64Array

    def at(self, at_ms: Int64Array) -> tuple[Int32Array, Int64Array]:
        """Return the factor at each instant, or NONE, and how it matches, shape (n,)."""
        answer = np.searchsorted(self.change_ms, at_ms, side="right")
        return self.factor[answer], self.how[answer]
