"""The summary of a run: one object for programs, and the same as tables a person likes to read.

`events`, `transfers`, `duplicates`, `refused`, `seconds` and `events_per_s` are what this run saw
and booked, so that events = activities booked + duplicates + refused, rows that could not be
mapped among the latter. Everything else is the state of the folder after it, all runs together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sinks.queries import Queries
from sinks.records import Balance, Counts, Total
from sinks.verify import Verdict


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of everything in a store at one moment; `refused` by code, whoever refused."""

    counts: Counts
    refused: Mapping[str, int]

    @classmethod
    def of(cls, queries: Queries) -> Tally:
        """Count now."""
        return cls(queries.counts(), queries.refusals_by_code())


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run did and what the folder now holds; see the module for which is which.

    Attributes:
        activities: Activities this run booked.
        refused: Refusals of this run by code, the most frequent first.
        ledger: State of the folder: activities, transfers, accounts, duplicates, refused.
        factor_match: How the factors of all activities matched, and how often.
        top_accounts: The accounts with the largest reductions.
    """

    events: int
    activities: int
    transfers: int
    duplicates: int
    refused: Mapping[str, int]
    seconds: float
    ledger: Mapping[str, int]
    totals: tuple[Total, ...]
    factor_match: Mapping[str, int]
    top_accounts: tuple[Balance, ...]
    verdict: Verdict

    @property
    def events_per_s(self) -> float:
        """Events of this run per second."""
        return self.events / self.seconds if self.seconds > 0 else 0.0

    def as_json(self) -> dict[str, object]:
        """Return the summary as one object; amounts are integers in the units of their names."""
        return {
            "events": self.events,
            "transfers": self.transfers,
            "duplicates": self.duplicates,
            "refused": dict(self.refused),
            "totals": [asdict(total) for total in self.totals],
            "factor_match": dict(self.factor_match),
            "verify": {
                "ok": self.verdict.ok,
                "drift": [asdict(drift) for drift in self.verdict.drift],
            },
            "ledger": dict(self.ledger),
            "seconds": round(self.seconds, 3),
            "events_per_s": round(self.events_per_s, 1),
        }


def summarise(before: Tally, queries: Queries, verdict: Verdict, *, seconds: float) -> Summary:
    """Return the summary of a run over a store that has settled.

    Args:
        before: What the store held when the run began.
        queries: Questions to the store as it is now.
        verdict: What `verify` found.
        seconds: How long the run worked.
    """
    after = Tally.of(queries)
    refused = {
        code: count - before.refused.get(code, 0)
        for code, count in after.refused.items()
        if count > before.refused.get(code, 0)
    }
    activities = after.counts.activities - before.counts.activities
    duplicates = after.counts.duplicates - before.counts.duplicates
    return Summary(
        events=activities + duplicates + sum(refused.values()),
        activities=activities,
        transfers=after.counts.transfers - before.counts.transfers,
        duplicates=duplicates,
        refused=refused,
        seconds=seconds,
        ledger={
            "activities": after.counts.activities,
            "transfers": after.counts.transfers,
            "accounts": after.counts.accounts,
            "duplicates": after.counts.duplicates,
            "refused": sum(after.refused.values()),
        },
        totals=queries.totals(),
        factor_match=queries.factor_match(),
        top_accounts=queries.top_accounts(limit=5),
        verdict=verdict,
    )
