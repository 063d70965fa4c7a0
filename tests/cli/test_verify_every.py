"""`verify --every`: what stays is drift, what is under way is not, and an outage ends nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cli import verify as module
from cli.parsing import Failure
from cli.verify import compare_once, gap
from sinks.metrics import VerifyMetrics


def off(where: str, expected: str, found: str, kind: str = "balance") -> dict[str, str]:
    return {"kind": kind, "where": where, "expected": expected, "found": found}


class Compared:
    """A comparison that finds one thing after another; a Failure is raised."""

    def __init__(self, *rounds: list[dict[str, str]] | Failure) -> None:
        self.registry = CollectorRegistry()
        self.metrics = VerifyMetrics(self.registry)
        self._rounds: Iterator[list[dict[str, str]] | Failure] = iter(rounds)

    def ask(self) -> dict[str, Any]:
        found = next(self._rounds)
        if isinstance(found, Failure):
            raise found
        return {"ok": not found, "drift": found, "waiting": 0}

    def once(self) -> None:
        compare_once(self.ask, self.metrics, threading.Event())

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"carbonflow_verify_{name}", labels)


@pytest.fixture(autouse=True)
def looks_follow_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.0)


def test_what_agrees_is_looked_at_once() -> None:
    compared = Compared([], [off("anna", "1", "2")])
    compared.once()
    assert compared.value("disagreements", kind="balance") == 0
    assert compared.value("rounds_total", outcome="ok") == 1
    assert (compared.value("last_timestamp_seconds") or 0) > 1_700_000_000


def test_what_is_under_way_is_no_drift() -> None:
    compared = Compared(
        [off("anna", "10", "8"), off("bert", "5", "4")],
        [off("anna", "20", "15")],
        [off("carl", "7", "0")],
    )
    compared.once()
    assert compared.value("disagreements", kind="balance") == 0
    assert compared.value("rounds_total", outcome="ok") == 1


def test_what_stays_is_drift_however_much_both_sides_grow() -> None:
    stays = off("t1", "one content", "several contents", "transfer")
    compared = Compared(
        [off("anna", "10", "8"), off("bert", "5", "4"), stays],
        [off("anna", "20", "18"), stays],
        [stays, off("anna", "21", "19")],
    )
    compared.once()
    assert compared.value("disagreements", kind="balance") == 1
    assert compared.value("disagreements", kind="transfer") == 1
    assert compared.value("rounds_total", outcome="drift") == 1


def test_an_outage_is_counted_and_leaves_what_was_known() -> None:
    stays = off("anna", "10", "8")
    compared = Compared(stays_three := [stays], stays_three, stays_three, Failure("away"), [])
    compared.once()
    known = compared.value("last_timestamp_seconds")
    compared.once()
    assert compared.value("rounds_total", outcome="failed") == 1
    assert compared.value("disagreements", kind="balance") == 1
    assert compared.value("last_timestamp_seconds") == known
    compared.once()
    assert compared.value("disagreements", kind="balance") == 0


@pytest.mark.parametrize(
    ("one", "rest"),
    [
        (off("anna", "70", "60"), (10,)),
        (off("anna", "-3 mg", "4 mg"), (-7,)),
        (off("anna", "one programme", "a, b"), ("one programme", "a, b")),
        (off("all", "9 records worked", "8: 1 duplicates"), (1,)),
    ],
)
def test_the_gap_is_a_difference_where_both_sides_are_numbers(
    one: dict[str, str], rest: tuple[object, ...]
) -> None:
    assert gap(one) == ("balance", one["where"], *rest)
