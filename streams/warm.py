"""Warming up: every kernel compiled, or loaded, before a worker joins its group.

Compiling takes some ten seconds the first time and a fraction of one later; a worker that did it
with its first slice would be taken for dead. A made-up slice goes the whole way: out of a fetched
batch, through the step, into batches, into accounts. `python -m streams.warm` does it ahead of
time, as an image or an installation does, and warms up loading (`producers.warm`) as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from carbon.factors import FactorTable
from producers import warm
from producers.factors.release import load_release
from producers.programmes.load import load_programmes
from schemas.batches import column_batches
from schemas.columns import decode, encode
from schemas.records import RecordColumns
from schemas.singles import encode_one
from schemas.traceparents import headers_of
from schemas.tracing import senders_of
from streams.accounts import Accounts
from streams.read import read
from streams.slice import Slice
from streams.states import latest_of_each
from streams.step import Outcome, Rules, step
from streams.transfers import FactorNames

NOON_MS: Final = 1_688_212_800_000  # 2023-07-01
HOUR_MS: Final = 3_600_000
SPAN: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SESSION: Final[Mapping[str, object]] = {
    "session_id": "warm",
    "source": "carbonflow",
    "account_id": "nobody",
    "programme": "cn-charging",
    "vehicle_class": "car",
    "grid_region": "CN-BJ",
    "started_at": NOON_MS - HOUR_MS,
    "ended_at": NOON_MS,
    "energy_wh": 20_000,
    "meter_side": "grid",
    "current": "ac",
    "operator_id": "",
    "evse_id": "",
    "reversal_of": None,
    "revision": 0,
}


def warm_up() -> Outcome:
    """Send a slice through everything that is compiled; nothing is kept of it."""
    factors = FactorTable.of(load_release().factors)
    rules = Rules(
        programmes=load_programmes(),
        factors=factors,
        factor_names=FactorNames.of(factors),
        partitions=1,
        dedupe_days=35,
    )
    accounts = Accounts()
    values = [encode_one("charging_session", SESSION)]
    sent = encode("charging_session", decode("charging_session", values).batch)
    outcome = step(read(_fetched(sent)), accounts, rules)
    accounts.apply(outcome.change)
    accounts.compact()
    balances = outcome.change.balances()
    again = decode("account_balance", encode("account_balance", balances)).batch
    accounts.restore(latest_of_each(again))
    return step(read(_fetched(sent)), accounts, rules)


def _fetched(values: list[bytes]) -> Slice:
    """Return values as the slice that a fetch would bring."""
    batch = decode("charging_session", values).batch
    (made,) = column_batches(
        "charging_session",
        batch,
        key="account_id",
        timestamp="ended_at",
        transactional=False,
        traceparent=SPAN,
    )
    made._set_producer_state(-1, -1, 0)
    columns = RecordColumns(
        bytes(made._build()),
        fetch_offset=0,
        aborted=(),
        read_committed=True,
        check_crcs=True,
        records_max=lambda: len(values),
    )
    part = Slice.of("charging-sessions", 0, next(columns))
    assert senders_of(part.values.data, part.headers_at).spans == [SPAN], "its header is found"
    assert part.headers(0) == headers_of(SPAN), "its header is read"
    assert np.array_equal(part.offsets, np.arange(len(values))), "what was sent is what was fetched"
    return part


if __name__ == "__main__":
    warm_up()
    warm.warm_up()
