"""Proves a restatement: some of its rows by fractions, the sums of all of them by the store.

The store multiplies and rounds with integers of its own, by rates that are fractions from
`benchmarks.exactly`. So both checks share no arithmetic with what they check.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from benchmarks.exactly import Paper, PerKwh, Session
from benchmarks.measure import BenchmarkError
from carbon.limits import ENERGY_WH_MAX
from carbon.refusal import ACCEPTED
from sinks.connect import Client
from streams.restate import Restated

QUANTITIES: Final = PerKwh._fields
TAKEN: Final = f"energy_wh BETWEEN 0 AND {ENERGY_WH_MAX}"
# A parameter changes with the year in UTC and a factor with that of its country.
KEY: Final = (
    "programme, grid_region, vehicle_class, meter_side, current, "
    "toYear(started_at) AS year, toYear(started_at, 'Asia/Shanghai') AS local_year"
)


class Sums(NamedTuple):
    """What sessions come to in all [mg]; refused ones are counted only."""

    emissions: int
    baseline: int
    reduction: int
    accepted: int
    refused: int


@dataclass(frozen=True, slots=True)
class Row:
    """A restated session; None where it was refused."""

    partition: int
    offset: int
    amounts_mg: tuple[int, ...] | None


def sums_of(part: Restated) -> Sums:
    """Return what a block of restated sessions comes to; refused rows have amounts of 0."""
    rated, refused = part.rated, int(np.count_nonzero(part.rated.refusal))
    return Sums(
        emissions=int(rated.emissions_mg.sum()),
        baseline=int(rated.baseline_mg.sum()),
        reduction=int(rated.reduction_mg.sum()),
        accepted=len(part) - refused,
        refused=refused,
    )


def sample(parts: Sequence[Restated], count: int) -> list[Row]:
    """Return some rows of restated blocks, the same in every run."""
    random = np.random.default_rng(20_231_101)
    blocks = random.integers(len(parts), size=count).tolist()
    return [
        _row(parts[block], int(share * len(parts[block])))
        for block, share in zip(blocks, random.random(count).tolist(), strict=True)
    ]


def _row(part: Restated, at: int) -> Row:
    rated = part.rated
    amounts = (rated.emissions_mg, rated.baseline_mg, rated.reduction_mg)
    taken = rated.refusal[at] == ACCEPTED
    return Row(
        partition=int(part.partition[at]),
        offset=int(part.offset[at]),
        amounts_mg=tuple(int(each[at]) for each in amounts) if taken else None,
    )


def check_rows(client: Client, database: str, rows: Sequence[Row], paper: Paper) -> None:
    """Compare rows with their amounts in fractions.

    Raises:
        BenchmarkError: One differs.
    """
    places = ", ".join(f"({row.partition}, {row.offset})" for row in rows)
    stored = client.query(
        f"SELECT _partition, _offset, {', '.join(Session._fields[:-1])}, "
        f"toUnixTimestamp64Milli(started_at), energy_wh FROM {database}.sessions "
        f"WHERE (_partition, _offset) IN ({places})"
    ).result_rows
    expected = {
        (partition, offset): _amounts(paper.per_kwh(Session._make(told)), energy_wh)
        for partition, offset, *told, energy_wh in stored
    }
    for row in rows:
        paper_mg = expected[row.partition, row.offset]
        if row.amounts_mg != paper_mg:
            raise BenchmarkError(f"{row} should be {paper_mg}")


def _amounts(per_kwh: PerKwh | None, energy_wh: int) -> tuple[int, ...] | None:
    if per_kwh is None or not 0 <= energy_wh <= ENERGY_WH_MAX:
        return None
    return tuple(round(energy_wh * each / 1000) for each in per_kwh)


def check_sums(client: Client, database: str, sums: Sums, paper: Paper) -> None:
    """Compare the sums with those that the store finds.

    Raises:
        BenchmarkError: They differ.
    """
    kinds = client.query(
        f"SELECT {KEY}, min(toUnixTimestamp64Milli(started_at)) "
        f"FROM {database}.sessions GROUP BY ALL"
    ).result_rows
    client.command(f"DROP TABLE IF EXISTS {database}.rates")
    client.command(
        f"CREATE TABLE {database}.rates ENGINE = Memory AS SELECT {KEY}, "
        + ", ".join(f"toInt64(0) AS {each}_n, toInt64(1) AS {each}_d" for each in QUANTITIES)
        + f" FROM {database}.sessions LIMIT 0"
    )
    client.insert_arrow("rates", pa.Table.from_pylist(list(_rates(kinds, paper))), database)
    columns = ", ".join(f"sum({_rounded(each)})" for each in QUANTITIES)
    found = client.query(
        f"SELECT {columns}, count() FROM (SELECT {KEY}, energy_wh FROM {database}.sessions "
        f"WHERE {TAKEN}) AS stored INNER JOIN {database}.rates USING (programme, grid_region, "
        "vehicle_class, meter_side, current, year, local_year)"
    ).result_rows
    *amounts, accepted = map(int, found[0])
    total = int(client.query(f"SELECT count() FROM {database}.sessions").result_rows[0][0])
    expected = Sums._make([*amounts, accepted, total - accepted])
    if sums != expected:
        raise BenchmarkError(f"{sums} should be {expected}")


def _rates(kinds: Iterable[Sequence[Any]], paper: Paper) -> Iterator[dict[str, Any]]:
    names = (*Session._fields[:-1], "year", "local_year")
    for *told, year, local_year, started_at in kinds:
        per_kwh = paper.per_kwh(Session._make([*told, started_at]))
        if per_kwh is not None:
            rate = dict(zip(names, (*told, year, local_year), strict=True))
            for name, value in zip(QUANTITIES, per_kwh, strict=True):
                rate |= {f"{name}_n": value.numerator, f"{name}_d": value.denominator * 1000}
            yield rate


def _rounded(quantity: str) -> str:
    """Return SQL for an amount, rounded half to even; intDiv cuts towards zero."""
    n, d = f"(energy_wh * {quantity}_n)", f"{quantity}_d"
    floor = f"(intDiv({n}, {d}) - toInt64({n} < 0 AND {n} % {d} != 0))"
    rest = f"({n} - {floor} * {d})"
    up = f"2 * {rest} > {d} OR (2 * {rest} = {d} AND {floor} % 2 != 0)"
    return f"{floor} + toInt64({up})"
