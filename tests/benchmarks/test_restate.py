"""The restatement's benchmark: what it measures is right, and it would notice if it were not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks import stored
from benchmarks.exactly import Paper
from benchmarks.measure import BenchmarkError
from benchmarks.proof import check_rows, check_sums, sample
from benchmarks.restate import Run, measure, paper, prove
from carbon.factors import Factor
from embedded.store import Store
from producers.factors.spec import load_factors
from sinks.connect import Client

SESSIONS = 20_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A store that holds the sessions of the benchmark."""
    with Store.open(tmp_path_factory.mktemp("restate") / "store") as store:
        stored.fill(store.writer, SESSIONS)
        yield store.reader


@pytest.fixture(scope="module")
def factors() -> list[Factor]:
    return load_factors("release:2026.1")


@pytest.fixture(scope="module")
def run(client: Client, factors: list[Factor]) -> Run:
    return measure(client, factors)


@pytest.fixture(scope="module")
def on_paper(factors: list[Factor]) -> Paper:
    return paper(factors)


def test_every_session_is_restated_or_refused(run: Run) -> None:
    assert run.sessions == SESSIONS
    assert 0 < run.sums.refused < SESSIONS / 100


def test_a_right_run_is_proven(client: Client, run: Run, factors: list[Factor]) -> None:
    prove(client, run, factors)


def test_a_milligram_too_many_in_the_sums_is_noticed(
    client: Client, run: Run, on_paper: Paper
) -> None:
    wrong = run.sums._replace(reduction=run.sums.reduction + 1)
    with pytest.raises(BenchmarkError, match="should be"):
        check_sums(client, stored.DATABASE, wrong, on_paper)


def test_a_milligram_too_many_in_a_row_is_noticed(
    client: Client, run: Run, on_paper: Paper
) -> None:
    first, *others = (row for row in sample(run.kept, 20) if row.amounts_mg)
    assert first.amounts_mg is not None
    emissions, *rest = first.amounts_mg
    wrong = replace(first, amounts_mg=(emissions + 1, *rest))
    check_rows(client, stored.DATABASE, [first, *others], on_paper)
    with pytest.raises(BenchmarkError, match="should be"):
        check_rows(client, stored.DATABASE, [wrong, *others], on_paper)
