"""A ledger held against what it must be: every transfer, every balance."""

from __future__ import annotations

from tests.end_to_end.expected import Booked, Expected
from tests.end_to_end.held import Held


def booked_of(found: Held) -> dict[str, Booked]:
    """Return the emissions of a ledger as the independent calculation writes them."""
    names = Booked.__dataclass_fields__
    return {
        name: Booked(**{field: row[field] for field in names})
        for name, row in found.transfers.items()
        if row["quantity"] == "emission"
    }


def balances_of(found: Held, expected: Expected) -> dict[str, dict[str, int]]:
    """Return the balances of a ledger, in the fields that are expected."""
    fields = next(iter(expected.balances().values())).keys()
    return {
        account: {field: row[field] for field in fields} for account, row in found.balances.items()
    }
